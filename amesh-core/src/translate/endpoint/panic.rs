//! Panic: when Envoy stops believing what is reported about the health of a priority's endpoints.
//!
//! The arithmetic is Envoy's (`LoadBalancerBase::recalculatePerPriorityState`, seen to give Envoy 1.40's answers), for what
//! the control plane reports; what outlier detection and health checks find out later is not in an assignment.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::HealthStatus;

use super::Candidate;

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

/// Which priorities do not believe the reports.
#[derive(Debug, Default)]
pub(crate) struct Panic {
    /// All of them.
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

    /// Whether requests are spread over all endpoints, whatever their priority.
    pub(crate) const fn is_total(&self) -> bool {
        self.total
    }

    /// Which priorities panic, below a threshold in percent; 0 is never.
    pub(crate) fn of(candidates: &[Candidate<'_>], policy: Policy, threshold: u32) -> Self {
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
