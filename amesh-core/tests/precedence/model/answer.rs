//! What becomes of a request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What becomes of one request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// The proxy answers by itself.
    Status(u16),
    /// One of these endpoints, `ip:port`, answers.
    Endpoints(BTreeSet<String>),
}

impl Outcome {
    /// To those endpoints; where there are none it is a 503.
    pub(crate) fn to(endpoints: &BTreeSet<String>) -> Self {
        if endpoints.is_empty() {
            Self::Status(503)
        } else {
            Self::Endpoints(endpoints.clone())
        }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Endpoints(endpoints) => write!(f, "{endpoints:?}"),
        }
    }
}

/// What becomes of such requests: each outcome with its share of them. Shares are compared with those of another answer
/// in their proportions.
#[derive(Clone, PartialEq)]
pub(crate) struct Answer(pub(crate) BTreeMap<Outcome, f64>);

impl Answer {
    /// The outcomes with their weights.
    pub(crate) fn of(weighted: impl IntoIterator<Item = (Outcome, f64)>) -> Self {
        let mut sum: BTreeMap<Outcome, f64> = BTreeMap::new();
        for (outcome, weight) in weighted {
            if weight > 0.0 {
                *sum.entry(outcome).or_default() += weight;
            }
        }
        let whole: f64 = sum.values().sum();
        for weight in sum.values_mut() {
            *weight /= whole;
        }
        Self(sum)
    }

    /// The same for all.
    pub(crate) fn status(status: u16) -> Self {
        Self::of([(Outcome::Status(status), 1.0)])
    }

    /// Whether some requests reach an endpoint.
    pub(crate) fn is_forwarded(&self) -> bool {
        self.0.keys().any(|outcome| matches!(outcome, Outcome::Endpoints(_)))
    }

    /// The same outcomes with the same shares, but for what sums of numbers are off by; or, where shares were counted by
    /// trying many requests, but for a tenth of each and for very rare ones.
    pub(crate) fn agrees(&self, other: &Self, counted: bool) -> bool {
        let share = |answer: &Self, outcome| answer.0.get(outcome).copied().unwrap_or(0.0);
        self.0.keys().chain(other.0.keys()).all(|outcome| {
            let (ours, theirs) = (share(self, outcome), share(other, outcome));
            let tolerated = if counted {
                (ours.max(theirs) / 10.0).max(0.004)
            } else {
                1e-9
            };
            (ours - theirs).abs() <= tolerated
        })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}
