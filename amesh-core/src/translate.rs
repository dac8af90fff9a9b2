//! Envoy resources to APISIX objects and findings.
//!
//! A unit of translation is one resource with what it refers to: a listener, a route configuration, a cluster. Units
//! are translated apart from each other, so that a change runs only those that it concerns.

pub(crate) mod cluster;
pub(crate) mod endpoint;
pub(crate) mod http_filter;
mod limited;
pub(crate) mod listener;
pub(crate) mod resource;
pub(crate) mod route;
mod scope;
mod setting;
mod tally;
mod unit;
pub(crate) mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::options::{Arrival, Options};

use self::limited::Limited;
use self::listener::Use;
use self::setting::Setting;
use self::tally::Tally;
use self::unit::{Output, Unit};
use crate::apisix::{Key, Object, Objects};
use crate::decode::ResourceType;
use crate::feature::Feature;
use crate::finding::{Finding, ResourceName};
use crate::plan::{ChangeSet, plan};
use crate::snapshot::{Dirty, Snapshot};

/// The features, sorted by name: the one list of them.
pub(crate) static FEATURES: &[&Feature] = &[
    &cluster::FEATURE,
    &cluster::circuit_breaker::FEATURE,
    &cluster::common_lb::FEATURE,
    &cluster::connection::FEATURE,
    &cluster::discovery::FEATURE,
    &cluster::extension::FEATURE,
    &cluster::health_check::FEATURE,
    &cluster::http2::FEATURE,
    &cluster::load_balancing::FEATURE,
    &cluster::original_dst::FEATURE,
    &cluster::outlier_detection::FEATURE,
    &cluster::protocol::FEATURE,
    &cluster::slow_start::FEATURE,
    &cluster::transport_socket::FEATURE,
    &crate::dump::FEATURE,
    &endpoint::FEATURE,
    &endpoint::health::FEATURE,
    &endpoint::weight::FEATURE,
    &http_filter::FEATURE,
    &http_filter::cors::FEATURE,
    &http_filter::fault::FEATURE,
    &http_filter::rbac::FEATURE,
    &http_filter::router::FEATURE,
    &http_filter::table::FEATURE,
    &listener::FEATURE,
    &listener::client_address::FEATURE,
    &listener::client_certificate::FEATURE,
    &listener::filter_chain::FEATURE,
    &listener::http_connection_manager::FEATURE,
    &listener::listener_filter::FEATURE,
    &listener::nginx::FEATURE,
    &listener::request_id::FEATURE,
    &listener::server_header::FEATURE,
    &listener::upgrade::FEATURE,
    &resource::FEATURE,
    &route::FEATURE,
    &route::action::FEATURE,
    &route::direct_response::FEATURE,
    &route::entry::FEATURE,
    &route::hash_policy::FEATURE,
    &route::header::FEATURE,
    &route::header_mutation::FEATURE,
    &route::matching::FEATURE,
    &route::mirror::FEATURE,
    &route::path::FEATURE,
    &route::policy::FEATURE,
    &route::query::FEATURE,
    &route::redirect::FEATURE,
    &route::retry::FEATURE,
    &route::rewrite::FEATURE,
    &route::timeout::FEATURE,
    &route::virtual_host::FEATURE,
    &route::weighted::FEATURE,
    &value::address::FEATURE,
    &value::format::FEATURE,
    &value::fraction::FEATURE,
    &value::string_match::FEATURE,
];

/// The objects and findings of a snapshot, and what is needed to keep them in step with it.
#[derive(Debug, Clone)]
pub struct Translation {
    options: Options,
    setting: Setting,
    limited: Limited,
    outputs: BTreeMap<Unit, Output>,
    /// Where each route configuration applies, by the listener that says so.
    uses: BTreeMap<String, BTreeMap<String, Vec<Use>>>,
    /// The route configurations that each listener names.
    named: BTreeMap<String, BTreeSet<String>>,
    objects: Objects,
    /// Objects of two units have the same key. Only the first is there, and the next update starts from scratch.
    collisions: Vec<Finding>,
}

/// What an update changed.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Updated {
    /// How the objects differ.
    pub changes: ChangeSet,
    /// Findings that were not there before, sorted. A finding whose place has moved has come here and gone there.
    pub come: Vec<Finding>,
    /// Findings that are no longer there, sorted.
    pub gone: Vec<Finding>,
}

impl Updated {
    /// Whether neither objects nor findings differ.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.come.is_empty() && self.gone.is_empty()
    }
}

