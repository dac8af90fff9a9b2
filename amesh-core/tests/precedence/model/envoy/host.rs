//! Which virtual host a host name belongs to (SEM-H).

use envoy_types::pb::envoy::config::route::v3::VirtualHost;

/// The name up to its port. The colons of an IPv6 address are inside brackets (SEM-H05, SEM-H07).
pub(crate) fn without_port(authority: &str) -> &str {
    match (authority.rfind(':'), authority.rfind(']')) {
        (Some(colon), Some(bracket)) if bracket > colon => authority,
        (Some(colon), _) => &authority[..colon],
        (None, _) => authority,
    }
}

/// How well a domain fits, best first: exact, then the longest suffix, then the longest prefix, then `*` (SEM-H01).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Any,
    Prefix(usize),
    Suffix(usize),
    Exact,
}

/// How well a domain fits a lower-case name. A wildcard stands for at least one character (SEM-H03).
fn fit(domain: &str, name: &str) -> Option<Fit> {
    let domain = domain.to_ascii_lowercase();
    if domain == "*" {
        return Some(Fit::Any);
    }
    if let Some(suffix) = domain.strip_prefix('*') {
        return (name.len() > suffix.len() && name.ends_with(suffix)).then_some(Fit::Suffix(suffix.len()));
    }
    if let Some(prefix) = domain.strip_suffix('*') {
        return (name.len() > prefix.len() && name.starts_with(prefix)).then_some(Fit::Prefix(prefix.len()));
    }
    (domain == name).then_some(Fit::Exact)
}

/// The virtual host of a lower-case name.
pub(crate) fn choose<'a>(hosts: &'a [VirtualHost], name: &str) -> Option<&'a VirtualHost> {
    hosts
        .iter()
        .flat_map(|host| host.domains.iter().map(move |domain| (fit(domain, name), host)))
        .filter_map(|(fit, host)| Some((fit?, host)))
        .max_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, host)| host)
}
