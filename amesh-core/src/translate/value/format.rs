//! Format strings: texts with commands such as `%REQ(x-user)%` in them, which Envoy replaces for each request.

use crate::apisix::plugin::{Command, Format, FormatPart};
use crate::feature::Feature;
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "value/format",
    summary: "Format strings become lists of texts and commands, which Amesh's plugins fill in.",
    messages: &[],
    extensions: &[],
    rules: &[&COMMAND, &CLUSTER],
};

pub(crate) static COMMAND: Rule = Rule::new(
    "format-command",
    Outcome::LeftOut,
    "a header whose value needs something that nginx does not know is left out",
    "Envoy replaces commands such as `%REQ(x-user)%` in the value of a header. Those for headers, addresses, ports, the \
     protocol, the time, the host name, the names of cluster and route, the server name and the response's status are \
     carried over, and what nginx knows of TLS. A header with another command is not added: one with a wrong value \
     could be believed.",
    "use a command that is carried over",
);

pub(crate) static CLUSTER: Rule = Rule::new(
    "format-cluster",
    Outcome::Approximated,
    "the cluster is called by its name where it may have another for statistics",
    "For `%UPSTREAM_CLUSTER%` Envoy writes the cluster's `alt_stat_name` where it has one. APISIX writes its name.",
    "use `%UPSTREAM_CLUSTER_RAW%`, which is the name",
);

/// Commands without parameters that Amesh's plugins know.
const PLAIN: [&str; 25] = [
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_LOCAL_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_PORT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_PEER_FINGERPRINT_1",
    "DOWNSTREAM_PEER_ISSUER",
    "DOWNSTREAM_PEER_SERIAL",
    "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_VERSION",
    "HOSTNAME",
    "PROTOCOL",
    "REQUESTED_SERVER_NAME",
    "RESPONSE_CODE",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_HOST",
];

/// What a route knows of its requests before they come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) route: &'a str,
    /// The cluster; empty where there is none, `None` where a request chooses it.
    pub(crate) cluster: Option<&'a str>,
}

/// Reads a format string; `None` where it cannot be carried over, which is reported.
pub(crate) fn format(text: &str, at: Path<'_>, findings: &Findings) -> Option<Format> {
    match parse(text) {
        Ok(Format::Parts(parts)) => {
            let is_cluster =
                |part: &FormatPart| matches!(part, FormatPart::Command(it) if it.command == "upstream_cluster");
            findings.add_if(parts.iter().any(is_cluster), &CLUSTER, at);
            Some(Format::Parts(parts))
        }
        Ok(text) => Some(text),
        Err(command) => {
            findings.add_with(&COMMAND, at, command);
            None
        }
    }
}

/// Puts in what is known of a route.
pub(crate) fn resolve(format: &Format, known: Known<'_>) -> Format {
    let Format::Parts(parts) = format else {
        return format.clone();
    };
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        let text = match part {
            FormatPart::Text(text) => Some(text.as_str()),
            FormatPart::Command(command) => {
                let text = match command.command.as_str() {
                    "route_name" => Some(known.route),
                    "upstream_cluster" | "upstream_cluster_raw" => known.cluster,
                    _ => None,
                };
                let most = command.max.unwrap_or(usize::MAX);
                // Cut at bytes, where that leaves a text.
                text.map(|text| text.get(..most.min(text.len())).unwrap_or(text))
            }
        };
        match text {
            Some(text) => push_text(&mut out, text),
            None => out.push(part.clone()),
        }
    }
    finish(out)
}

/// Lets a client's address be the one that a header tells.
pub(crate) fn believe(format: &mut Format, hop: u32) {
    let Format::Parts(parts) = format else { return };
    for part in parts {
        if let FormatPart::Command(command) = part
            && command.command.starts_with("downstream_remote_")
        {
            command.hop = Some(hop);
        }
    }
}

fn push_text(parts: &mut Vec<FormatPart>, text: &str) {
    match parts.last_mut() {
        Some(FormatPart::Text(before)) => before.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(FormatPart::Text(text.to_owned())),
    }
}

fn finish(mut parts: Vec<FormatPart>) -> Format {
    match parts.pop() {
        None => Format::Text(String::new()),
        Some(FormatPart::Text(text)) if parts.is_empty() => Format::Text(text),
        Some(last) => {
            parts.push(last);
            Format::Parts(parts)
        }
    }
}

