//! How nginx reads what it does not take as it is: paths are decoded, dot segments resolved and slashes merged, and a dot at
//! the end of a host is cut off. What it answers must be what Envoy answers to the same request in plain spelling.

use std::fmt::Write as _;

use crate::requests::Request;

/// A path as nginx compares it; nothing where it refuses the request.
fn plain(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()?),
            _ => segments.push(segment),
        }
    }
    let slash = ["/", "/.", "/.."].iter().any(|end| text.ends_with(end)) && !segments.is_empty();
    Some(format!("/{}{}", segments.join("/"), if slash { "/" } else { "" }))
}

/// A path as it is sent.
fn encoded(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("text");
        }
    }
    encoded
}

/// Whether nginx takes a path as it is.
pub(crate) fn is_plain(path: &str) -> bool {
    plain(path).is_some_and(|plain| encoded(&plain) == path)
}

/// Whether nginx takes two targets for the same.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let split = |target: &str| match target.split_once('?') {
        Some((path, query)) => Some((plain(path)?, Some(query.to_owned()))),
        None => Some((plain(target)?, None)),
    };
    one == other || split(one).is_some_and(|one| Some(one) == split(other))
}

/// Whether two locations lead to what nginx takes for the same.
pub(crate) fn same_location(one: &str, other: &str) -> bool {
    let split = |location: &str| {
        let (scheme, rest) = location.split_once("://")?;
        let at = rest.find('/').unwrap_or(rest.len());
        Some((scheme.to_owned(), host(&rest[..at]), rest[at..].to_owned()))
    };
    match (split(one), split(other)) {
        (Some(one), Some(other)) => (&one.0, &one.1) == (&other.0, &other.1) && same(&one.2, &other.2),
        _ => one == other,
    }
}

/// A host without the dot at its end.
pub(crate) fn host(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) => format!("{}:{port}", name.strip_suffix('.').unwrap_or(name)),
        None => host.strip_suffix('.').unwrap_or(host).to_owned(),
    }
}

/// The same request in plain spelling.
pub(crate) enum Tame {
    /// It is spelled plainly.
    Already,
    /// nginx refuses it.
    Refused,
    /// The request, and the rules that say that this is how it is read.
    As(Request, Vec<&'static str>),
}

impl Tame {
    /// `paths`: whether routes compare the path as nginx reads it, and not as Envoy does.
    pub(crate) fn new(request: &Request, paths: bool) -> Self {
        let Some(path) = plain(request.path()) else {
            return Self::Refused;
        };
        let mut tame = request.clone();
        let mut rules = Vec::new();
        let path = encoded(&path);
        if paths && path != request.path() {
            tame.target = format!("{path}{}", &request.target[request.path().len()..]);
            rules.push("nginx-path");
        }
        tame.host = host(&request.host);
        if tame.host != request.host {
            rules.push("nginx-request");
        }
        if rules.is_empty() {
            Self::Already
        } else {
            Self::As(tame, rules)
        }
    }
}

#[test]
fn plain_paths_are_those_of_nginx() {
    for (path, expected) in [
        ("/", Some("/")),
        ("/a/", Some("/a/")),
        ("//a//b", Some("/a/b")),
        ("/a%2Fb/./c", Some("/a/b/c")),
        ("/a/b/..", Some("/a/")),
        ("/a/..", Some("/")),
        ("/../a", None),
    ] {
        assert_eq!(plain(path).as_deref(), expected, "{path}");
    }
}
