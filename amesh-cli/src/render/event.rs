//! What `watch` has to tell, as it happens: lines for people, or one JSON object in a line for each event.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use amesh_core::apisix::{Key, Object};
use amesh_core::finding::ResourceName;
use amesh_core::{Finding, Outcome, ResourceType};
use amesh_xds::server::Address;
use serde_json::{Value, json};

use super::diff::Difference;
use super::finding::number;
use super::style::{self, ERROR, NOTE, STRONG, WARNING};
use crate::live::mesh::{Push, listed};
use crate::live::trouble::Trouble;

/// Something that happened.
pub(crate) enum Event<'a> {
    /// A control plane answers.
    Connected(&'a Address),
    /// No control plane answers, or none any longer.
    Disconnected {
        server: &'a Address,
        /// Why, unless it ended the stream in good order.
        trouble: Option<&'a Trouble>,
        retry: Duration,
    },
    /// The mesh changed.
    Push(&'a Push),
    /// The control plane was told that a response is refused, or a part of it.
    Refused(ResourceType, &'a str),
    /// Resources did not come in time.
    Absent(&'a [ResourceName]),
    /// Resources were taken away and are kept.
    Kept(&'a [ResourceName]),
    /// The file is in step.
    Written(&'a Path),
    /// The file is not.
    Unwritten { path: &'a Path, error: &'a str },
    /// The end.
    Stopped,
}

/// How events look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// A JSON object in a line.
    pub(crate) json: bool,
    /// Objects line by line, and every difference.
    pub(crate) verbose: bool,
}

impl Event<'_> {
    /// Whether it is a trouble and not what was asked for, so that it belongs on the error stream of a terminal.
    pub(crate) const fn is_trouble(&self) -> bool {
        match self {
            Self::Disconnected { .. }
            | Self::Refused(..)
            | Self::Absent(_)
            | Self::Kept(_)
            | Self::Unwritten { .. } => true,
            Self::Connected(_) | Self::Push(_) | Self::Written(_) | Self::Stopped => false,
        }
    }

    /// Writes the event.
    pub(crate) fn write(&self, look: Look, now: SystemTime, out: &mut dyn Write) -> io::Result<()> {
        let time = humantime::format_rfc3339_millis(now).to_string();
        if look.json {
            serde_json::to_writer(&mut *out, &self.json(&time, look.verbose))?;
            return writeln!(out);
        }
        // The time of day is enough for people.
        let clock = time.get(11..19).unwrap_or(&time);
        write!(out, "{NOTE}{clock}{NOTE:#} ")?;
        match self {
            Self::Connected(server) => writeln!(out, "connected to {server}"),
            Self::Disconnected { server, trouble, retry } => {
                let seconds = retry.as_secs_f64();
                match trouble {
                    None => writeln!(out, "{server} ended the stream; trying again in {seconds:.1} s"),
                    Some(trouble) => writeln!(
                        out,
                        "{ERROR}error{ERROR:#}: {server}: {trouble}; trying again until it answers"
                    ),
                }
            }
            Self::Push(push) => text(push, look.verbose, out),
            // The message names each resource with its type.
            Self::Refused(_, message) => writeln!(
                out,
                "{WARNING}warning{WARNING:#}: refused, and the control plane told so: {message}"
            ),
            Self::Absent(names) => writeln!(
                out,
                "{WARNING}warning{WARNING:#}: not sent in time by the control plane: {}",
                listed(names)
            ),
            Self::Kept(names) => writeln!(
                out,
                "{WARNING}warning{WARNING:#}: taken away by the control plane but still referred to, so kept: {}",
                listed(names)
            ),
            Self::Written(path) => writeln!(out, "wrote {}", path.display()),
            Self::Unwritten { path, error } => writeln!(
                out,
                "{ERROR}error{ERROR:#}: {} is as it was: {error}; trying again",
                path.display()
            ),
            Self::Stopped => writeln!(out, "stopped"),
        }
    }

    fn json(&self, time: &str, verbose: bool) -> Value {
        match self {
            Self::Connected(server) => json!({"time": time, "event": "connected", "server": server.to_string()}),
            Self::Disconnected { server, trouble, retry } => json!({
                "time": time,
                "event": "disconnected",
                "server": server.to_string(),
                "error": trouble.map(|trouble| trouble.message.as_str()),
                "help": trouble.and_then(|trouble| trouble.help),
                "retry_ms": u64::try_from(retry.as_millis()).unwrap_or(u64::MAX),
            }),
            Self::Push(push) => document(push, time, verbose),
            Self::Refused(kind, message) => {
                json!({"time": time, "event": "refused", "type": kind, "message": message})
            }
            Self::Absent(names) => json!({"time": time, "event": "absent", "resources": names}),
            Self::Kept(names) => json!({"time": time, "event": "kept", "resources": names}),
            Self::Written(path) => json!({"time": time, "event": "written", "file": path}),
            Self::Unwritten { path, error } => {
                json!({"time": time, "event": "unwritten", "file": path, "error": error})
            }
            Self::Stopped => json!({"time": time, "event": "stopped"}),
        }
    }
}

/// A push for people.
fn text(push: &Push, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let difference = Difference::between(&push.old, &push.new);
    if !push.first {
        writeln!(out, "{STRONG}{}{STRONG:#}", difference.counts())?;
        return if verbose {
            difference.write_whole(out)
        } else {
            difference.write_brief(out)
        };
    }
    writeln!(
        out,
        "{STRONG}{}, {} from {}, {} rejected, {}{STRONG:#}",
        number(push.totals.routes, "route"),
        number(push.totals.upstreams, "upstream"),
        number(push.totals.resources, "resource"),
        push.totals.rejected,
        number(push.new.findings.len(), "finding"),
    )?;
    if verbose {
        return difference.write_whole(out);
    }
    by_rule(&push.new.findings, out)?;
    for rejected in &push.new.rejected {
        writeln!(out, "{WARNING}warning[rejected]{WARNING:#}: {rejected}")?;
    }
    Ok(())
}

/// A line for each rule, the gravest last.
fn by_rule(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    let mut rules: BTreeMap<(Outcome, bool, &str), (&Finding, usize)> = BTreeMap::new();
    for finding in findings {
        let rule = (finding.outcome, !finding.permitted, finding.rule.name);
        rules.entry(rule).or_insert((finding, 0)).1 += 1;
    }
    for (finding, places) in rules.values() {
        let (word, color) = style::severity(finding.outcome, finding.permitted);
        let plural = if *places == 1 { "" } else { "s" };
        let (name, summary) = (finding.rule.name, finding.rule.summary);
        writeln!(
            out,
            "{color}{word}[{name}]{color:#}: {summary} ({places} place{plural})"
        )?;
    }
    Ok(())
}

/// A push for programs.
fn document(push: &Push, time: &str, verbose: bool) -> Value {
    let difference = Difference::between(&push.old, &push.new);
    let keys = |wanted: fn(Option<&Object>, Option<&Object>) -> bool| -> Vec<Value> {
        let chosen = difference
            .objects
            .iter()
            .filter(|(_, before, after)| wanted(*before, *after));
        chosen.map(|(key, _, after)| entry(key, *after, verbose)).collect()
    };
    json!({
        "time": time,
        "event": "push",
        "first": push.first,
        "added": keys(|before, after| before.is_none() && after.is_some()),
        "changed": keys(|before, after| before.is_some() && after.is_some()),
        "removed": keys(|_, after| after.is_none()),
        "findings": {"come": difference.come, "gone": difference.gone},
        "rejected": difference.rejected,
        "accepted": difference.accepted,
        "totals": push.totals,
    })
}

/// The key, or with everything asked for the object with it.
fn entry(key: &Key, object: Option<&Object>, verbose: bool) -> Value {
    match object {
        Some(object) if verbose => json!({"key": key.to_string(), "object": object}),
        _ => Value::String(key.to_string()),
    }
}
