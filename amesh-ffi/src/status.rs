//! What the library is doing, for people and for metrics.

use std::collections::BTreeMap;

use amesh_core::{Finding, ResourceType, Updated};
use serde::Serialize;

use crate::clock::now;
use crate::publish::{Failure, Fill};

/// The status, as JSON has it. Moments are milliseconds since 1970.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// The release of the library.
    pub(crate) release: &'static str,
    /// When this library started.
    pub(crate) started: u64,
    /// The control plane, while it answers.
    pub(crate) connected: Option<String>,
    /// Why the last connection ended, until the next one answers.
    pub(crate) error: Option<String>,
    /// How many connections have ended.
    pub(crate) disconnects: u64,
    /// Whether the first configuration was whole or had its time.
    pub(crate) begun: bool,
    /// What came, by type.
    pub(crate) types: BTreeMap<&'static str, Pushes>,
    /// The objects in the dictionary, by kind.
    pub(crate) objects: BTreeMap<&'static str, usize>,
    /// How many findings there are, by rule.
    pub(crate) findings: BTreeMap<&'static str, Found>,
    /// The last publish.
    pub(crate) published: Option<Publish>,
    /// Why the dictionary is not as it should be.
    pub(crate) failure: Option<String>,
    /// How full the dictionary of the configuration is.
    pub(crate) dictionary: Option<Fill>,
}

/// What came of a type of resources.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Pushes {
    /// The version of the last response.
    pub(crate) version: String,
    /// When it came.
    pub(crate) last: u64,
    /// Responses that were accepted whole.
    pub(crate) acknowledged: u64,
    /// Responses that were refused, in part or whole.
    pub(crate) refused: u64,
    /// The last refusal, until a response is accepted whole.
    pub(crate) error: Option<String>,
    /// How many resources there are.
    pub(crate) resources: usize,
}

/// How many findings a rule has.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Found {
    /// What happens to traffic.
    pub(crate) outcome: &'static str,
    /// How many.
    pub(crate) count: usize,
    /// How many of them the operator permitted.
    pub(crate) permitted: usize,
}

/// A publish.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Publish {
    /// Its version.
    pub(crate) version: u64,
    /// When it was.
    pub(crate) at: u64,
    /// How many keys it changed.
    pub(crate) changed: usize,
    /// How many publishes there were since the library started.
    pub(crate) count: u64,
}

impl Status {
    /// That of a library that starts now.
    pub(crate) fn new() -> Self {
        Self {
            release: env!("CARGO_PKG_VERSION"),
            started: now(),
            ..Self::default()
        }
    }

    /// That of one that does nothing.
    pub(crate) fn unable(failure: &Failure) -> Self {
        Self {
            failure: Some(failure.to_string()),
            ..Self::new()
        }
    }

    /// Counts the findings that have come and gone.
    pub(crate) fn count(&mut self, updated: &Updated) {
        for finding in &updated.come {
            let found = self.found(finding);
            found.count += 1;
            found.permitted += usize::from(finding.permitted);
        }
        for finding in &updated.gone {
            let found = self.found(finding);
            found.count = found.count.saturating_sub(1);
            found.permitted = found.permitted.saturating_sub(usize::from(finding.permitted));
        }
        self.findings.retain(|_, found| found.count > 0);
    }

    fn found(&mut self, finding: &Finding) -> &mut Found {
        self.findings.entry(finding.rule.name).or_insert(Found {
            outcome: finding.outcome.name(),
            count: 0,
            permitted: 0,
        })
    }

    /// Takes how many resources there are. A response about one type may take resources of another along.
    pub(crate) fn hold(&mut self, counts: impl IntoIterator<Item = (ResourceType, usize)>) {
        for (kind, count) in counts {
            if count > 0 || self.types.contains_key(kind.message()) {
                self.pushes(kind).resources = count;
            }
        }
    }

    /// What came of a type.
    pub(crate) fn pushes(&mut self, kind: ResourceType) -> &mut Pushes {
        self.types.entry(kind.message()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_with_another_type_is_not_counted_any_more() {
        let mut status = Status::default();
        status.hold([(ResourceType::Cluster, 1), (ResourceType::ClusterLoadAssignment, 2)]);
        status.hold([(ResourceType::Cluster, 0), (ResourceType::ClusterLoadAssignment, 0)]);
        let counts: Vec<usize> = status.types.values().map(|pushes| pushes.resources).collect();
        assert_eq!(counts, [0, 0]);
        status.hold([(ResourceType::Secret, 0)]);
        assert_eq!(status.types.len(), 2, "a type that never came is not named");
    }
}
