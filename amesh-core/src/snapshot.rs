//! Resources by type and name, who refers to whom, and what a change makes stale.

mod reference;

pub(crate) use reference::assignment_of;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;

use crate::decode::{Body, Resource, ResourceType};
use crate::finding::ResourceName;

/// What a proxy knows: every resource that it was sent and still holds.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    resources: BTreeMap<ResourceType, BTreeMap<String, Resource>>,
    references: BTreeMap<ResourceName, BTreeSet<ResourceName>>,
    referrers: BTreeMap<ResourceName, BTreeSet<ResourceName>>,
}

/// A change of what a proxy knows: one response of the control plane, or one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// Resources that are new or take the place of one of the same type and name.
    pub put: Vec<Resource>,
    /// Resources that are gone.
    pub removed: Vec<ResourceName>,
}

/// What an update changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Resources that are new, different or gone.
    pub changed: BTreeSet<ResourceName>,
    /// Of those, the ones that came or went.
    pub appeared_or_gone: BTreeSet<ResourceName>,
    /// Resources, present or not, that something refers to now and nothing did before, or the other way round.
    pub used_or_unused: BTreeSet<ResourceName>,
}

impl Dirty {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.used_or_unused.is_empty()
    }
}

impl Snapshot {
    /// A snapshot that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A snapshot of these resources. Of several with the same type and name, the last one counts.
    #[must_use]
    pub fn from_resources(resources: Vec<Resource>) -> Self {
        let mut snapshot = Self::new();
        snapshot.apply(Update {
            put: resources,
            removed: Vec::new(),
        });
        snapshot
    }

    /// Applies a change, and tells what differs because of it. A resource that is put again unchanged is no change.
    pub fn apply(&mut self, update: Update) -> Dirty {
        // Lists become sets at the end: of a whole mesh at once, as it comes in order.
        let (mut changed, mut appeared_or_gone, mut used_or_unused) = (Vec::new(), Vec::new(), Vec::new());
        for resource in update.put {
            let name = ResourceName {
                kind: resource.body.kind(),
                name: resource.name.clone(),
            };
            let references = reference::of(&resource.body);
            match self
                .resources
                .entry(name.kind)
                .or_default()
                .entry(resource.name.clone())
            {
                Entry::Occupied(held) if *held.get() == resource => continue,
                Entry::Occupied(mut held) => drop(held.insert(resource)),
                Entry::Vacant(place) => {
                    place.insert(resource);
                    appeared_or_gone.push(name.clone());
                }
            }
            self.refer(&name, references, &mut used_or_unused);
            changed.push(name);
        }
        for name in update.removed {
            if self
                .resources
                .get_mut(&name.kind)
                .and_then(|by_name| by_name.remove(&name.name))
                .is_some()
            {
                self.refer(&name, BTreeSet::new(), &mut used_or_unused);
                appeared_or_gone.push(name.clone());
                changed.push(name);
            }
        }
        Dirty {
            changed: changed.into_iter().collect(),
            appeared_or_gone: appeared_or_gone.into_iter().collect(),
            used_or_unused: used_or_unused.into_iter().collect(),
        }
    }

    fn refer(&mut self, from: &ResourceName, to: BTreeSet<ResourceName>, used_or_unused: &mut Vec<ResourceName>) {
        let before = self.references.remove(from).unwrap_or_default();
        for gone in before.difference(&to) {
            if let Some(referrers) = self.referrers.get_mut(gone) {
                referrers.remove(from);
                if referrers.is_empty() {
                    self.referrers.remove(gone);
                    used_or_unused.push(gone.clone());
                }
            }
        }
        for new in to.difference(&before) {
            let referrers = self.referrers.entry(new.clone()).or_default();
            if referrers.is_empty() {
                used_or_unused.push(new.clone());
            }
            referrers.insert(from.clone());
        }
        if !to.is_empty() {
            self.references.insert(from.clone(), to);
        }
    }

    /// The resources of a type, by name.
    pub fn resources(&self, kind: ResourceType) -> impl Iterator<Item = &Resource> {
        self.resources.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// How many resources of a type there are.
    #[must_use]
    pub fn count(&self, kind: ResourceType) -> usize {
        self.resources.get(&kind).map_or(0, BTreeMap::len)
    }

    /// The resource of that type and name.
    #[must_use]
    pub fn get(&self, name: &ResourceName) -> Option<&Resource> {
        self.resources.get(&name.kind)?.get(&name.name)
    }

    /// The resources that a resource refers to, whether they exist or not.
    pub fn references(&self, name: &ResourceName) -> impl Iterator<Item = &ResourceName> {
        self.references.get(name).into_iter().flatten()
    }

    /// The resources that refer to a resource, whether it exists or not.
    pub fn referrers(&self, name: &ResourceName) -> impl Iterator<Item = &ResourceName> {
        self.referrers.get(name).into_iter().flatten()
    }

    /// What something refers to and is not there, with those who refer to it.
    pub fn missing(&self) -> impl Iterator<Item = (&ResourceName, &BTreeSet<ResourceName>)> {
        self.referrers.iter().filter(|(name, _)| self.get(name).is_none())
    }

    /// Everything that is referred to or there, of a type.
    pub(crate) fn known(&self, kind: ResourceType) -> BTreeSet<&str> {
        let present = self
            .resources
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::keys)
            .map(String::as_str);
        let referred = self
            .referrers
            .keys()
            .filter(|name| name.kind == kind)
            .map(|name| name.name.as_str());
        present.chain(referred).collect()
    }

    fn body(&self, kind: ResourceType, name: &str) -> Option<&Body> {
        self.resources.get(&kind)?.get(name).map(|resource| &resource.body)
    }

    pub(crate) fn listener(&self, name: &str) -> Option<&Listener> {
        match self.body(ResourceType::Listener, name)? {
            Body::Listener(message) => Some(message),
            _ => None,
        }
    }

    pub(crate) fn route_configuration(&self, name: &str) -> Option<&RouteConfiguration> {
        match self.body(ResourceType::RouteConfiguration, name)? {
            Body::RouteConfiguration(message) => Some(message),
            _ => None,
        }
    }

    pub(crate) fn cluster(&self, name: &str) -> Option<&Cluster> {
        match self.body(ResourceType::Cluster, name)? {
            Body::Cluster(message) => Some(message),
            _ => None,
        }
    }

    pub(crate) fn assignment(&self, name: &str) -> Option<&ClusterLoadAssignment> {
        match self.body(ResourceType::ClusterLoadAssignment, name)? {
            Body::ClusterLoadAssignment(message) => Some(message),
            _ => None,
        }
    }
}
