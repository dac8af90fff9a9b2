//! Rules: the kinds of findings, each with a stable name and what it does to traffic.

use std::fmt;

use serde::{Serialize, Serializer};

/// What happens to traffic because of a finding, from harmless to refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Requests are answered as Envoy would; something beside them (a log, a statistic) is missing.
    Ignored,
    /// The setting works, with the difference that the rule states.
    Approximated,
    /// Part of the configuration is missing: requests are served without it, or are not served at all.
    LeftOut,
    /// Requests that the setting concerns are refused, because serving them without it could be unsafe.
    FailsClosed,
}

impl Outcome {
    /// Every outcome, from harmless to refused.
    pub const ALL: [Self; 4] = [Self::Ignored, Self::Approximated, Self::LeftOut, Self::FailsClosed];

    /// The outcome's name in options and output: `ignored`, `approximated`, `left-out`, `fails-closed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Approximated => "approximated",
            Self::LeftOut => "left-out",
            Self::FailsClosed => "fails-closed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A kind of finding. The name is its identity: kebab-case, unique, never reused for another cause.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The cause, as `route-case-insensitive-path` would be.
    pub name: &'static str,
    /// What happens to traffic.
    pub outcome: Outcome,
    /// One sentence without a full stop: what differs.
    pub summary: &'static str,
    /// What Envoy does, what APISIX does, and what follows: a paragraph or two for `amesh explain`.
    pub explanation: &'static str,
    /// What the operator can do about it.
    pub advice: &'static str,
}

impl Rule {
    /// A rule, in the order in which it reads.
    pub(crate) const fn new(
        name: &'static str,
        outcome: Outcome,
        summary: &'static str,
        explanation: &'static str,
        advice: &'static str,
    ) -> Self {
        Self {
            name,
            outcome,
            summary,
            explanation,
            advice,
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}
