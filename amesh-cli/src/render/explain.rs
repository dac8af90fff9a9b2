//! Rules and fields as prose, and the page of every rule.

use std::io::{self, Write};

use amesh_core::coverage::{self, Fate, Feature};
use amesh_core::{Outcome, Rule};

use super::style::{self, HELP, PLACE, STRONG};

/// A row of the registry: the feature, the full name of the field or of the extension, and its fate on any APISIX and
/// where Amesh's Lua package is loaded.
pub(crate) type Row = (&'static Feature, String, [Fate; 2]);

/// The width of prose.
const WIDTH: usize = 100;

/// A rule: what it means, why, what to do, and which fields it stands for.
pub(crate) fn rule(rule: &Rule, out: &mut dyn Write) -> io::Result<()> {
    let (_, color) = style::severity(rule.outcome, false);
    writeln!(out, "{color}{}{color:#} ({})", rule.name, rule.outcome)?;
    writeln!(out, "{STRONG}{}{STRONG:#}", wrapped(rule.summary, ""))?;
    body(rule, out)?;
    let mut names: Vec<String> = Vec::new();
    let mut reporters: Vec<&str> = Vec::new();
    for feature in coverage::features() {
        let before = names.len();
        for message in feature.messages {
            let fields = message.fields.iter();
            let fields = fields.filter(|it| [it.native, it.amesh].iter().any(|fate| fate.rule() == Some(rule)));
            names.extend(fields.map(|field| format!("{}.{}", message.name, field.name)));
        }
        let extensions = feature.extensions.iter();
        let extensions = extensions.filter(|it| [it.native, it.amesh].iter().any(|fate| fate.rule() == Some(rule)));
        names.extend(extensions.map(|it| it.message.to_owned()));
        if names.len() > before || feature.rules.contains(&rule) {
            reporters.push(feature.name);
        }
    }
    writeln!(out, "\nReported by {}.", reporters.join(", "))?;
    if !names.is_empty() {
        writeln!(out, "Concerns:")?;
        for name in names {
            writeln!(out, "  {name}")?;
        }
    }
    Ok(())
}

/// What a rule means and what to do about it.
fn body(rule: &Rule, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}", wrapped(rule.explanation, ""))?;
    writeln!(out, "\nTraffic: {}.", style::effect(rule.outcome, false))?;
    writeln!(out, "{HELP}Help{HELP:#}: {}", wrapped(rule.advice, "      "))?;
    if rule.outcome == Outcome::FailsClosed {
        writeln!(out, "      To serve it all the same: --permit {}", rule.name)?;
    }
    Ok(())
}

/// What becomes of each of these fields.
pub(crate) fn fields(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    for (index, (feature, name, [native, amesh])) in rows.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{STRONG}{name}{STRONG:#}")?;
        writeln!(out, "  {}", sentence(*native))?;
        if amesh != native {
            writeln!(out, "  with Amesh's Lua package {}", sentence(*amesh))?;
        }
        writeln!(
            out,
            "  {PLACE}feature{PLACE:#} {}: {}",
            feature.name,
            wrapped(feature.summary, "    ")
        )?;
        let explained = [native.rule(), amesh.rule().filter(|rule| native.rule() != Some(*rule))];
        for rule in explained.into_iter().flatten() {
            if rows.len() == 1 {
                writeln!(out, "\n{STRONG}{}{STRONG:#}", wrapped(rule.summary, ""))?;
                body(rule, out)?;
            } else {
                writeln!(out, "  {}", wrapped(rule.summary, "  "))?;
            }
        }
    }
    Ok(())
}

/// What becomes of a field.
fn sentence(fate: Fate) -> String {
    match fate {
        Fate::Exact { target } => format!("exact: becomes {target}"),
        Fate::Approximate { target, rule } => {
            format!("approximate: becomes {target}, with a difference ({})", rule.name)
        }
        Fate::Unsupported { rule } => format!("unsupported: {} ({})", rule.name, rule.outcome),
        Fate::Irrelevant { reason } => format!("irrelevant: {}", wrapped(reason, "    ")),
    }
}

/// A line for each rule, the gravest outcome first.
pub(crate) fn list(out: &mut dyn Write) -> io::Result<()> {
    let rules = coverage::rules();
    let width = rules.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    for outcome in Outcome::ALL.into_iter().rev() {
        for rule in rules.iter().filter(|rule| rule.outcome == outcome) {
            let (_, color) = style::severity(outcome, false);
            writeln!(
                out,
                "{color}{outcome:<12}{color:#}  {:<width$}  {}",
                rule.name, rule.summary
            )?;
        }
    }
    Ok(())
}

/// The page of every rule: `docs/findings.md`.
pub(crate) fn page(out: &mut dyn Write) -> io::Result<()> {
    let rules = coverage::rules();
    writeln!(
        out,
        "# Findings\n\nPrinted by `amesh explain --format markdown`; do not edit.\n\n\
         Everything that is not carried over is reported under one of these names. The outcome says what happens to \
         traffic, from harmless to refused:\n"
    )?;
    writeln!(out, "| outcome | requests are | rules |\n| --- | --- | ---: |")?;
    for outcome in Outcome::ALL {
        let count = rules.iter().filter(|rule| rule.outcome == outcome).count();
        writeln!(out, "| {outcome} | {} | {count} |", style::effect(outcome, false))?;
    }
    for rule in rules {
        let permit = if rule.outcome == Outcome::FailsClosed {
            format!(" To serve the traffic all the same: `--permit {}`.", rule.name)
        } else {
            String::new()
        };
        writeln!(
            out,
            "\n## {}\n\n**{}: {}.**\n\n{}\n\nHelp: {}.{permit}",
            rule.name,
            rule.outcome,
            rule.summary,
            rule.explanation.trim(),
            rule.advice.trim_end_matches('.'),
        )?;
    }
    Ok(())
}

/// The text broken at spaces, paragraphs kept; lines after the first begin with the indent.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    for (index, line) in text.trim().lines().enumerate() {
        if index > 0 {
            out.push('\n');
            if !line.is_empty() {
                out.push_str(indent);
            }
        }
        let mut column = indent.len();
        for (index, word) in line.split(' ').enumerate() {
            let width = word.chars().count();
            if index > 0 && column + 1 + width > WIDTH {
                out.push('\n');
                out.push_str(indent);
                column = indent.len();
            } else if index > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += width;
        }
    }
    out
}
