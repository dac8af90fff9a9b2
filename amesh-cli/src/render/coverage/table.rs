//! The registry for a terminal.

use std::io::{self, Write};

use amesh_core::coverage::{Fate, Used};
use anstyle::Style;

use super::{FATES, counts, sections};
use crate::render::style::{ADDED, CHANGED, PLACE, REMOVED, STRONG};

/// Writes the rows, feature by feature, and the counts at the end.
pub(crate) fn write(used: Option<&Used>, out: &mut dyn Write) -> io::Result<()> {
    let sections = sections(used);
    for section in &sections {
        writeln!(
            out,
            "{STRONG}{}{STRONG:#}: {}",
            section.feature.name, section.feature.summary
        )?;
        for (heading, rows) in &section.groups {
            writeln!(out, "  {PLACE}{heading}{PLACE:#}")?;
            let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
            for row in rows {
                let fate = row.fate;
                let color = color(fate);
                write!(out, "    ")?;
                if let Some(times) = row.times {
                    write!(out, "{times:>7} x ")?;
                }
                write!(out, "{:<width$}  {color}{:<11}{color:#}", row.name, fate.name())?;
                match row.remark() {
                    (Some(target), Some(rule)) => writeln!(out, "  {target} [{rule}]")?,
                    (None, Some(rule)) => writeln!(out, "  [{rule}]")?,
                    (Some(text), None) => writeln!(out, "  {text}")?,
                    (None, None) => writeln!(out)?,
                }
            }
        }
        writeln!(out)?;
    }
    let width = sections
        .iter()
        .map(|section| section.feature.name.len())
        .max()
        .unwrap_or(0)
        .max(7);
    write!(out, "{STRONG}{:<width$}", "feature")?;
    for fate in FATES {
        write!(out, "  {fate:>11}")?;
    }
    writeln!(out, "{STRONG:#}")?;
    let mut line = |name: &str, counts: [usize; 4]| {
        write!(out, "{name:<width$}")?;
        for count in counts {
            write!(out, "  {count:>11}")?;
        }
        writeln!(out)
    };
    for section in &sections {
        line(section.feature.name, counts([section]))?;
    }
    line("total", counts(&sections))?;
    if let Some(used) = used {
        unowned(used, out)?;
    }
    Ok(())
}

/// What the dump sets and stands in no row.
fn unowned(used: &Used, out: &mut dyn Write) -> io::Result<()> {
    let unowned = used.unowned();
    if !unowned.is_empty() {
        writeln!(
            out,
            "\n{STRONG}In no row, because what holds them is not carried over{STRONG:#}"
        )?;
    }
    for (name, times) in unowned {
        writeln!(out, "    {times:>7} x {name}")?;
    }
    Ok(())
}

const fn color(fate: Fate) -> Style {
    match fate {
        Fate::Exact { .. } => ADDED,
        Fate::Approximate { .. } => CHANGED,
        Fate::Unsupported { .. } => REMOVED,
        Fate::Irrelevant { .. } => Style::new().dimmed(),
    }
}
