//! Health and priority: which endpoints Envoy would use, and which of them first.
//!
//! Endpoints that are reported unhealthy, timed out or draining get no requests. When a priority has too few healthy
//! endpoints, Envoy stops believing the reports and uses all endpoints of that priority, draining ones too: the panic
//! threshold, 50 % unless the cluster says otherwise. Istio sets it to 0, which means never. The arithmetic here is
//! Envoy's (`LoadBalancerBase::recalculatePerPriorityState`, seen to give Envoy 1.40's answers), for what the control
//! plane reports; what outlier detection and health checks find out later is not in an assignment.
//!
//! Priorities become APISIX's with the sign turned: Envoy's 0 is APISIX's 0, Envoy's 1 is -1. Degraded endpoints, which
//! Envoy uses when the healthy ones of all priorities cannot carry the load, come after all of those.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::HealthStatus;

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

/// Envoy's overprovisioning factor, in percent, when the policy sets none.
pub(crate) const OVERPROVISIONING: u32 = 140;

/// What the assignment's policy says about health.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// In percent.
    pub(crate) overprovisioning: u32,
    /// Whether a priority's health counts weights instead of endpoints.
    pub(crate) weighted: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            overprovisioning: OVERPROVISIONING,
            weighted: false,
        }
    }
}

/// The health that the control plane reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    Degraded,
    Unhealthy,
    /// Unhealthy, and not counted when the share of healthy endpoints is worked out.
    Draining,
}

impl Health {
    /// The health of that `HealthStatus`; a status that is newer than Amesh's types is not trusted.
    pub(crate) fn of(status: i32) -> Self {
        match HealthStatus::try_from(status) {
            Ok(HealthStatus::Unknown | HealthStatus::Healthy) => Self::Healthy,
            Ok(HealthStatus::Degraded) => Self::Degraded,
            Ok(HealthStatus::Draining) => Self::Draining,
            Ok(HealthStatus::Unhealthy | HealthStatus::Timeout) | Err(_) => Self::Unhealthy,
        }
    }
}

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
    let shares = how
        .locality_weights
        .then(|| weights.shares(&candidates, policy.overprovisioning, &panic, list, findings));
    let mut degraded = 0;
    let mut chosen = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.into_iter().enumerate() {
        let level = -i64::from(candidate.priority);
        let priority = match candidate.health {
            _ if panic.total => 0,
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

/// Which priorities do not believe the reports.
#[derive(Debug, Default)]
pub(crate) struct Panic {
    /// All of them: then requests are spread over all endpoints, whatever their priority.
    total: bool,
    priorities: Vec<u32>,
}

/// How many endpoints of a priority are how healthy, and what they weigh.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    healthy: u64,
    degraded: u64,
    /// All but draining ones.
    counted: u64,
    healthy_weight: u64,
    degraded_weight: u64,
    counted_weight: u64,
}

impl Panic {
    /// Whether all endpoints of that priority are used.
    pub(crate) fn at(&self, priority: u32) -> bool {
        self.priorities.contains(&priority)
    }

    fn of(candidates: &[Candidate<'_>], policy: Policy, threshold: u32) -> Self {
        if threshold == 0 {
            return Self::default();
        }
        let mut levels: BTreeMap<u32, Level> = BTreeMap::new();
        for candidate in candidates {
            let level = levels.entry(candidate.priority).or_default();
            let weight = if policy.weighted {
                u64::from(candidate.weight)
            } else {
                1
            };
            if candidate.health != Health::Draining {
                level.counted += 1;
                level.counted_weight += weight;
            }
            match candidate.health {
                Health::Healthy => {
                    level.healthy += 1;
                    level.healthy_weight += weight;
                }
                Health::Degraded => {
                    level.degraded += 1;
                    level.degraded_weight += weight;
                }
                Health::Unhealthy | Health::Draining => {}
            }
        }
        let share = |weight: u64, level: &Level| {
            let factor = u64::from(policy.overprovisioning);
            (weight * factor)
                .checked_div(level.counted_weight)
                .unwrap_or(0)
                .min(100)
        };
        let available: u64 = levels
            .values()
            .map(|level| share(level.healthy_weight, level) + share(level.degraded_weight, level))
            .sum();
        if available >= 100 {
            return Self::default();
        }
        // healthy + degraded < threshold % of all that count, without rounding; no endpoint that counts is panic.
        let panics = |level: &Level| {
            level.counted == 0 || 100 * (level.healthy + level.degraded) < u64::from(threshold) * level.counted
        };
        let all = levels.len();
        let priorities: Vec<u32> = levels
            .into_iter()
            .filter(|(_, level)| panics(level))
            .map(|(priority, _)| priority)
            .collect();
        Self {
            total: priorities.len() == all,
            priorities,
        }
    }
}
