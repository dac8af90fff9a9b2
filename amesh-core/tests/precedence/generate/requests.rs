//! Requests drawn from a table's own words, so that most of them hit something, and many miss it by a little.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteConfiguration};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::routes::{HEADERS, METHODS, PARAMETER_VALUES, PARAMETERS, PATHS, VALUES};
use super::table::{NAMES, Table};
use crate::model::request::Request;

/// A die with a seed (splitmix64).
pub(crate) struct Die(pub(crate) u64);

impl Die {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.roll().is_multiple_of(n)
    }

    /// One of a list, `None` of an empty one.
    pub(crate) fn one<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let length = u64::try_from(list.len()).expect("a length");
        let index = usize::try_from(self.roll().checked_rem(length)?).expect("an index");
        list.get(index)
    }

    pub(crate) fn word(&mut self, list: &[&str]) -> String {
        (*self.one(list).expect("a list of words")).to_owned()
    }
}

/// A request to one of the addresses, meant for a route of one of the configurations.
pub(crate) fn request(die: &mut Die, routes: &[RouteConfiguration], to: &[SocketAddr]) -> Request {
    let to = *die.one(to).expect("an address");
    let routes = die.one(routes).expect("a route configuration");
    let host = die.one(&routes.virtual_hosts);
    let authority = match host.and_then(|host| die.one(&host.domains)) {
        Some(domain) if !die.once_in(8) => authority(die, domain),
        _ => die.word(NAMES),
    };
    let authority = if has_port(&authority) || !die.once_in(6) {
        authority
    } else {
        format!("{authority}:{}", to.port())
    };
    let mut request = Request {
        method: if die.once_in(2) {
            "GET".to_owned()
        } else {
            die.word(METHODS)
        },
        target: die.word(PATHS),
        authority: repaired(&authority),
        headers: Vec::new(),
        to,
    };
    let conditions = host
        .and_then(|host| die.one(&host.routes))
        .and_then(|route| route.r#match.as_ref());
    let mut parameters = Vec::new();
    if let Some(conditions) = conditions {
        if !die.once_in(8) {
            request.target = path(die, conditions.path_specifier.as_ref());
        }
        for matcher in &conditions.headers {
            if !die.once_in(10) {
                satisfy(die, &mut request, matcher);
            }
        }
        for matcher in &conditions.query_parameters {
            if !die.once_in(10) {
                parameters.extend(parameter(die, matcher));
            }
        }
        if conditions.grpc.is_some() && !die.once_in(4) {
            request
                .headers
                .push(("content-type".to_owned(), "application/grpc".to_owned()));
        }
    }
    if die.once_in(3) {
        request.headers.push((die.word(HEADERS), die.word(VALUES)));
    }
    if die.once_in(4) {
        parameters.push(format!("{}={}", die.word(PARAMETERS), die.word(PARAMETER_VALUES)));
    }
    if die.once_in(12) {
        parameters.push(die.word(PARAMETERS));
    }
    if !parameters.is_empty() || die.once_in(20) {
        let separator = if request.target.contains('?') { '&' } else { '?' };
        request.target = format!("{}{separator}{}", request.target, parameters.join("&"));
    }
    request
}

/// A request for a table, to one of the addresses; mostly to one where somebody listens. Where nothing is intercepted, the
/// port is in the Host header.
pub(crate) fn request_for(die: &mut Die, table: &Table, to: &[SocketAddr], port_in_host: bool) -> Request {
    let mut address = *die.one(to).expect("an address");
    for _ in 0..6 {
        if table.routes_at(address).is_none() {
            address = *die.one(to).expect("an address");
        }
    }
    let routes = table
        .routes_at(address)
        .map_or(table.routes.as_slice(), std::slice::from_ref);
    let mut request = request(die, routes, &[address]);
    if port_in_host && address.port() != 80 && !has_port(&request.authority) && !die.once_in(10) {
        request.authority = format!("{}:{}", request.authority, address.port());
    }
    request
}

/// A Host header for a domain: the domain, or with something for its wildcard, sometimes nothing.
fn authority(die: &mut Die, domain: &str) -> String {
    let filling = die.word(&["a", "a.b", "z-x", "b", "c", "com", "8"]);
    let filling = if die.once_in(8) { "" } else { &filling };
    let host = domain.replacen('*', filling, 1);
    match die.roll() % 12 {
        0 => host.to_ascii_uppercase(),
        1 if !host.contains(':') => format!("{host}."),
        2 if has_port(&host) => host.rsplit_once(':').map_or(String::new(), |(name, _)| name.to_owned()),
        _ => host,
    }
}

/// Whether a port follows the name; the colons of an IPv6 address are inside brackets.
fn has_port(authority: &str) -> bool {
    authority
        .rsplit_once(':')
        .is_some_and(|(name, _)| !name.contains('[') || name.ends_with(']'))
}

/// nginx refuses names that are empty or have an empty label, where Envoy looks for a route: such a request never
/// reaches APISIX.
fn repaired(authority: &str) -> String {
    let name = authority.split(':').next().unwrap_or_default();
    let bracketed = authority.starts_with('[') && authority.contains(']');
    if bracketed || !(name.is_empty() || name == "." || name.contains("..")) {
        authority.to_owned()
    } else {
        "foo.com".to_owned()
    }
}

fn path(die: &mut Die, specifier: Option<&PathSpecifier>) -> String {
    let base = match specifier {
        Some(PathSpecifier::Prefix(path) | PathSpecifier::Path(path) | PathSpecifier::PathSeparatedPrefix(path)) => {
            path.clone()
        }
        _ => die.word(PATHS),
    };
    let base = match die.roll() % 12 {
        0 => base.to_ascii_uppercase(),
        1 => base.to_ascii_lowercase(),
        _ => base,
    };
    let end = die.word(&["", "", "", "", "", "/", "/b", "b", "/a/b", ".", "x"]);
    let path = format!("{base}{end}");
    if path.starts_with('/') {
        path.replace("//", "/")
    } else {
        format!("/{path}")
    }
}

/// Makes a header matcher hold, mostly.
fn satisfy(die: &mut Die, request: &mut Request, matcher: &HeaderMatcher) {
    #[expect(deprecated, reason = "Istio still sends them")]
    let value = match &matcher.header_match_specifier {
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => text(die, matcher),
        Some(
            HeaderMatchSpecifier::ExactMatch(text)
            | HeaderMatchSpecifier::PrefixMatch(text)
            | HeaderMatchSpecifier::SuffixMatch(text)
            | HeaderMatchSpecifier::ContainsMatch(text),
        ) => text.clone(),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => {
            let value = [range.start, range.end - 1, range.end];
            die.one(&value).map(ToString::to_string).unwrap_or_default()
        }
        _ => die.word(VALUES),
    };
    // An inverted match holds for other values: leave the header out, or send something else.
    let value = if matcher.invert_match { die.word(VALUES) } else { value };
    match matcher.name.as_str() {
        ":method" if !matcher.invert_match && METHODS.contains(&value.as_str()) => request.method = value,
        ":authority" | "host" if NAMES.contains(&value.as_str()) => request.authority = value,
        ":path" if value.starts_with('/') => request.target = value,
        name if !name.starts_with(':') && name != "host" && !(matcher.invert_match && die.once_in(2)) => {
            request.headers.push((name.to_owned(), value));
        }
        _ => {}
    }
}

fn text(die: &mut Die, matcher: &StringMatcher) -> String {
    let value = match matcher.match_pattern.as_ref() {
        Some(MatchPattern::Exact(text)) => text.clone(),
        Some(MatchPattern::Prefix(text)) => format!("{text}{}", die.word(&["", "c", "b"])),
        Some(MatchPattern::Suffix(text)) => format!("{}{text}", die.word(&["", "c", "a"])),
        Some(MatchPattern::Contains(text)) => format!("{}{text}c", die.word(&["", "c", "a"])),
        _ => die.word(&["a", "b", "ab", "abc", "a.c", "12", "a,b", ""]),
    };
    match die.roll() % 6 {
        0 => value.to_ascii_uppercase(),
        1 => value.to_ascii_lowercase(),
        _ => value,
    }
    .trim()
    .to_owned()
}

/// A query parameter that a matcher takes, mostly; sometimes after another of the same name, which then counts.
fn parameter(die: &mut Die, matcher: &QueryParameterMatcher) -> Option<String> {
    let name = &matcher.name;
    let value = match &matcher.query_parameter_match_specifier {
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => text(die, matcher).replace(' ', "+"),
        Some(QueryParameterMatchSpecifier::PresentMatch(false)) => return None,
        _ => die.word(PARAMETER_VALUES),
    };
    Some(match die.roll() % 8 {
        0 => format!("{name}={}&{name}={value}", die.word(PARAMETER_VALUES)),
        1 if value.is_empty() => name.clone(),
        _ => format!("{name}={value}"),
    })
}

/// The addresses that clients of these ports may connect to.
pub(crate) fn anywhere(ports: &[u16], addresses: &[IpAddr]) -> Vec<SocketAddr> {
    ports
        .iter()
        .flat_map(|port| addresses.iter().map(|ip| SocketAddr::new(*ip, *port)))
        .collect()
}

/// The address of a server on this machine.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