/// Translates a snapshot.
///
/// ```
/// use amesh_core::{Options, Snapshot, dump, translate};
///
/// let dump = dump::read(br#"{"name": "a", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
///     "cluster_name": "a", "endpoints": [{"lb_endpoints": [{"endpoint": {"address":
///         {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}}]}]}}"#)?;
/// let translation = translate(&Snapshot::from_resources(dump.resources), &Options::default());
/// assert_eq!(translation.objects().len(), 1);
/// # Ok::<(), amesh_core::dump::Error>(())
/// ```
#[must_use]
pub fn translate(snapshot: &Snapshot, options: &Options) -> Translation {
    let mut translation = Translation {
        options: options.clone(),
        setting: Setting::of(snapshot, options),
        limited: Limited::new(snapshot, options),
        outputs: BTreeMap::new(),
        uses: BTreeMap::new(),
        named: BTreeMap::new(),
        objects: Objects::new(),
        collisions: Vec::new(),
    };
    let listeners: BTreeSet<Unit> = snapshot
        .resources(ResourceType::Listener)
        .map(|listener| Unit::Listener(listener.name.clone()))
        .collect();
    translation.run(snapshot, &listeners, &mut None);
    let mut rest = BTreeSet::new();
    rest.extend(
        snapshot
            .known(ResourceType::RouteConfiguration)
            .into_iter()
            .map(|name| Unit::Routes(name.to_owned())),
    );
    rest.extend(
        snapshot
            .known(ResourceType::Cluster)
            .into_iter()
            .map(|name| Unit::Cluster(name.to_owned())),
    );
    for kind in [ResourceType::Secret, ResourceType::TypedExtensionConfig] {
        let names = snapshot.resources(kind).map(|other| ResourceName {
            kind,
            name: other.name.clone(),
        });
        rest.extend(names.map(Unit::Other));
    }
    translation.run(snapshot, &rest, &mut None);
    translation
}

/// Adds sorted entries to a map: all at once where they are many, one by one where they are few.
fn extend<K: Ord, V>(map: &mut BTreeMap<K, V>, entries: Vec<(K, V)>) {
    if entries.len() > map.len() / 8 {
        map.append(&mut entries.into_iter().collect());
    } else {
        map.extend(entries);
    }
}

impl Translation {
    /// The objects by key.
    #[must_use]
    pub const fn objects(&self) -> &Objects {
        &self.objects
    }

    /// What was not carried over as it was, by resource and path.
    #[must_use]
    pub fn findings(&self) -> Vec<&Finding> {
        let mut all: Vec<&Finding> = self
            .outputs
            .values()
            .flat_map(|output| &output.findings)
            .chain(&self.collisions)
            .collect();
        all.sort();
        // Clusters can share a load assignment, whose findings then come from each of them.
        all.dedup();
        all
    }

    /// How requests arrive: as the options say or, where they do not, as the listeners suggest.
    #[must_use]
    pub const fn arrival(&self) -> Arrival {
        self.setting.arrival
    }

    /// Brings the translation in step with a snapshot that an update changed, and tells what differs. The result is the
    /// same as translating the snapshot from scratch; the work is proportional to the change.
    pub fn update(&mut self, snapshot: &Snapshot, dirty: &Dirty) -> Updated {
        if dirty.is_empty() {
            return Updated::default();
        }
        let touched = |kind| dirty.changed.iter().any(move |name| name.kind == kind);
        let (listeners, routes) = (
            touched(ResourceType::Listener),
            touched(ResourceType::RouteConfiguration),
        );
        let ports = if listeners || routes {
            let setting = self.setting.next(snapshot, dirty, &self.options);
            let ports = self.setting.ports_of(dirty).chain(setting.ports_of(dirty)).collect();
            let same = setting.governs_as(&self.setting);
            self.setting = setting;
            if !same {
                return self.restart(snapshot);
            }
            ports
        } else {
            BTreeSet::new()
        };
        if !self.collisions.is_empty() {
            return self.restart(snapshot);
        }
        let mut units = BTreeSet::new();
        for port in ports {
            units.extend(
                self.setting
                    .listeners_at(port)
                    .map(|name| Unit::Listener(name.to_owned())),
            );
        }
        let changed = dirty.changed.iter().filter(|name| name.kind == ResourceType::Listener);
        units.extend(changed.map(|name| Unit::Listener(name.name.clone())));
        let gone = dirty
            .appeared_or_gone
            .iter()
            .filter(|name| name.kind == ResourceType::Cluster);
        let relimited = self.limited.update(snapshot, dirty, &self.options);
        let referrers: Vec<&ResourceName> = gone
            .chain(relimited)
            .flat_map(|name| snapshot.referrers(name))
            .collect();
        units.extend(
            referrers
                .iter()
                .filter(|name| name.kind == ResourceType::Listener)
                .map(|name| Unit::Listener(name.name.clone())),
        );
        let mut tally = Some(Tally::default());
        let mut rest: BTreeSet<Unit> = self.run(snapshot, &units, &mut tally);

        rest.extend(
            referrers
                .iter()
                .filter(|name| name.kind == ResourceType::RouteConfiguration)
                .map(|name| Unit::Routes(name.name.clone())),
        );
        for name in dirty.changed.iter().chain(&dirty.used_or_unused) {
            match name.kind {
                ResourceType::Listener => {}
                ResourceType::RouteConfiguration => {
                    rest.insert(Unit::Routes(name.name.clone()));
                }
                ResourceType::Cluster => {
                    rest.insert(Unit::Cluster(name.name.clone()));
                }
                ResourceType::ClusterLoadAssignment => {
                    rest.extend(
                        snapshot
                            .referrers(name)
                            .map(|cluster| Unit::Cluster(cluster.name.clone())),
                    );
                }
                ResourceType::Secret | ResourceType::TypedExtensionConfig => {
                    rest.insert(Unit::Other(name.clone()));
                }
            }
        }
        self.run(snapshot, &rest, &mut tally);
        let mut tally: Tally = tally.unwrap_or_default();
        if self.collisions.is_empty() {
            let (come, gone) = tally.findings(|unit| self.outputs.get(unit), snapshot);
            let changes = plan(&tally.old, &tally.new);
            return Updated { changes, come, gone };
        }
        // What was is what the next translation is compared with: take back what was run.
        for key in tally.new.keys() {
            self.objects.remove(key);
        }
        self.objects.append(&mut tally.old);
        for (unit, findings) in tally.into_before() {
            let keys = Vec::new();
            self.outputs.insert(unit, Output { keys, findings });
        }
        self.collisions.clear();
        self.restart(snapshot)
    }

