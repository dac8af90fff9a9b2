//! The registry for a terminal.

use std::io::{self, Write};

use amesh_core::Target;
use amesh_core::coverage::{Fate, Used};
use anstyle::Style;

use super::{FATES, counts, remark, sections};
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
                write!(out, "    ")?;
                if let Some(times) = row.times {
                    write!(out, "{times:>7} x ")?;
                }
                write!(out, "{:<width$}", row.name)?;
                fate(row.native, out)?;
                if let Some(other) = row.differs() {
                    write!(out, ", with Amesh's Lua package")?;
                    fate(other, out)?;
                }
                writeln!(out)?;
            }
        }
        writeln!(out)?;
    }
    let width = sections
        .iter()
        .map(|section| section.feature.name.len())
        .max()
        .unwrap_or(0)
        .max("with Amesh's Lua package".len());
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
        line(section.feature.name, counts([section], Target::Native))?;
    }
    line("total", counts(&sections, Target::Native))?;
    line("with Amesh's Lua package", counts(&sections, Target::Amesh))?;
    if let Some(used) = used {
        unowned(used, out)?;
    }
    Ok(())
}

/// A fate, where the value goes or why it means nothing, and the rule that is reported.
fn fate(fate: Fate, out: &mut dyn Write) -> io::Result<()> {
    let color = color(fate);
    write!(out, "  {color}{:<11}{color:#}", fate.name())?;
    match remark(fate) {
        (Some(target), Some(rule)) => write!(out, "  {target} [{rule}]"),
        (None, Some(rule)) => write!(out, "  [{rule}]"),
        (Some(text), None) => write!(out, "  {text}"),
        (None, None) => Ok(()),
    }
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
