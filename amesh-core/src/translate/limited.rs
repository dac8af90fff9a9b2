//! Which clusters have limits, on which routes depend.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;

use super::cluster::circuit_breaker::{PRIORITIES, limits};
use crate::decode::ResourceType;
use crate::finding::ResourceName;
use crate::options::{Options, Target};
use crate::snapshot::{Dirty, Snapshot};

/// The clusters with limits, and for which priorities.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limited(BTreeMap<String, [bool; 2]>);

fn of(cluster: Option<&Cluster>) -> Option<[bool; 2]> {
    let breakers = cluster.and_then(|cluster| cluster.circuit_breakers.as_ref());
    Some(PRIORITIES.map(|priority| limits(breakers, priority))).filter(|limits| limits.contains(&true))
}

impl Limited {
    pub(crate) fn new(snapshot: &Snapshot, options: &Options) -> Self {
        // Without the package no route knows of limits.
        if options.target != Target::Amesh {
            return Self::default();
        }
        let clusters = snapshot.resources(ResourceType::Cluster);
        Self(
            clusters
                .filter_map(|cluster| Some((cluster.name.clone(), of(snapshot.cluster(&cluster.name))?)))
                .collect(),
        )
    }

    /// Takes note of an update, and gives the clusters that have limits now where they had none, or the other way round.
    pub(crate) fn update<'d>(
        &mut self,
        snapshot: &Snapshot,
        dirty: &'d Dirty,
        options: &Options,
    ) -> Vec<&'d ResourceName> {
        if options.target != Target::Amesh {
            return Vec::new();
        }
        let clusters = dirty.changed.iter().filter(|name| name.kind == ResourceType::Cluster);
        clusters
            .filter(|name| {
                let now = of(snapshot.cluster(&name.name));
                let before = match now {
                    Some(now) => self.0.insert(name.name.clone(), now),
                    None => self.0.remove(&name.name),
                };
                before != now
            })
            .collect()
    }
}
