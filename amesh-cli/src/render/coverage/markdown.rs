//! The registry as a page: `docs/coverage.md`.

use std::fmt::Write as _;
use std::io::{self, Write};

use amesh_core::Target;
use amesh_core::coverage::{Fate, Used};

use super::{FATES, Row, Section, counts, sections};

/// Writes the page.
pub(crate) fn write(used: Option<&Used>, out: &mut dyn Write) -> io::Result<()> {
    let sections = sections(used);
    writeln!(out, "# Coverage\n")?;
    if used.is_none() {
        writeln!(out, "Printed by `amesh coverage --format markdown`; do not edit.\n")?;
    }
    writeln!(
        out,
        "What becomes of every field of Envoy's API that can reach a proxy. *exact*: APISIX does what Envoy does. \
         *approximate*: it works, with the difference that the rule states. *unsupported*: reported under the rule \
         wherever it matters. *irrelevant*: means nothing for this data plane. What an APISIX with Amesh's Lua package \
         does better than any other stands in a column of its own. The rules are explained in [findings.md](findings.md).\n"
    )?;
    writeln!(
        out,
        "| feature | {} | {}, with Amesh's package |",
        FATES.join(" | "),
        FATES.join(" | ")
    )?;
    writeln!(out, "| --- |{}", " ---: |".repeat(2 * FATES.len()))?;
    for section in &sections {
        let name = section.feature.name;
        let anchor: String = name.chars().filter(|character| *character != '/').collect();
        writeln!(out, "| [{name}](#{anchor}) |{}", numbers(std::slice::from_ref(section)))?;
    }
    writeln!(out, "| **total** |{}", numbers(&sections))?;
    for section in &sections {
        writeln!(
            out,
            "\n## {}\n\n{}.",
            section.feature.name,
            section.feature.summary.trim_end_matches('.')
        )?;
        for (heading, rows) in &section.groups {
            let times = if used.is_some() { " set |" } else { "" };
            let rule = if used.is_some() { " ---: |" } else { "" };
            writeln!(
                out,
                "\n### {heading}\n\n| field | any APISIX | | with Amesh's package |{times}\n| --- | --- | --- | --- |{rule}"
            )?;
            for row in rows {
                line(row, out)?;
            }
        }
    }
    let unowned = used.map(Used::unowned).unwrap_or_default();
    if !unowned.is_empty() {
        writeln!(
            out,
            "\n## In no row\n\nWhat holds these is not carried over.\n\n| name | set |\n| --- | ---: |"
        )?;
    }
    for (name, times) in unowned {
        writeln!(out, "| {name} | {times} |")?;
    }
    Ok(())
}

fn line(row: &Row, out: &mut dyn Write) -> io::Result<()> {
    let other = row.differs().map_or_else(String::new, |fate| {
        format!("{} {}", fate.name(), remark(fate)).trim_end().to_owned()
    });
    write!(
        out,
        "| `{}` | {} | {} | {other} |",
        row.name,
        row.native.name(),
        remark(row.native)
    )?;
    match row.times {
        Some(times) => writeln!(out, " {times} |"),
        None => writeln!(out),
    }
}

fn remark(fate: Fate) -> String {
    let link = |rule: &str| format!("[{rule}](findings.md#{rule})");
    let text = match fate {
        Fate::Exact { target } => format!("`{target}`"),
        Fate::Approximate { target, rule } => format!("`{target}`: {}", link(rule.name)),
        Fate::Unsupported { rule } => link(rule.name),
        Fate::Irrelevant { reason } => reason.to_owned(),
    };
    text.replace('|', "\\|")
}

/// How many rows have each fate, on any APISIX and with Amesh's package.
fn numbers(sections: &[Section]) -> String {
    let mut out = String::new();
    for target in [Target::Native, Target::Amesh] {
        for count in counts(sections, target) {
            let _ = write!(out, " {count} |");
        }
    }
    out
}
