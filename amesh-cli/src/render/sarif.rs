//! Findings as SARIF 2.1.0, which code hosts and editors show.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use amesh_core::{Finding, Outcome, Rejected, Rule};
use serde_json::{Value, json};

use super::report::Report;
use super::style;
use crate::input::Source;

/// The rule under which rejected resources appear: SARIF wants one for each result.
const REJECTED: &str = "resource-rejected";

/// Writes one run.
pub(crate) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut used: BTreeMap<&str, &Rule> = BTreeMap::new();
    for finding in &report.findings {
        used.insert(finding.rule.name, finding.rule);
    }
    let artifact = artifact(report.input);
    let findings = report.findings.iter().map(|finding| result(finding, &artifact));
    let rejected = report.rejected.iter().map(|rejected| rejection(rejected, &artifact));
    let results: Vec<Value> = findings.chain(rejected).collect();
    let mut rules: Vec<Value> = used.values().map(|rule| descriptor(rule)).collect();
    if !report.rejected.is_empty() {
        rules.push(json!({
            "id": REJECTED,
            "shortDescription": { "text": "a resource is not used, because Envoy would refuse it or it does not decode" },
            "defaultConfiguration": { "level": "warning" },
        }));
    }
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "amesh",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "artifacts": [{ "location": artifact }],
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.name,
        "shortDescription": { "text": rule.summary },
        "fullDescription": { "text": rule.explanation },
        "help": { "text": rule.advice },
        "defaultConfiguration": { "level": level(rule.outcome, false) },
        "properties": { "outcome": rule.outcome },
    })
}

fn result(finding: &Finding, artifact: &Value) -> Value {
    let mut message = finding.rule.summary.to_owned();
    if let Some(detail) = &finding.detail {
        message.push_str(": ");
        message.push_str(detail);
    }
    let mut result = json!({
        "ruleId": finding.rule.name,
        "level": level(finding.outcome, finding.permitted),
        "message": { "text": message },
        "locations": [location(artifact, &finding.resource.to_string(), &finding.path)],
        "properties": { "outcome": finding.outcome, "permitted": finding.permitted },
    });
    if finding.permitted
        && let Some(fields) = result.as_object_mut()
    {
        let why = "permitted by name on the command line";
        fields.insert(
            "suppressions".to_owned(),
            json!([{ "kind": "external", "justification": why }]),
        );
    }
    result
}

fn rejection(rejected: &Rejected, artifact: &Value) -> Value {
    let kind = rejected
        .kind
        .map_or_else(|| "resource".to_owned(), |kind| kind.to_string());
    let resource = rejected
        .name
        .as_ref()
        .map_or_else(|| kind.clone(), |name| format!("{kind} {name:?}"));
    json!({
        "ruleId": REJECTED,
        "level": "warning",
        "message": { "text": rejected.to_string() },
        "locations": [location(artifact, &resource, "")],
    })
}

fn location(artifact: &Value, resource: &str, path: &str) -> Value {
    let full = if path.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource} {path}")
    };
    json!({
        "physicalLocation": { "artifactLocation": artifact },
        "logicalLocations": [{ "name": resource, "fullyQualifiedName": full, "kind": "object" }],
    })
}

fn level(outcome: Outcome, permitted: bool) -> &'static str {
    style::severity(outcome, permitted).0
}

/// The input as a URI: relative as the user gave it, absolute with `file:`.
fn artifact(input: &Source) -> Value {
    let uri = match input {
        Source::Stdin => "stdin".to_owned(),
        Source::File(path) if path.is_absolute() => format!("file://{}", escaped(path)),
        Source::File(path) => escaped(path),
    };
    json!({ "uri": uri })
}

fn escaped(path: &Path) -> String {
    let mut uri = String::new();
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
