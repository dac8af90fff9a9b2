//! What a translation leaves to say, gathered for every form of saying it.

use std::collections::BTreeSet;

use amesh_core::apisix::{Kind, Objects};
use amesh_core::{Finding, Outcome, Rejected};
use serde::Serialize;

use crate::input::Source;

/// The rule under which endpoints are left out that ask for Istio's mutual TLS: on nearly every cluster of a mesh, so
/// the summary names it.
const MUTUAL_TLS: &str = "istio-mutual-tls";

/// Findings, rejected resources, and what to count.
pub(crate) struct Report<'a> {
    pub(crate) input: &'a Source,
    /// Resources that were translated.
    pub(crate) resources: usize,
    pub(crate) objects: &'a Objects,
    pub(crate) rejected: &'a [Rejected],
    /// Sorted by resource and path.
    pub(crate) findings: Vec<&'a Finding>,
}

/// The numbers of the closing summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Counts {
    pub(crate) resources: usize,
    pub(crate) rejected: usize,
    pub(crate) routes: usize,
    pub(crate) upstreams: usize,
    pub(crate) fails_closed: usize,
    pub(crate) permitted: usize,
    pub(crate) left_out: usize,
    pub(crate) approximated: usize,
    pub(crate) ignored: usize,
}

impl Report<'_> {
    pub(crate) fn counts(&self) -> Counts {
        let objects = |kind| self.objects.keys().filter(|key| key.kind == kind).count();
        let findings = |outcome, permitted| {
            let list = self.findings.iter();
            list.filter(|finding| finding.outcome == outcome && finding.permitted == permitted)
                .count()
        };
        Counts {
            resources: self.resources,
            rejected: self.rejected.len(),
            routes: objects(Kind::Routes),
            upstreams: objects(Kind::Upstreams),
            fails_closed: findings(Outcome::FailsClosed, false),
            permitted: findings(Outcome::FailsClosed, true),
            left_out: findings(Outcome::LeftOut, false),
            approximated: findings(Outcome::Approximated, false),
            ignored: findings(Outcome::Ignored, false),
        }
    }

    /// Whether anything is at or above that outcome. What the operator permitted does not count; a rejected resource
    /// counts as left out.
    pub(crate) fn reaches(&self, outcome: Outcome) -> bool {
        let found = |finding: &&Finding| finding.outcome >= outcome && !finding.permitted;
        self.findings.iter().any(found) || (outcome <= Outcome::LeftOut && !self.rejected.is_empty())
    }

    /// How many clusters have endpoints that ask for Istio's mutual TLS and were not permitted to go without.
    pub(crate) fn without_mutual_tls(&self) -> usize {
        let asking = self
            .findings
            .iter()
            .filter(|finding| finding.rule.name == MUTUAL_TLS && !finding.permitted);
        asking.map(|finding| &finding.resource).collect::<BTreeSet<_>>().len()
    }
}
