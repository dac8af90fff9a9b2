//! What all listeners together say, so that each can be translated alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use envoy_types::pb::envoy::config::listener::v3::Listener;

use super::listener::address::{Binding, Neighbours};
use super::listener::{bindings, route_names};
use crate::decode::ResourceType;
use crate::options::{Arrival, Options};
use crate::snapshot::{Dirty, Snapshot};

/// What is true of a snapshot as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) arrival: Arrival,
    pub(crate) neighbours: Neighbours,
    /// No listener at all: a dump of routes alone.
    pub(crate) no_listeners: bool,
    /// No route at all: a dump of clusters alone.
    pub(crate) no_routes: bool,
    listeners: BTreeMap<String, Facts>,
    by_port: BTreeMap<u16, BTreeSet<String>>,
}

/// What others need to know about a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    bindings: Vec<Binding>,
    route_names: Vec<String>,
    takes_redirected: bool,
}

impl Facts {
    fn of(listener: &Listener) -> Self {
        Self {
            bindings: bindings(listener),
            route_names: route_names(listener),
            takes_redirected: listener.use_original_dst.is_some_and(|value| value.value),
        }
    }
}

impl Setting {
    pub(crate) fn of(snapshot: &Snapshot, options: &Options) -> Self {
        let names = snapshot
            .resources(ResourceType::Listener)
            .map(|listener| listener.name.as_str());
        let facts = names
            .filter_map(|name| Some((name.to_owned(), Facts::of(snapshot.listener(name)?))))
            .collect();
        Self::with(facts, snapshot, options)
    }

    /// The setting after an update: only listeners that changed are looked at again.
    pub(crate) fn next(&self, snapshot: &Snapshot, dirty: &Dirty, options: &Options) -> Self {
        let mut listeners = self.listeners.clone();
        for name in dirty.changed.iter().filter(|name| name.kind == ResourceType::Listener) {
            match snapshot.listener(&name.name) {
                Some(listener) => listeners.insert(name.name.clone(), Facts::of(listener)),
                None => listeners.remove(&name.name),
            };
        }
        Self::with(listeners, snapshot, options)
    }

    fn with(listeners: BTreeMap<String, Facts>, snapshot: &Snapshot, options: &Options) -> Self {
        let mut by_port: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
        let mut redirecting = BTreeSet::new();
        for (name, facts) in &listeners {
            for binding in &facts.bindings {
                by_port.entry(binding.port).or_default().insert(name.clone());
                if facts.takes_redirected {
                    redirecting.insert(binding.port);
                }
            }
        }
        let suggested = if redirecting.is_empty() {
            Arrival::Direct
        } else {
            Arrival::Redirect
        };
        Self {
            arrival: options.arrival.unwrap_or(suggested),
            neighbours: Neighbours {
                redirecting: redirecting.into_iter().collect(),
            },
            no_listeners: listeners.is_empty(),
            no_routes: listeners.is_empty() && snapshot.count(ResourceType::RouteConfiguration) == 0,
            listeners,
            by_port,
        }
    }

    /// Whether units that did not change themselves come out the same under both settings.
    pub(crate) fn governs_as(&self, other: &Self) -> bool {
        self.arrival == other.arrival
            && self.neighbours == other.neighbours
            && self.no_listeners == other.no_listeners
            && self.no_routes == other.no_routes
    }

    /// The ports of the listeners that changed.
    pub(crate) fn ports_of<'a>(&'a self, dirty: &'a Dirty) -> impl Iterator<Item = u16> + 'a {
        let changed = dirty.changed.iter().filter(|name| name.kind == ResourceType::Listener);
        changed
            .filter_map(|name| self.listeners.get(&name.name))
            .flat_map(|facts| &facts.bindings)
            .map(|binding| binding.port)
    }

    /// The listeners at a port.
    pub(crate) fn listeners_at(&self, port: u16) -> impl Iterator<Item = &str> {
        self.by_port.get(&port).into_iter().flatten().map(String::as_str)
    }

    /// The specific addresses that listeners have at a port.
    pub(crate) fn specific(&self, port: u16) -> Vec<IpAddr> {
        let facts = self.listeners_at(port).filter_map(|name| self.listeners.get(name));
        let at_port = facts
            .flat_map(|facts| &facts.bindings)
            .filter(|binding| binding.port == port);
        let addresses: BTreeSet<IpAddr> = at_port.filter_map(|binding| binding.address).collect();
        addresses.into_iter().collect()
    }

    /// The names of the route configurations that the listeners at an address and port name.
    pub(crate) fn route_names(&self, address: IpAddr, port: u16) -> Vec<String> {
        let facts = self.listeners_at(port).filter_map(|name| self.listeners.get(name));
        let there = facts.filter(|facts| {
            facts.bindings.contains(&Binding {
                address: Some(address),
                port,
            })
        });
        there.flat_map(|facts| facts.route_names.iter().cloned()).collect()
    }
}
