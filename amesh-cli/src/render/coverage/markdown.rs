//! The registry as a page: `docs/coverage.md`.

use std::io::{self, Write};

use amesh_core::coverage::{Fate, Used};

use super::{FATES, Row, counts, sections};

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
         wherever it matters. *irrelevant*: means nothing for this data plane. The rules are explained in \
         [findings.md](findings.md).\n"
    )?;
    writeln!(out, "| feature | {} |", FATES.join(" | "))?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: |")?;
    for section in &sections {
        let name = section.feature.name;
        let anchor: String = name.chars().filter(|character| *character != '/').collect();
        writeln!(out, "| [{name}](#{anchor}) | {} |", joined(counts([section])))?;
    }
    writeln!(out, "| **total** | {} |", joined(counts(&sections)))?;
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
                "\n### {heading}\n\n| field | fate | |{times}\n| --- | --- | --- |{rule}"
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
    let link = |rule: &str| format!("[{rule}](findings.md#{rule})");
    let remark = match row.fate {
        Fate::Exact { target } => format!("`{target}`"),
        Fate::Approximate { target, rule } => format!("`{target}`: {}", link(rule.name)),
        Fate::Unsupported { rule } => link(rule.name),
        Fate::Irrelevant { reason } => reason.to_owned(),
    };
    write!(
        out,
        "| `{}` | {} | {} |",
        row.name,
        row.fate.name(),
        remark.replace('|', "\\|")
    )?;
    match row.times {
        Some(times) => writeln!(out, " {times} |"),
        None => writeln!(out),
    }
}

fn joined(counts: [usize; 4]) -> String {
    counts.map(|count| count.to_string()).join(" | ")
}
