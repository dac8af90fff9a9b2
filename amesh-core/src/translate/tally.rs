//! What an update ran: objects and findings before and after.

use std::collections::BTreeMap;

use super::unit::{Output, Unit};
use crate::apisix::Objects;
use crate::decode::ResourceType;
use crate::finding::Finding;
use crate::snapshot::Snapshot;

/// The objects of the units that an update ran, as they were and as they are, and the findings as they were.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) old: Objects,
    pub(super) new: Objects,
    findings: BTreeMap<Unit, Vec<Finding>>,
}

impl Tally {
    /// Notes that a unit is run, and what its findings were.
    pub(super) fn ran(&mut self, unit: &Unit, before: Vec<Finding>) {
        self.findings.entry(unit.clone()).or_insert(before);
    }

    /// The units with the findings that they had.
    pub(super) fn into_before(self) -> BTreeMap<Unit, Vec<Finding>> {
        self.findings
    }

    /// The findings that have come and those that are gone. `now` gives what a unit has.
    pub(super) fn findings<'o>(
        &self,
        now: impl Fn(&Unit) -> Option<&'o Output>,
        snapshot: &Snapshot,
    ) -> (Vec<Finding>, Vec<Finding>) {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (unit, before) in &self.findings {
            let after = now(unit).map_or(&[][..], |output| &output.findings);
            // Most changes leave the findings alone.
            if before.as_slice() != after {
                old.extend(before);
                new.extend(after);
            }
        }
        old.sort();
        old.dedup();
        new.sort();
        new.dedup();
        // What a load assignment leaves to say is with each of its clusters, and some of them may not have been run.
        let elsewhere = |finding: &Finding| {
            finding.resource.kind == ResourceType::ClusterLoadAssignment
                && snapshot
                    .referrers(&finding.resource)
                    .map(|cluster| &cluster.name)
                    .chain([&finding.resource.name])
                    .map(|cluster| Unit::Cluster(cluster.clone()))
                    .filter(|unit| !self.findings.contains_key(unit))
                    .any(|unit| now(&unit).is_some_and(|output| output.findings.contains(finding)))
        };
        let (mut come, mut gone) = (missing(&new, &old), missing(&old, &new));
        come.retain(|finding| !elsewhere(finding));
        gone.retain(|finding| !elsewhere(finding));
        (come, gone)
    }
}

/// Those of the first list that are not in the second. Both are sorted.
pub(super) fn missing(list: &[&Finding], from: &[&Finding]) -> Vec<Finding> {
    let alone = list.iter().filter(|finding| from.binary_search(finding).is_err());
    alone.map(|finding| (*finding).clone()).collect()
}