    fn restart(&mut self, snapshot: &Snapshot) -> Updated {
        let fresh = translate(snapshot, &self.options);
        let updated = {
            let (old, new) = (self.findings(), fresh.findings());
            Updated {
                changes: plan(&self.objects, &fresh.objects),
                come: tally::missing(&new, &old),
                gone: tally::missing(&old, &new),
            }
        };
        *self = fresh;
        updated
    }

    /// Runs units, and tells which route configurations apply elsewhere now. What their objects were and are goes to the
    /// tally, if there is one.
    fn run(&mut self, snapshot: &Snapshot, units: &BTreeSet<Unit>, tally: &mut Option<Tally>) -> BTreeSet<Unit> {
        let mut moved = BTreeSet::new();
        for unit in units {
            let before = self.outputs.remove(unit).unwrap_or_default();
            for key in before.keys {
                if let Some((key, object)) = self.objects.remove_entry(&key)
                    && let Some(tally) = tally
                {
                    tally.old.entry(key).or_insert(object);
                }
            }
            if let Some(tally) = tally {
                tally.ran(unit, before.findings);
            }
        }
        let mut outputs = Vec::with_capacity(units.len());
        let mut stored: Vec<(Key, Arc<Object>)> = Vec::new();
        for unit in units {
            let ran = unit.run(snapshot, &self.setting, &self.options, &self.uses);
            if let Unit::Listener(listener) = unit {
                moved.extend(self.place(listener, ran.named).into_iter().map(Unit::Routes));
            }
            let output = Output {
                keys: ran.objects.iter().map(Object::key).collect(),
                findings: ran.findings,
            };
            stored.extend(output.keys.iter().cloned().zip(ran.objects.into_iter().map(Arc::new)));
            if !output.keys.is_empty() || !output.findings.is_empty() {
                outputs.push((unit.clone(), output));
            }
        }
        self.refuse_collisions(&mut stored, &mut outputs);
        if let Some(tally) = tally {
            tally.new.extend(stored.iter().cloned());
        }
        extend(&mut self.objects, stored);
        extend(&mut self.outputs, outputs);
        moved
    }

    /// Takes out objects whose key another unit's object has, or an earlier one of these, and reports them.
    fn refuse_collisions(&mut self, stored: &mut Vec<(Key, Arc<Object>)>, outputs: &mut [(Unit, Output)]) {
        // Stable: of equal keys the earlier unit's comes first.
        stored.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut refused = Vec::new();
        let mut last: Option<Key> = None;
        stored.retain(|(key, _)| {
            let taken = last.as_ref() == Some(key) || self.objects.contains_key(key);
            if taken {
                refused.push(key.clone());
            } else {
                last = Some(key.clone());
            }
            !taken
        });
        for key in refused {
            let mut first = !self.objects.contains_key(&key);
            for (unit, output) in outputs.iter_mut() {
                output.keys.retain(|held| {
                    // Of several holders among these the first keeps it, unless the key was taken before.
                    let keep = *held != key || std::mem::take(&mut first);
                    if !keep {
                        self.collisions
                            .push(resource::collision(unit.resource(), &key, &self.options));
                    }
                    keep
                });
            }
        }
    }

    /// Notes where a listener's route configurations apply, and returns those for which that is news.
    fn place(&mut self, listener: &str, named: BTreeMap<String, Vec<Use>>) -> BTreeSet<String> {
        let mut moved = BTreeSet::new();
        let before = self.named.remove(listener).unwrap_or_default();
        for route in before.into_iter().filter(|route| !named.contains_key(route)) {
            if let Some(by_listener) = self.uses.get_mut(&route) {
                by_listener.remove(listener);
                if by_listener.is_empty() {
                    self.uses.remove(&route);
                }
            }
            moved.insert(route);
        }
        if !named.is_empty() {
            self.named.insert(listener.to_owned(), named.keys().cloned().collect());
        }
        for (route, uses) in named {
            let by_listener = self.uses.entry(route.clone()).or_default();
            if by_listener.get(listener) != Some(&uses) {
                by_listener.insert(listener.to_owned(), uses);
                moved.insert(route);
            }
        }
        moved
    }
}
