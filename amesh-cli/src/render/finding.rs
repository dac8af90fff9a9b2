//! Findings as a compiler would print them: grouped by rule, the gravest last, a summary at the end.

use std::collections::BTreeMap;
use std::io::{self, Write};

use amesh_core::{Finding, Outcome, Rejected};
use serde_json::json;

use super::report::Report;
use super::style::{self, ERROR, HELP, PLACE, STRONG, WARNING};

/// Places of one rule that are shown unless the user asks for all.
const SHOWN: usize = 3;

/// The advice of a rule that asks for nothing.
const NOTHING: &str = "nothing";

/// Writes every finding, what was rejected, and the summary.
pub(crate) fn write_text(report: &Report<'_>, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut groups: BTreeMap<(Outcome, bool, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        let group = (finding.outcome, !finding.permitted, finding.rule.name);
        groups.entry(group).or_default().push(finding);
    }
    for group in groups.values() {
        rule(group, verbose, out)?;
    }
    for rejected in report.rejected {
        rejection(rejected, out)?;
    }
    summary(report, out)
}

/// One rule and the places where it holds.
pub(super) fn rule(group: &[&Finding], verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = group.first() else { return Ok(()) };
    let rule = first.rule;
    let (word, color) = style::severity(first.outcome, first.permitted);
    writeln!(
        out,
        "{color}{word}[{}]{color:#}{STRONG}: {}{STRONG:#}",
        rule.name, rule.summary
    )?;
    let shown = if verbose { group.len() } else { SHOWN };
    let mut resource = None;
    for finding in group.iter().take(shown) {
        if resource != Some(&finding.resource) {
            writeln!(out, "  {PLACE}-->{PLACE:#} {}", finding.resource)?;
            resource = Some(&finding.resource);
        }
        match (finding.path.as_str(), finding.detail.as_deref()) {
            ("", None) => {}
            ("", Some(detail)) => writeln!(out, "      {detail}")?,
            (path, None) => writeln!(out, "      {PLACE}at{PLACE:#} {path}")?,
            (path, Some(detail)) => writeln!(out, "      {PLACE}at{PLACE:#} {path}: {detail}")?,
        }
    }
    if let Some(more) = group.len().checked_sub(shown).filter(|more| *more > 0) {
        writeln!(out, "      ... and {more} more; -v shows all")?;
    }
    let effect = style::effect(first.outcome, first.permitted);
    writeln!(out, "  {PLACE}={PLACE:#} traffic: {effect} ({})", first.outcome)?;
    if rule.advice != NOTHING {
        writeln!(out, "  {PLACE}={PLACE:#} {HELP}help{HELP:#}: {}", rule.advice)?;
    }
    if first.outcome == Outcome::FailsClosed && !first.permitted {
        writeln!(
            out,
            "  {PLACE}={PLACE:#} {HELP}help{HELP:#}: to serve it all the same: --permit {}",
            rule.name
        )?;
    }
    writeln!(out)
}

fn rejection(rejected: &Rejected, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{WARNING}warning[rejected]{WARNING:#}{STRONG}: {rejected}{STRONG:#}"
    )?;
    writeln!(
        out,
        "  {PLACE}={PLACE:#} traffic: served as if this resource had not been sent; the rest is used\n"
    )
}

fn summary(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let counts = report.counts();
    write!(
        out,
        "{STRONG}{}, {}{STRONG:#} from {} of {}",
        number(counts.routes, "route"),
        number(counts.upstreams, "upstream"),
        number(counts.resources, "resource"),
        report.input,
    )?;
    if counts.rejected > 0 {
        write!(
            out,
            "; {WARNING}{} rejected{WARNING:#}",
            number(counts.rejected, "resource")
        )?;
    }
    writeln!(out)?;
    let parts: Vec<String> = [
        (counts.fails_closed, "fails closed", "fail closed"),
        (counts.permitted, "permitted", "permitted"),
        (counts.left_out, "left out", "left out"),
        (counts.approximated, "approximated", "approximated"),
        (counts.ignored, "ignored", "ignored"),
    ]
    .into_iter()
    .filter(|(count, _, _)| *count > 0)
    .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
    .collect();
    if parts.is_empty() {
        writeln!(out, "Nothing was lost.")?;
    } else {
        writeln!(
            out,
            "{}: {}.",
            number(report.findings.len(), "finding"),
            parts.join(", ")
        )?;
    }
    let clusters = report.without_mutual_tls();
    if clusters > 0 {
        writeln!(
            out,
            "{ERROR}Endpoints of {} ask for Istio's mutual TLS and are left out{ERROR:#}: requests get 503 where \
             none is left. To send them plain text: --permit istio-mutual-tls",
            number(clusters, "cluster")
        )?;
    }
    Ok(())
}

/// A number of things.
pub(crate) fn number(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Writes findings, rejected resources and counts as one JSON object.
pub(crate) fn write_json(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let rejected: Vec<serde_json::Value> = report.rejected.iter().map(rejected_json).collect();
    let value = json!({
        "findings": report.findings,
        "rejected": rejected,
        "summary": report.counts(),
    });
    serde_json::to_writer_pretty(&mut *out, &value)?;
    writeln!(out)
}

fn rejected_json(rejected: &Rejected) -> serde_json::Value {
    json!({
        "type": rejected.kind,
        "name": rejected.name,
        "reason": rejected.reason.to_string(),
    })
}
