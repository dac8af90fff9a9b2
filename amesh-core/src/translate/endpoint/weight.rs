//! Weights: an endpoint's share of the requests, within its locality and among the localities.
//!
//! Endpoint weights are kept as they are. A locality's weight counts only when the cluster sets
//! `locality_weighted_lb_config`; then Envoy first chooses a locality by its weight, scaled down when too few of its
//! endpoints are healthy, and then an endpoint within it. The share of a node is the product of both, written as the
//! smallest whole numbers in the same proportion.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::Locality;
use envoy_types::pb::google::protobuf::UInt32Value;

use super::Candidate;
use super::panic::{Health, Panic};
use crate::feature::{Feature, Message, exact};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "endpoint/weight",
    summary: "Weights of endpoints, and of localities where the cluster weights them, become weights of nodes.",
    messages: &[
        Message {
            name: "envoy.config.endpoint.v3.LocalityLbEndpoints",
            fields: &[
                exact("locality", "upstream.nodes[].weight"),
                exact("load_balancing_weight", "upstream.nodes[].weight"),
            ],
        },
        Message {
            name: "envoy.config.endpoint.v3.LbEndpoint",
            fields: &[exact("load_balancing_weight", "upstream.nodes[].weight")],
        },
        Message {
            name: "envoy.config.core.v3.Locality",
            fields: &[
                exact("region", "upstream.nodes[].weight"),
                exact("zone", "upstream.nodes[].weight"),
                exact("sub_zone", "upstream.nodes[].weight"),
            ],
        },
    ],
    extensions: &[],
    rules: &[&ROUNDED],
};

static ROUNDED: Rule = Rule {
    name: "endpoint-weight-rounded",
    outcome: Outcome::Approximated,
    summary: "shares of localities and endpoints are rounded to ten-thousandths of the largest",
    explanation: "\
The share of an endpoint is the weight of its locality times its own weight within the locality. Written as whole \
numbers in exactly that proportion, the weights would be large, and APISIX would send long runs of requests to the \
heaviest node before it turns to the next. So they are rounded, the largest to 10000, none below 1.",
    advice: "none is needed; weights with small common multiples avoid it",
};

/// The largest weight that is written for a share.
const LARGEST: u128 = 10_000;

/// The weights of the localities of each priority.
#[derive(Debug, Default)]
pub(crate) struct Localities<'m>(Vec<(u32, &'m Locality, u32)>);

impl<'m> Localities<'m> {
    /// Takes note of a locality's weight. Without a locality or without a weight there is none, as in Envoy; of two
    /// weights the later counts.
    pub(crate) fn set(&mut self, priority: u32, locality: Option<&'m Locality>, weight: Option<&UInt32Value>) {
        if let (Some(locality), Some(weight)) = (locality, weight) {
            self.0.push((priority, locality, weight.value));
        }
    }

    fn weight(&self, priority: u32, locality: Option<&Locality>) -> u32 {
        self.0
            .iter()
            .rev()
            .find(|(of, known, _)| *of == priority && Some(*known) == locality)
            .map_or(0, |(_, _, weight)| *weight)
    }

    /// The weight of each candidate; 0 for one that gets nothing. Candidates of a priority in panic, and those of a
    /// priority whose localities all have no weight, keep their own.
    pub(crate) fn shares(
        &self,
        candidates: &[Candidate<'m>],
        overprovisioning: u32,
        panic: &Panic,
        list: Path<'_>,
        findings: &Findings,
    ) -> Vec<u32> {
        let (groups, group_of) = self.groups(candidates);
        let mut weights: Vec<u32> = candidates.iter().map(|candidate| candidate.weight).collect();
        // Healthy and degraded endpoints of a priority are never weighed against each other.
        let mut levels: BTreeMap<(u32, bool), Vec<(usize, Share)>> = BTreeMap::new();
        for (index, (candidate, group)) in candidates.iter().zip(group_of).enumerate() {
            let degraded = candidate.health == Health::Degraded;
            if panic.at(candidate.priority) || !(degraded || candidate.health == Health::Healthy) {
                continue;
            }
            if let Some(group) = groups.get(group) {
                let share = group.share(candidate.weight, degraded, overprovisioning);
                levels
                    .entry((candidate.priority, degraded))
                    .or_default()
                    .push((index, share));
            }
        }
        let mut rounded = false;
        for members in levels.into_values() {
            if members.iter().all(|(_, share)| share.numerator == 0) {
                continue;
            }
            let (whole, exactly) = whole(&members.iter().map(|(_, share)| *share).collect::<Vec<_>>());
            rounded |= !exactly;
            for ((index, _), weight) in members.into_iter().zip(whole) {
                if let Some(slot) = weights.get_mut(index) {
                    *slot = weight;
                }
            }
        }
        if rounded {
            findings.add(&ROUNDED, list);
        }
        weights
    }

    /// The localities of each priority, and which of them each candidate is in.
    fn groups(&self, candidates: &[Candidate<'m>]) -> (Vec<Group<'m>>, Vec<usize>) {
        let mut groups: Vec<Group<'m>> = Vec::new();
        let mut group_of = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let found = groups
                .iter()
                .position(|group| group.priority == candidate.priority && group.locality == candidate.locality);
            let index = found.unwrap_or_else(|| {
                groups.push(Group {
                    priority: candidate.priority,
                    locality: candidate.locality,
                    weight: self.weight(candidate.priority, candidate.locality),
                    counted: 0,
                    healthy: Sum::default(),
                    degraded: Sum::default(),
                });
                groups.len() - 1
            });
            group_of.push(index);
            if let Some(group) = groups.get_mut(index) {
                group.add(candidate);
            }
        }
        (groups, group_of)
    }
}

/// A locality of one priority.
#[derive(Debug)]
struct Group<'m> {
    priority: u32,
    locality: Option<&'m Locality>,
    weight: u32,
    /// All endpoints but draining ones.
    counted: u64,
    healthy: Sum,
    degraded: Sum,
}

