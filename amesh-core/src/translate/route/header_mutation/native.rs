//! What APISIX's own plugins make of changes of headers.

use std::collections::BTreeMap;

use super::{NATIVE, Side};
use crate::apisix::plugin::{
    AppendAction, Command, Format, FormatPart, HeaderAddition, HeaderChanges, HeaderStep, HeaderValues,
    ResponseHeaderChanges,
};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(super) static VARIABLE: Rule = Rule::new(
    "header-mutation-variable",
    Outcome::Approximated,
    "the value of a header is made of nginx's variables",
    "Envoy does not add a header whose value comes out empty, and of several headers of one name it reads the first. \
     APISIX's own plugins then send an empty header, and read all of them joined by `, `. HTTP/2 is `HTTP/2.0` to nginx, and \
     the client's address that of the connection, whatever X-Forwarded-For says.",
    "nothing for requests that have what the value is made of; or load Amesh's Lua package",
);

/// Headers to whose value Envoy adds after a comma, where nginx would add a second line or replace the first.
const ONE_REQUEST_LINE: [&str; 21] = [
    "accept",
    "accept-encoding",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "origin",
    "pragma",
    "referer",
    "te",
    "user-agent",
    "via",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-request-id",
];
/// The same for responses. The CORS headers are there only where a policy of another kind has set them.
const ONE_RESPONSE_LINE: [&str; 9] = [
    "age",
    "content-encoding",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "via",
];

/// The addition in the words of APISIX's plugins; `None` where they have none, which is reported.
pub(super) fn sayable(
    mut addition: HeaderAddition,
    side: Side,
    at: Path<'_>,
    findings: &Findings,
) -> Option<HeaderAddition> {
    let mut variables = false;
    let text = match &addition.value {
        Format::Text(text) => (!text.contains('$')).then(|| text.clone()),
        Format::Parts(parts) => parts.iter().try_fold(String::new(), |mut text, part| {
            match part {
                FormatPart::Text(more) if !more.contains('$') => text.push_str(more),
                FormatPart::Command(command) => {
                    variables = true;
                    text.push_str(&variable(command, side)?);
                }
                FormatPart::Text(_) => return None,
            }
            Some(text)
        }),
    };
    let unconditional = matches!(addition.action, AppendAction::Append | AppendAction::Overwrite);
    let colon = |text: &String| side == Side::Response && addition.action == AppendAction::Append && text.contains(':');
    let one_line = match side {
        Side::Request => ONE_REQUEST_LINE.contains(&addition.name.as_str()),
        Side::Response => ONE_RESPONSE_LINE.contains(&addition.name.as_str()),
    };
    let joins = one_line && addition.action == AppendAction::Append;
    let Some(text) = text.filter(|text| unconditional && !joins && !colon(text)) else {
        findings.add_with(&NATIVE, at, addition.name);
        return None;
    };
    findings.add_if(variables, &VARIABLE, at.field("header"));
    addition.value = Format::Text(text);
    Some(addition)
}

/// What nginx calls it.
fn variable(command: &Command, side: Side) -> Option<String> {
    if command.max.is_some() || command.otherwise.is_some() {
        return None;
    }
    let text = match (command.command.as_str(), command.name.as_deref()) {
        ("req", Some(":method")) => "${request_method}",
        ("req", Some(":authority")) => "${http_host}",
        ("req", Some(":scheme")) => "${scheme}",
        ("req" | "resp", Some(name)) if name.starts_with(':') => return None,
        ("req", Some(name)) => return Some(format!("${{http_{}}}", name.replace('-', "_"))),
        ("resp", Some(name)) if side == Side::Response => {
            return Some(format!("${{sent_http_{}}}", name.replace('-', "_")));
        }
        ("protocol", _) => "${server_protocol}",
        ("hostname", _) => "${hostname}",
        ("requested_server_name", _) => "${ssl_server_name}",
        ("response_code", _) if side == Side::Response => "${status}",
        ("downstream_remote_address_without_port", _) => "${remote_addr}",
        ("downstream_remote_port", _) => "${remote_port}",
        ("downstream_local_address_without_port", _) => "${server_addr}",
        ("downstream_local_port", _) => "${server_port}",
        _ => return None,
    };
    Some(text.to_owned())
}

/// What the levels make of one header together.
#[derive(Default)]
struct Change {
    /// Whether what was sent goes.
    replaces: bool,
    values: Vec<String>,
}

fn fold(steps: &[HeaderStep]) -> BTreeMap<&str, Change> {
    let mut changes: BTreeMap<&str, Change> = BTreeMap::new();
    for step in steps {
        for name in &step.remove {
            let change = Change {
                replaces: true,
                values: Vec::new(),
            };
            changes.insert(name, change);
        }
        // Envoy makes additions that replace something before the others.
        for replaces in [true, false] {
            for addition in &step.add {
                let Format::Text(text) = &addition.value else { continue };
                if (addition.action == AppendAction::Overwrite) != replaces {
                    continue;
                }
                let change = changes.entry(&addition.name).or_default();
                if replaces {
                    change.replaces = true;
                    change.values.clear();
                }
                change.values.push(text.clone());
            }
        }
    }
    changes
}

pub(super) fn request(steps: &[HeaderStep]) -> HeaderChanges {
    let mut headers = HeaderChanges::default();
    for (name, Change { replaces, mut values }) in fold(steps) {
        let values = match (values.len(), values.pop()) {
            (_, None) => {
                headers.remove.push(name.to_owned());
                continue;
            }
            (1, Some(value)) => HeaderValues::One(value),
            (_, Some(value)) => {
                values.push(value);
                HeaderValues::Several(values)
            }
        };
        let to = if replaces { &mut headers.set } else { &mut headers.add };
        to.insert(name.to_owned(), values);
    }
    headers
}

/// Changes that cannot be said together are reported at the route.
pub(super) fn response(steps: &[HeaderStep], at: Path<'_>, findings: &Findings) -> ResponseHeaderChanges {
    let mut headers = ResponseHeaderChanges::default();
    for (name, Change { replaces, values }) in fold(steps) {
        match (replaces, values.as_slice()) {
            (true, []) => headers.remove.push(name.to_owned()),
            (true, [value]) => {
                headers.set.insert(name.to_owned(), value.clone());
            }
            (true, _) => findings.add_with(&NATIVE, at, name),
            (false, values) => headers
                .add
                .extend(values.iter().map(|value| format!("{name}: {value}"))),
        }
    }
    headers
}
