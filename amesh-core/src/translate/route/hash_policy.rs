//! `HashPolicy`: what keeps requests of one client on one endpoint.
//!
//! A policy matters only for clusters that balance by hashes, and APISIX's `chash` has the key of the hash in the upstream,
//! which many routes may share. So stock APISIX does without. With Amesh's package the route says what is hashed, as in
//! Envoy, and the balancers `amesh_ring_hash` and `amesh_maglev` ask for it.

use envoy_types::pb::envoy::config::route::v3::route_action::HashPolicy;
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, CookieAttribute, FilterState, Header, PolicySpecifier, QueryParameter,
};

use crate::apisix::plugin::{self, AmeshHash, HashCookie, HashHeader, HashOf, Retry};
use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static FEATURE: Feature = Feature {
    name: "route/hash_policy",
    summary: "Hash policies become the amesh-hash plugin; without it no hash is made.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.RouteAction",
            fields: &[unsupported("hash_policy", &HASH).amesh_exact("amesh-hash.policies")],
        },
        Message {
            name: "envoy.config.route.v3.RouteAction.HashPolicy",
            fields: &[
                unsupported("header", &HASH).amesh_exact("amesh-hash.policies[].header"),
                unsupported("cookie", &HASH).amesh_exact("amesh-hash.policies[].cookie"),
                unsupported("connection_properties", &HASH).amesh_exact("amesh-hash.policies[].source_ip"),
                unsupported("query_parameter", &HASH).amesh_exact("amesh-hash.policies[].query"),
                unsupported("filter_state", &HASH).amesh_unsupported(&OTHER),
                unsupported("terminal", &HASH).amesh_exact("amesh-hash.policies[].terminal"),
            ],
        },
        Message {
            name: "envoy.config.route.v3.RouteAction.HashPolicy.Header",
            fields: &[
                unsupported("header_name", &HASH).amesh_exact("amesh-hash.policies[].header.name"),
                unsupported("regex_rewrite", &HASH).amesh_unsupported(&PART),
            ],
        },
        Message {
            name: "envoy.config.route.v3.RouteAction.HashPolicy.Cookie",
            fields: &[
                unsupported("name", &HASH).amesh_exact("amesh-hash.policies[].cookie.name"),
                unsupported("ttl", &HASH).amesh_exact("amesh-hash.policies[].cookie.ttl"),
                unsupported("path", &HASH).amesh_exact("amesh-hash.policies[].cookie.path"),
                unsupported("attributes", &HASH).amesh_exact("amesh-hash.policies[].cookie.attributes"),
            ],
        },
        Message {
            name: "envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute",
            fields: &[
                unsupported("name", &HASH).amesh_exact("amesh-hash.policies[].cookie.attributes[].name"),
                unsupported("value", &HASH).amesh_exact("amesh-hash.policies[].cookie.attributes[].value"),
            ],
        },
        Message {
            name: "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties",
            fields: &[unsupported("source_ip", &HASH).amesh_exact("amesh-hash.policies[].source_ip")],
        },
        Message {
            name: "envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter",
            fields: &[unsupported("name", &HASH).amesh_exact("amesh-hash.policies[].query")],
        },
    ],
    extensions: &[],
    rules: &[],
};

static HASH: Rule = Rule::new(
    "route-hash-policy",
    Outcome::LeftOut,
    "requests of one client are not kept on one endpoint",
    "Envoy hashes a header, a cookie, a query parameter or the client's address and sends equal requests to the same \
     endpoint. APISIX's own consistent hashing has its key in the upstream, which routes with other policies may share, and \
     another ring: requests are spread evenly, and no cookie is set.",
    "run APISIX with Amesh's Lua package, which hashes as Envoy does",
);

static OTHER: Rule = Rule::new(
    "route-hash-policy-other",
    Outcome::LeftOut,
    "a hash policy reads what APISIX does not have",
    "Envoy can hash an object that one of its filters has left in the state of the request. There are no such objects in \
     APISIX, so the policy is left out: other policies of the route still count, and without one the endpoint is drawn.",
    "hash a header or a cookie",
);

static PART: Rule = Rule::new(
    "route-hash-policy-part",
    Outcome::LeftOut,
    "a header is hashed as a whole, not what a pattern makes of it",
    "Envoy can replace parts of a header's value before it hashes it, so that values that differ elsewhere go to the same \
     endpoint. That is not carried over: only equal values are kept together.",
    "hash a header that has the part alone",
);

/// The plugin for a route; `None` when nothing is hashed.
pub(super) fn read(
    policies: &[HashPolicy],
    retry: Option<&Retry>,
    at: Path<'_>,
    findings: &Findings,
) -> Option<AmeshHash> {
    let at = at.field("hash_policy");
    if findings.options().target != Target::Amesh {
        findings.add_if(!policies.is_empty(), &HASH, at);
        return None;
    }
    let policies: Vec<_> = policies
        .iter()
        .enumerate()
        .filter_map(|(index, policy)| one(policy, at.index(index), findings))
        .collect();
    (!policies.is_empty()).then(|| AmeshHash {
        policies,
        other_hosts: retry.and_then(|retry| retry.other_hosts),
    })
}

fn one(policy: &HashPolicy, at: Path<'_>, findings: &Findings) -> Option<plugin::HashPolicy> {
    let HashPolicy {
        terminal,
        policy_specifier,
    } = policy;
    let of = match policy_specifier {
        Some(PolicySpecifier::Header(header)) => {
            let Header {
                header_name,
                regex_rewrite,
            } = header;
            let at = at.field("header");
            findings.add_if(regex_rewrite.is_some(), &PART, at.field("regex_rewrite"));
            HashOf::Header(HashHeader {
                name: header_name.to_ascii_lowercase(),
            })
        }
        Some(PolicySpecifier::Cookie(it)) => HashOf::Cookie(cookie(it)),
        Some(PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip })) => {
            if !source_ip {
                // No policy at all to Envoy.
                return None;
            }
            HashOf::SourceIp(true)
        }
        Some(PolicySpecifier::QueryParameter(QueryParameter { name })) => HashOf::Query(name.clone()),
        Some(PolicySpecifier::FilterState(FilterState { key })) => {
            findings.add_with(&OTHER, at.field("filter_state"), key.as_str());
            return None;
        }
        None => {
            findings.add_with(&OTHER, at, "no policy that Amesh knows");
            return None;
        }
    };
    Some(plugin::HashPolicy {
        of,
        terminal: *terminal,
    })
}

fn cookie(cookie: &Cookie) -> HashCookie {
    let Cookie {
        name,
        ttl,
        path,
        attributes,
    } = cookie;
    HashCookie {
        name: name.clone(),
        // Envoy reads whole seconds.
        ttl: ttl.as_ref().map(|ttl| u64::try_from(ttl.seconds).unwrap_or(0)),
        path: Some(path.clone()).filter(|path| !path.is_empty()),
        attributes: attributes
            .iter()
            .map(|CookieAttribute { name, value }| plugin::CookieAttribute {
                name: name.clone(),
                value: Some(value.clone()).filter(|value| !value.is_empty()),
            })
            .collect(),
    }
}
