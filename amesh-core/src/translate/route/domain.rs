//! The domains of a virtual host, and who wins: exact, longest `*.suffix`, longest `prefix.*`, `*`.
//!
//! APISIX looks for the exact host, then for ever shorter wildcards, then at routes without a host, and goes on when
//! nothing matches. Exact and suffix domains become `hosts`; prefix domains and `*` become routes without hosts, whose
//! order is kept by priority. nginx cuts a port and one trailing dot off the host before APISIX compares it, so what
//! depends on them is asked of the Host header itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use envoy_types::pb::envoy::config::route::v3::VirtualHost;

use crate::apisix::{Expr, Operator, Value};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::regex::escape;

pub(crate) static NEVER: Rule = Rule::new(
    "domain-never-matches",
    Outcome::Ignored,
    "a domain can match no request",
    "The route configuration ignores ports when it looks for a domain, so a domain that has one never matches, in \
     Envoy either.",
    "write the domain without its port",
);

pub(crate) static HOST: Rule = Rule::new(
    "domain-not-a-host",
    Outcome::LeftOut,
    "a domain has characters that APISIX does not accept in a host",
    "Host names of APISIX routes hold letters, digits, dots, dashes, underscores, brackets and colons. nginx refuses \
     most requests for other hosts with 400; those it lets through go to a less specific virtual host.",
    "use a domain that is a host name",
);

/// Requests for some of a virtual host's domains: one APISIX route each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostGroup {
    /// `hosts` of the APISIX route; none for a route that takes any host.
    pub(crate) hosts: Vec<String>,
    /// What the host alone does not say.
    pub(crate) conditions: Vec<Expr>,
    /// Among groups without hosts, the one with the higher rank is asked first.
    pub(crate) rank: usize,
    /// Tells this group from the others of its virtual host in ids.
    pub(crate) tag: String,
}

/// The domains of a route configuration that a decision about one of them needs to know.
pub(crate) struct Domains<'a> {
    /// Every domain, in lower case.
    all: HashSet<Cow<'a, str>>,
    /// Those that end in a dot, before the port if they have one, without it.
    dotted: HashSet<String>,
    ignore_port: bool,
}

/// A domain in lower case, as it is where it is so already.
fn lower(domain: &str) -> Cow<'_, str> {
    if domain.bytes().any(|byte| byte.is_ascii_uppercase()) {
        domain.to_ascii_lowercase().into()
    } else {
        domain.into()
    }
}

impl<'a> Domains<'a> {
    pub(crate) fn of(virtual_hosts: &'a [VirtualHost], ignore_port: bool) -> Self {
        let all: HashSet<Cow<'a, str>> = virtual_hosts
            .iter()
            .flat_map(|host| &host.domains)
            .map(|domain| lower(domain))
            .collect();
        let without_dot = |domain: &Cow<'a, str>| {
            let (host, port) = split_port(domain);
            let host = host.strip_suffix('.')?;
            Some(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
        };
        let dotted = all.iter().filter_map(without_dot).collect();
        Self {
            all,
            dotted,
            ignore_port,
        }
    }

    /// The groups of one virtual host.
    pub(crate) fn groups(&self, domains: &[String], at: Path<'_>, findings: &Findings) -> Vec<HostGroup> {
        // Domains with the same conditions share a route.
        let mut hosts: BTreeMap<(Vec<Expr>, &str), BTreeSet<String>> = BTreeMap::new();
        let lower: Vec<Cow<'_, str>> = domains.iter().map(|domain| lower(domain)).collect();
        let mut groups = Vec::new();
        for (index, domain) in lower.iter().enumerate() {
            let at_domain = at.field("domains");
            let at_domain = at_domain.index(index);
            if *domain == "*" {
                groups.push(HostGroup {
                    hosts: Vec::new(),
                    conditions: Vec::new(),
                    rank: 0,
                    tag: "any".to_owned(),
                });
            } else if let Some(prefix) = domain.strip_suffix('*') {
                groups.push(self.prefix(prefix));
            } else {
                let (_, port) = split_port(domain);
                match self.host(domain, &lower) {
                    Ok((host, conditions)) => {
                        hosts
                            .entry((conditions, port.unwrap_or_default()))
                            .or_default()
                            .insert(host);
                    }
                    Err(rule) => findings.add_with(rule, at_domain, domain.clone()),
                }
            }
        }
        for ((mut conditions, port), hosts) in hosts {
            // Conditions are lists of texts, which always serialize.
            let tag = if conditions.is_empty() {
                String::new()
            } else {
                serde_json::to_string(&conditions).unwrap_or_default()
            };
            conditions.extend(self.something_before_suffix(&hosts, port));
            groups.push(HostGroup {
                hosts: hosts.into_iter().collect(),
                conditions,
                rank: 0,
                tag,
            });
        }
        groups
    }