/// The parts of a text, or the command that is not known.
fn parse(text: &str) -> Result<Format, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        push_text(&mut parts, before);
        if let Some(after) = after.strip_prefix('%') {
            push_text(&mut parts, "%");
            rest = after;
            continue;
        }
        let (command, after) = one(after).ok_or_else(|| format!("%{after}"))?;
        parts.push(FormatPart::Command(command?));
        rest = after;
    }
    push_text(&mut parts, rest);
    Ok(finish(parts))
}

/// The command after a `%` and what follows it: `NAME%`, `NAME(parameters)%` or either with `:LENGTH` before the last `%`.
fn one(text: &str) -> Option<(Result<Command, String>, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))?;
    let (name, mut rest) = text.split_at_checked(end)?;
    let mut parameters = None;
    if let Some(inner) = rest.strip_prefix('(') {
        let (inside, after) = inner.split_once(')')?;
        parameters = Some(inside);
        rest = after;
    }
    let mut max = None;
    if let Some(after) = rest.strip_prefix(':') {
        let digits = after.find('%')?;
        let (number, after) = after.split_at_checked(digits)?;
        max = Some(number.parse().ok()?);
        rest = after;
    }
    let rest = rest.strip_prefix('%')?;
    if name.is_empty() {
        return None;
    }
    Some((command(name, parameters, max).ok_or_else(|| name.to_owned()), rest))
}

fn command(name: &str, parameters: Option<&str>, max: Option<usize>) -> Option<Command> {
    let mut command = Command {
        command: name.to_ascii_lowercase(),
        name: None,
        otherwise: None,
        hop: None,
        format: None,
        max,
    };
    match (name, parameters) {
        ("REQ" | "RESP", Some(headers)) => {
            let (first, second) = headers
                .split_once('?')
                .map_or((headers, None), |(first, second)| (first, Some(second)));
            command.name = Some(first.to_ascii_lowercase());
            command.otherwise = second.map(str::to_ascii_lowercase);
        }
        ("START_TIME", Some(format)) if is_time(format) => {
            command.format = (!format.is_empty()).then(|| format.to_owned());
        }
        ("ROUTE_NAME" | "START_TIME", None) => {}
        (_, None) if PLAIN.contains(&name) => {}
        _ => return None,
    }
    Some(command)
}

/// Whether every conversion of a time is one that Amesh's plugins know.
fn is_time(format: &str) -> bool {
    let mut rest = format.chars();
    while let Some(next) = rest.next() {
        if next != '%' {
            continue;
        }
        match rest.next() {
            Some('1'..='9') if rest.next() == Some('f') => {}
            Some('E') if rest.next().is_some_and(|c| c.is_ascii_digit()) && rest.next() == Some('S') => {}
            Some('Y' | 'm' | 'd' | 'H' | 'M' | 'S' | 's' | 'f' | 'T' | 'F' | 'y' | 'j' | 'a' | 'b' | 'z' | 'Z') => {}
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        serde_json::to_string(&parse(text).unwrap()).unwrap()
    }

    #[test]
    fn texts_and_commands() {
        assert_eq!(json("plain"), r#""plain""#);
        assert_eq!(json("100%%"), r#""100%""#);
        assert_eq!(json("a-%PROTOCOL%-b"), r#"["a-",{"command":"protocol"},"-b"]"#);
        assert_eq!(
            json("%REQ(X-A?:PATH):7%"),
            r#"[{"command":"req","name":"x-a","otherwise":":path","max":7}]"#
        );
        assert_eq!(
            json("%START_TIME(%s.%3f)%"),
            r#"[{"command":"start_time","format":"%s.%3f"}]"#
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert_eq!(parse("%DYNAMIC_METADATA(a:b)%"), Err("DYNAMIC_METADATA".to_owned()));
        assert_eq!(parse("%START_TIME(%Q)%"), Err("START_TIME".to_owned()));
        assert_eq!(parse("%REQ%"), Err("REQ".to_owned()));
        assert_eq!(parse("50% off"), Err("% off".to_owned()));
        assert_eq!(parse("%"), Err("%".to_owned()));
    }

    #[test]
    fn what_a_route_knows_is_a_text() {
        let known = Known {
            route: "name",
            cluster: Some("c"),
        };
        let resolved = resolve(
            &parse("a %ROUTE_NAME% %ROUTE_NAME:2%%UPSTREAM_CLUSTER%").unwrap(),
            known,
        );
        assert_eq!(resolved, Format::Text("a name nac".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[%A-Z():?0-9a-zé ]{0,30}") {
            drop(parse(&text));
        }
    }
}
