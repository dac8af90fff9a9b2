//! What becomes of a request.

use std::collections::{BTreeMap, BTreeSet};

/// The endpoints, `ip:port`, that one share of the requests goes to; none of them is a 503.
pub(crate) type Endpoints = BTreeSet<String>;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The proxy answers by itself.
    Status(u16),
    /// The request goes to some endpoints, each with its share of such requests, in lowest terms.
    Forward(BTreeMap<Endpoints, u64>),
}

impl Answer {
    /// Shares in lowest terms; where no share has endpoints it is a plain 503.
    pub(crate) fn forward(shares: impl IntoIterator<Item = (Endpoints, u64)>) -> Self {
        let mut sum: BTreeMap<Endpoints, u64> = BTreeMap::new();
        for (endpoints, weight) in shares {
            if weight > 0 {
                *sum.entry(endpoints).or_default() += weight;
            }
        }
        if sum.keys().all(BTreeSet::is_empty) {
            return Self::Status(503);
        }
        let divisor = sum.values().copied().fold(0, gcd);
        for weight in sum.values_mut() {
            *weight /= divisor;
        }
        Self::Forward(sum)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
