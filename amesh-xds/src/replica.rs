//! What the control plane sent, and what it makes wanted.

use amesh_core::finding::ResourceName;
use amesh_core::{Dirty, ResourceType, Snapshot, Update};

use crate::session::{Changes, Verdict, is_wildcard};

/// A snapshot that follows what its resources refer to: endpoints are wanted while a cluster names them, routes while a
/// listener does, and what nothing names any more is dropped.
///
/// The work of [`Replica::apply`] is proportional to the change.
#[derive(Debug, Clone, Default)]
pub struct Replica {
    snapshot: Snapshot,
}

impl Replica {
    /// A replica that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is held.
    #[must_use]
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Applies a change. Gives what differs because of it, and a verdict that accepts it all and tells what is wanted and
    /// no longer wanted by name; the consumer adds to it what it refuses, having left that out of the update.
    pub fn apply(&mut self, update: Update) -> (Dirty, Verdict) {
        let mut dirty = self.snapshot.apply(update);
        let mut changes = Changes::default();
        let mut orphans = Vec::new();
        for name in dirty.used_or_unused.iter().chain(&dirty.changed) {
            if !is_followed(name.kind) {
                continue;
            }
            if self.snapshot.referrers(name).next().is_some() {
                changes.wanted.insert(name.clone());
            } else if changes.unwanted.insert(name.clone()) {
                orphans.push(name.clone());
            }
        }
        let dropped = self.snapshot.apply(Update {
            put: Vec::new(),
            removed: orphans,
        });
        let verdict = Verdict {
            rejected: Vec::new(),
            changes,
        };
        merge(&mut dirty, dropped);
        (dirty, verdict)
    }

    /// Everything that is wanted by name.
    #[must_use]
    pub fn wanted(&self) -> Changes {
        let mut changes = Changes::default();
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            for resource in self.snapshot.resources(kind) {
                let name = ResourceName {
                    kind,
                    name: resource.name.clone(),
                };
                let followed = self.snapshot.references(&name).filter(|name| is_followed(name.kind));
                changes.wanted.extend(followed.cloned());
            }
        }
        changes
    }
}

/// Whether resources of a type are wanted because others refer to them by name.
fn is_followed(kind: ResourceType) -> bool {
    !is_wildcard(kind)
        && matches!(
            kind,
            ResourceType::ClusterLoadAssignment | ResourceType::RouteConfiguration
        )
}

fn merge(dirty: &mut Dirty, more: Dirty) {
    dirty.changed.extend(more.changed);
    dirty.appeared_or_gone.extend(more.appeared_or_gone);
    dirty.used_or_unused.extend(more.used_or_unused);
}
