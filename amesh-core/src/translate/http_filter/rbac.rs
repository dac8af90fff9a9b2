//! `RBAC`: Istio's `AuthorizationPolicy`. Not carried over, so what it guards is answered 403.

use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::{Rbac, RbacPerRoute};
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;

use crate::decode::extension;
use crate::feature::{Extension, Fate, Feature};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "http_filter/rbac",
    summary: "Authorization policies are not carried over; what they guard is answered 403.",
    messages: &[],
    extensions: &[
        Extension::same(
            "envoy.extensions.filters.http.rbac.v3.RBAC",
            Fate::Unsupported { rule: &AUTHORIZATION },
        ),
        Extension::same(
            "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
            Fate::Unsupported { rule: &AUTHORIZATION },
        ),
    ],
    rules: &[&SHADOW],
};

static AUTHORIZATION: Rule = Rule::new(
    "authorization-policy",
    Outcome::FailsClosed,
    "an authorization policy cannot be carried over",
    "Istio's AuthorizationPolicy becomes Envoy's RBAC filter, which allows or denies requests by who sends them and what \
     they ask for. It is not carried over, so every request that it would have judged is answered 403.",
    "remove the policy from this workload, or permit the rule to serve every request",
);

static SHADOW: Rule = Rule::new(
    "authorization-dry-run",
    Outcome::Ignored,
    "an authorization policy that only logs is left out",
    "A policy in dry run, an AUDIT policy, or the part of a CUSTOM policy that only marks requests never refuses one. \
     Nothing is logged.",
    "nothing",
);

/// Looks at the filter of a connection manager.
pub(super) fn filter(config: &Any, at: Path<'_>, findings: &Findings) -> Option<u32> {
    match Rbac::decode(config.value.as_slice()) {
        Ok(rbac) if !guards(&rbac) => {
            findings.add(&SHADOW, at);
            None
        }
        // A policy that cannot be read is one that may deny.
        Ok(_) | Err(_) => (!findings.permits(&AUTHORIZATION, at, None)).then_some(403),
    }
}

/// Whether a route's own policy may refuse requests.
pub(super) fn per_route_guards(config: &Any) -> bool {
    match extension::decode::<RbacPerRoute>(config) {
        // Without a policy the filter is off for the route.
        Some(Ok(RbacPerRoute { rbac })) => rbac.is_some_and(|rbac| guards(&rbac)),
        Some(Err(_)) | None => true,
    }
}

/// Whether the filter may refuse a request: not without enforced rules, not when they only log, and not when they deny
/// what no policy describes.
fn guards(rbac: &Rbac) -> bool {
    let Rbac {
        rules,
        rules_stat_prefix: _,
        matcher,
        shadow_rules: _,
        shadow_matcher: _,
        shadow_rules_stat_prefix: _,
        track_per_rule_stats: _,
    } = rbac;
    let by_rules = rules
        .as_ref()
        .is_some_and(|rules| match Action::try_from(rules.action) {
            Ok(Action::Log) => false,
            Ok(Action::Deny) => !rules.policies.is_empty(),
            Ok(Action::Allow) | Err(_) => true,
        });
    by_rules || matcher.is_some()
}
