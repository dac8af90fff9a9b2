//! Health and priority: which endpoints Envoy would use, and which of them first.
//!
//! Endpoints that are reported unhealthy, timed out or draining get no requests. When a priority has too few healthy
//! endpoints, Envoy stops believing the reports and uses all endpoints of that priority, draining ones too: the panic
//! threshold, 50 % unless the cluster says otherwise. Istio sets it to 0, which means never.
//!
//! Priorities become APISIX's with the sign turned: Envoy's 0 is APISIX's 0, Envoy's 1 is -1. Degraded endpoints, which
//! Envoy uses when the healthy ones of all priorities cannot carry the load, come after all of those.

use super::panic::{Health, Panic, Policy};
use super::weight::Localities;
use super::{Candidate, Chosen, Use};
use crate::feature::{Feature, Message, approximate, exact};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "endpoint/health",
    summary: "Endpoints that Envoy would not use are left out; priorities keep their order.",
    messages: &[
        Message {
            name: "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy",
            fields: &[
                approximate("overprovisioning_factor", "upstream.nodes", &FAILOVER),
                approximate("weighted_priority_health", "upstream.nodes", &FAILOVER),
            ],
        },
        Message {
            name: "envoy.config.endpoint.v3.LocalityLbEndpoints",
            fields: &[approximate("priority", "upstream.nodes[].priority", &FAILOVER)],
        },
        Message {
            name: "envoy.config.endpoint.v3.LbEndpoint",
            fields: &[exact("health_status", "upstream.nodes")],
        },
    ],
    extensions: &[],
    rules: &[&DEGRADED],
};

static FAILOVER: Rule = Rule {
    name: "endpoint-failover",
    outcome: Outcome::Approximated,
    summary: "a lower priority gets requests only when the higher one has no usable endpoint, not a growing share",
    explanation: "\
Envoy multiplies the healthy share of a priority by the overprovisioning factor (1.4) and moves what is missing to 100 % \
to the next priority: with half of the endpoints of priority 0 healthy, 70 % of the requests go there and 30 % to \
priority 1.

APISIX sends everything to the highest priority that has a node. A lower one gets requests when an update leaves the \
higher one without nodes, or when outlier detection (health checks in APISIX) finds all of its nodes unhealthy.",
    advice: "set outlier detection on services with failover, so that APISIX notices when a priority is down",
};

static DEGRADED: Rule = Rule {
    name: "endpoint-degraded",
    outcome: Outcome::Approximated,
    summary: "degraded endpoints get requests only when no healthy one is usable",
    explanation: "\
Envoy sends degraded endpoints the share of requests that the healthy ones cannot carry: 28 % when one endpoint of two \
is healthy and the other degraded. In APISIX they have a lower priority, so they get requests only when no healthy \
endpoint is left.",
    advice: "none is needed unless the healthy endpoints alone are too few",
};

/// Below every priority that healthy endpoints can have: Envoy's priorities end at 128.
const DEGRADED_OFFSET: i64 = 129;

/// The endpoints that get requests, with their priorities and weights in APISIX.
pub(crate) fn choose<'m>(
    candidates: Vec<Candidate<'m>>,
    policy: Policy,
    how: Use,
    weights: &Localities<'m>,
    list: Path<'_>,
    findings: &Findings,
) -> Vec<Chosen<'m>> {
    let panic = if candidates.iter().all(|candidate| candidate.health == Health::Healthy) {
        Panic::default()
    } else {
        Panic::of(&candidates, policy, how.panic_threshold)
    };
    // Envoy's rings and tables weigh localities without looking at how many of their endpoints are healthy.
    let overprovisioning = if how.balances.hashing().is_some() {
        u32::MAX
    } else {
        policy.overprovisioning
    };
    let shares = how
        .locality_weights
        .then(|| weights.shares(&candidates, overprovisioning, &panic, list, findings));
    let mut degraded = 0;
    let mut chosen = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.into_iter().enumerate() {
        let level = -i64::from(candidate.priority);
        let priority = match candidate.health {
            _ if panic.is_total() => 0,
            _ if panic.at(candidate.priority) => level,
            Health::Healthy => level,
            Health::Degraded => {
                degraded += 1;
                level - DEGRADED_OFFSET
            }
            Health::Unhealthy | Health::Draining => continue,
        };
        let weight = match shares.as_ref().and_then(|shares| shares.get(index)) {
            Some(0) => continue,
            Some(share) => *share,
            None => candidate.weight,
        };
        chosen.push(Chosen {
            host: candidate.host,
            port: candidate.port,
            weight,
            priority,
            name: candidate.name,
            socket: candidate.socket,
            hash_key: candidate.hash_key,
            place: candidate.place,
        });
    }
    if degraded > 0 {
        findings.add_with(&DEGRADED, list, super::count(degraded));
    }
    if several_levels(&chosen) {
        findings.add(&FAILOVER, list);
    }
    chosen
}

/// Whether nodes stand at more than one of Envoy's priorities.
fn several_levels(chosen: &[Chosen<'_>]) -> bool {
    let mut levels = chosen.iter().map(|chosen| match chosen.priority {
        degraded if degraded <= -DEGRADED_OFFSET => degraded + DEGRADED_OFFSET,
        healthy => healthy,
    });
    let first = levels.next();
    levels.any(|level| Some(level) != first)
}