    /// `*.foo.com` takes `.foo.com` in APISIX, where the star may stand for nothing. Envoy wants something there, and gives
    /// the name to whichever other domain suits it best; only if that is one of these hosts may the route keep it.
    fn something_before_suffix(&self, hosts: &BTreeSet<String>, port: &str) -> Option<Expr> {
        let port = if port.is_empty() {
            String::new()
        } else {
            format!(":{port}")
        };
        let known = |domain: &str| self.all.contains(format!("{domain}{port}").as_str());
        let best = |name: &str| {
            let suffixes = name
                .char_indices()
                .skip(1)
                .filter_map(|(at, _)| name.get(at..))
                .map(|suffix| format!("*{suffix}"));
            std::iter::once(name.to_owned())
                .chain(suffixes)
                .find(|domain| known(domain))
        };
        let suffixes = hosts.iter().filter_map(|host| host.strip_prefix('*'));
        let bare: Vec<String> = suffixes
            .filter(|name| best(name).is_none_or(|best| !hosts.contains(&best)))
            .map(str::to_owned)
            .collect();
        (!bare.is_empty()).then(|| Expr::compare("host", Operator::In, Value::List(bare)).negate())
    }

    /// `foo.*`: a route without hosts that looks at the Host header.
    fn prefix(&self, prefix: &str) -> HostGroup {
        // Envoy wants something where the star is; a port counts when ports are not ignored.
        let rest = if self.ignore_port { "[^:]" } else { "." };
        let pattern = format!("^{}{rest}", escape(prefix));
        HostGroup {
            hosts: Vec::new(),
            conditions: vec![Expr::compare(
                "http_host",
                Operator::MatchesIgnoringCase,
                Value::Text(pattern),
            )],
            rank: prefix.len(),
            tag: format!("{prefix}*"),
        }
    }

    /// An exact or a suffix domain: the host for APISIX, and what it does not say.
    fn host(&self, domain: &str, siblings: &[Cow<'_, str>]) -> Result<(String, Vec<Expr>), &'static Rule> {
        let mut conditions = Vec::new();
        let (mut host, port) = split_port(domain);
        if self.ignore_port {
            if port.is_some() {
                return Err(&NEVER);
            }
        } else {
            let pattern = port.map_or_else(|| "^(?:[^:]*|\\[.*\\])\\z".to_owned(), |port| format!(":{port}\\z"));
            conditions.push(Expr::matches("http_host", pattern));
        }
        // nginx cuts one trailing dot off, Envoy does not: `foo.com.` and `foo.com` are two domains. Istio lists both
        // in one virtual host, where they come to the same.
        let dotted = host.ends_with('.');
        if dotted || self.dotted.contains(domain) {
            let twin = |sibling: &str| {
                let (other, other_port) = split_port(sibling);
                let (longer, shorter) = if dotted { (host, other) } else { (other, host) };
                port == other_port && longer.strip_suffix('.') == Some(shorter)
            };
            if !siblings.iter().any(|sibling| twin(sibling)) {
                let expr = Expr::matches("http_host", "\\.(?::[0-9]*)?\\z");
                conditions.push(if dotted { expr } else { expr.negate() });
            }
        }
        host = host.strip_suffix('.').unwrap_or(host);
        let name = host.strip_prefix('*').unwrap_or(host);
        let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        if name.is_empty() || !name.bytes().all(accepted) {
            return Err(&HOST);
        }
        Ok((host.to_owned(), conditions))
    }
}

/// A host and its port. The colons of an IPv6 address are not a port's.
fn split_port(domain: &str) -> (&str, Option<&str>) {
    match domain.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !is_bare_ipv6(domain) =>
        {
            (host, Some(port))
        }
        _ => (domain, None),
    }
}

fn is_bare_ipv6(domain: &str) -> bool {
    !domain.starts_with('[') && domain.matches(':').count() > 1
}