#[derive(Debug, Default)]
struct Sum {
    endpoints: u64,
    weight: u64,
}

impl Group<'_> {
    fn add(&mut self, candidate: &Candidate<'_>) {
        let sum = match candidate.health {
            Health::Healthy => Some(&mut self.healthy),
            Health::Degraded => Some(&mut self.degraded),
            Health::Unhealthy | Health::Draining => None,
        };
        if let Some(sum) = sum {
            sum.endpoints += 1;
            sum.weight += u64::from(candidate.weight);
        }
        if candidate.health != Health::Draining {
            self.counted += 1;
        }
    }

    /// The share of one endpoint: the locality's weight, times the part of the locality that can be used (with
    /// overprovisioning, at most all), times the endpoint's part of the locality.
    fn share(&self, weight: u32, degraded: bool, overprovisioning: u32) -> Share {
        let sum = if degraded { &self.degraded } else { &self.healthy };
        let all = 100 * u128::from(self.counted);
        let available = (u128::from(overprovisioning) * u128::from(sum.endpoints)).min(all);
        Share {
            numerator: u128::from(self.weight) * available * u128::from(weight),
            denominator: (all * u128::from(sum.weight)).max(1),
        }
        .reduced()
    }
}

#[derive(Debug, Clone, Copy)]
struct Share {
    numerator: u128,
    denominator: u128,
}

impl Share {
    fn reduced(self) -> Self {
        let divisor = gcd(self.numerator, self.denominator).max(1);
        Self {
            numerator: self.numerator / divisor,
            denominator: self.denominator / divisor,
        }
    }
}

/// Whole numbers in the proportion of the shares, and whether that proportion is exact.
fn whole(shares: &[Share]) -> (Vec<u32>, bool) {
    let exact = || {
        let common = shares.iter().try_fold(1_u128, |common, share| {
            (common / gcd(common, share.denominator)).checked_mul(share.denominator)
        })?;
        let scaled: Option<Vec<u128>> = shares
            .iter()
            .map(|share| share.numerator.checked_mul(common / share.denominator))
            .collect();
        let scaled = scaled?;
        let divisor = scaled.iter().fold(0, |divisor, value| gcd(divisor, *value)).max(1);
        let fits = |value: u128| u32::try_from(value).ok().filter(|_| value <= LARGEST);
        scaled
            .into_iter()
            .map(|value| fits(value / divisor))
            .collect::<Option<Vec<u32>>>()
    };
    if let Some(exact) = exact() {
        return (exact, true);
    }
    // Six more digits than the result needs. A share that the multiplication cannot hold is divided first.
    let fine = |share: &Share| {
        let unit = 1_u128 << 40;
        share.numerator.checked_mul(unit).map_or_else(
            || (share.numerator / share.denominator).saturating_mul(unit),
            |value| value / share.denominator,
        )
    };
    let fine: Vec<(bool, u128)> = shares.iter().map(|share| (share.numerator == 0, fine(share))).collect();
    let largest = fine.iter().map(|(_, value)| *value).max().unwrap_or(1).max(1);
    let scale = |value: u128| {
        let rounded = value.saturating_mul(LARGEST).saturating_add(largest / 2) / largest;
        u32::try_from(rounded).unwrap_or(u32::MAX)
    };
    let weights = fine
        .into_iter()
        .map(|(nothing, value)| if nothing { 0 } else { scale(value).max(1) });
    (weights.collect(), false)
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
