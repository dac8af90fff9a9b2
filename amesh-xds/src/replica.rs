//! What the control plane sent, and what it makes wanted.

mod reference;

use std::collections::{BTreeMap, BTreeSet};

use amesh_core::finding::ResourceName;
use amesh_core::{Dirty, ResourceType, Snapshot, Update};

use crate::session::{Changes, Verdict};
use reference::{Reference, Source};

/// A snapshot that follows what its resources refer to: endpoints are wanted while a cluster names them, routes while a
/// listener does, secrets and extensions while either takes them from the same control plane; and what nothing names any
/// more is dropped. Secrets and extensions that only the consumer asked for are kept.
///
/// What comes from elsewhere, as the secrets of [`workload`](crate::workload) do, is applied in the same way and is kept too.
///
/// The work of [`Replica::apply`] is proportional to the change.
#[derive(Debug, Clone, Default)]
pub struct Replica {
    snapshot: Snapshot,
    /// The servers of SDS whose secrets are followed, by the names of their clusters.
    sds: BTreeSet<String>,
    /// The secrets and extensions that a resource takes, which the snapshot does not know of.
    takes: BTreeMap<ResourceName, BTreeSet<Reference>>,
    /// How many resources take one.
    taken: BTreeMap<Reference, usize>,
}

impl Replica {
    /// A replica that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A replica that holds nothing, and notes which secrets are taken from these servers of SDS: the names of their
    /// clusters, in Istio `sds-grpc`.
    #[must_use]
    pub fn with_sds(clusters: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            sds: clusters.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The names of the secrets that clusters and listeners take from a server of SDS that is noted.
    /// [`workload::sds`](crate::workload::sds) follows them.
    #[must_use]
    pub fn secrets_from(&self, cluster: &str) -> BTreeSet<String> {
        let taken = self.taken.keys().filter(|taken| match &taken.source {
            Source::Sds(name) => name == cluster,
            Source::ControlPlane => false,
        });
        taken.map(|taken| taken.name.name.clone()).collect()
    }

    /// What is held.
    #[must_use]
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Applies a change. Gives what differs because of it, and a verdict that accepts it all and tells what is wanted and
    /// no longer wanted by name; the consumer adds to it what it refuses, having left that out of the update.
    pub fn apply(&mut self, update: Update) -> (Dirty, Verdict) {
        let mut changes = Changes::default();
        for resource in update.put.iter().filter(|put| takes(put.body.kind())) {
            let from = ResourceName {
                kind: resource.body.kind(),
                name: resource.name.clone(),
            };
            self.take(from, reference::of(&resource.body, &self.sds), &mut changes);
        }
        for gone in update.removed.iter().filter(|gone| takes(gone.kind)) {
            self.take(gone.clone(), BTreeSet::new(), &mut changes);
        }
        let mut dirty = self.snapshot.apply(update);
        let is_wanted = |name: &&ResourceName| self.snapshot.referrers(name).next().is_some();
        let used = dirty.used_or_unused.iter().filter(|name| is_followed(name.kind));
        let (wanted, unwanted): (Vec<_>, Vec<_>) = used.partition(is_wanted);
        changes.wanted.extend(wanted.into_iter().cloned());
        changes.unwanted.extend(unwanted.into_iter().cloned());
        // What came although nothing refers to it.
        let came = dirty.changed.iter().filter(|name| is_followed(name.kind));
        changes.unwanted.extend(came.filter(|name| !is_wanted(name)).cloned());
        if !changes.unwanted.is_empty() {
            let dropped = self.snapshot.apply(Update {
                put: Vec::new(),
                removed: changes.unwanted.iter().cloned().collect(),
            });
            merge(&mut dirty, dropped);
        }
        let verdict = Verdict {
            rejected: Vec::new(),
            changes,
        };
        (dirty, verdict)
    }

    /// Notes what a resource takes, and what is wanted or not wanted for it.
    fn take(&mut self, from: ResourceName, names: BTreeSet<Reference>, changes: &mut Changes) {
        let before = self.takes.remove(&from).unwrap_or_default();
        for new in names.difference(&before) {
            *self.taken.entry(new.clone()).or_default() += 1;
            if new.source == Source::ControlPlane {
                changes.unwanted.remove(&new.name);
                changes.wanted.insert(new.name.clone());
            }
        }
        for gone in before.difference(&names) {
            let count = self.taken.get(gone).copied().unwrap_or_default();
            if count > 1 {
                self.taken.insert(gone.clone(), count - 1);
                continue;
            }
            self.taken.remove(gone);
            if gone.source == Source::ControlPlane {
                changes.wanted.remove(&gone.name);
                changes.unwanted.insert(gone.name.clone());
            }
        }
        if !names.is_empty() {
            self.takes.insert(from, names);
        }
    }
}

/// Whether resources of a type can take secrets or extensions.
const fn takes(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Listener)
}

/// Whether the snapshot knows who refers to resources of a type, and they are wanted for nothing else.
fn is_followed(kind: ResourceType) -> bool {
    matches!(
        kind,
        ResourceType::ClusterLoadAssignment | ResourceType::RouteConfiguration
    )
}

fn merge(dirty: &mut Dirty, more: Dirty) {
    dirty.changed.extend(more.changed);
    dirty.appeared_or_gone.extend(more.appeared_or_gone);
    dirty.used_or_unused.extend(more.used_or_unused);
}
