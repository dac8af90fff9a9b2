//! Units of translation: one resource with what it refers to.

use std::collections::BTreeMap;

use super::cluster::circuit_breaker::limits;
use super::http_filter::Configs;
use super::listener::{Inline, Listened, Surroundings, Use, listener};
use super::route::{Applied, Clusters, Serving, route_configuration};
use super::scope::Scope;
use super::setting::Setting;
use super::{cluster, resource};
use crate::apisix::{Key, Object, Route};
use crate::decode::{ResourceType, Unknown};
use crate::finding::{Finding, Findings, Path, ResourceName};
use crate::options::Options;
use crate::snapshot::{Snapshot, assignment_of};

/// What is translated as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    Listener(String),
    Routes(String),
    Cluster(String),
    Other(ResourceName),
}

/// What a unit has in the translation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    pub(crate) keys: Vec<Key>,
    pub(crate) findings: Vec<Finding>,
}

/// What running a unit gave.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) objects: Vec<Object>,
    pub(crate) findings: Vec<Finding>,
    /// For a listener: the route configurations that it names, and where they apply.
    pub(crate) named: BTreeMap<String, Vec<Use>>,
}

impl Unit {
    /// The resource that the unit is about.
    pub(crate) fn resource(&self) -> ResourceName {
        let of = |kind, name: &String| ResourceName {
            kind,
            name: name.clone(),
        };
        match self {
            Self::Listener(name) => of(ResourceType::Listener, name),
            Self::Routes(name) => of(ResourceType::RouteConfiguration, name),
            Self::Cluster(name) => of(ResourceType::Cluster, name),
            Self::Other(name) => name.clone(),
        }
    }

    pub(crate) fn run(
        &self,
        snapshot: &Snapshot,
        setting: &Setting,
        options: &Options,
        uses: &BTreeMap<String, BTreeMap<String, Vec<Use>>>,
    ) -> Ran {
        let name = self.resource();
        let unknown = snapshot
            .get(&name)
            .map_or(&[][..], |resource| resource.unknown.as_slice());
        let findings = Findings::new(options, name, unknown);
        resource::report_unknown(&findings);
        let clusters = Clusters {
            exists: &|name| snapshot.cluster(name).is_some(),
            limits: &|name, priority| {
                let cluster = snapshot.cluster(name);
                cluster.is_some_and(|cluster| limits(cluster.circuit_breakers.as_ref(), priority))
            },
        };
        match self {
            Self::Listener(name) => run_listener(name, snapshot, setting, &clusters, findings),
            Self::Routes(name) => {
                let objects = run_routes(name, snapshot, setting, uses, &clusters, &findings);
                Ran {
                    objects,
                    findings: findings.into_sorted(),
                    named: BTreeMap::new(),
                }
            }
            Self::Cluster(name) => run_cluster(name, snapshot, setting, options, findings),
            Self::Other(_) => {
                if snapshot.get(findings.resource()).is_some() {
                    resource::report_other(&findings);
                }
                Ran {
                    findings: findings.into_sorted(),
                    ..Ran::default()
                }
            }
        }
    }
}

fn routes(list: Vec<Route>) -> impl Iterator<Item = Object> {
    list.into_iter().map(|route| Object::Route(Box::new(route)))
}

fn run_listener(
    name: &str,
    snapshot: &Snapshot,
    setting: &Setting,
    clusters: &Clusters<'_>,
    findings: Findings<'_>,
) -> Ran {
    let Some(message) = snapshot.listener(name) else {
        return Ran::default();
    };
    let around = Surroundings {
        arrival: setting.arrival,
        neighbours: &setting.neighbours,
        specific: &|port| setting.specific(port),
        route_names: &|address, port| setting.route_names(address, port),
    };
    let Listened { named, inline, guards } = listener(message, &around, &findings);
    let mut objects: Vec<Object> = routes(guards).collect();
    for Inline {
        config,
        used,
        chain,
        filter,
    } in inline
    {
        let root = Path::root();
        let (chains, default) = (root.field("filter_chains"), root.field("default_filter_chain"));
        let at_chain = chain.map_or(default, |index| chains.index(index));
        let filters = at_chain.field("filters");
        let (at_filter, key) = (filters.index(filter), scope_key(&used.scope));
        let at_config = at_filter.field("typed_config");
        let applied = Applied {
            config: &config,
            id: &[name, &config.name],
            further: &key,
            scopes: &[used.scope],
            serving: used.serving,
            target: findings.options().target,
            filters: Some(&used.filters),
        };
        objects.extend(routes(route_configuration(
            &applied,
            clusters,
            at_config.field("route_config"),
            &findings,
        )));
    }
    Ran {
        objects,
        findings: findings.into_sorted(),
        named,
    }
}

/// What tells apart the routes of equal route configurations that stand in one listener.
fn scope_key(scope: &Scope) -> String {
    // Conditions are lists of texts and numbers, which always serialize.
    serde_json::to_string(&scope.0).unwrap_or_default()
}

fn run_routes(
    name: &str,
    snapshot: &Snapshot,
    setting: &Setting,
    uses: &BTreeMap<String, BTreeMap<String, Vec<Use>>>,
    clusters: &Clusters<'_>,
    findings: &Findings<'_>,
) -> Vec<Object> {
    let Some(config) = snapshot.route_configuration(name) else {
        if snapshot.referrers(findings.resource()).next().is_some() {
            findings.add(&resource::ROUTES_MISSING, Path::root());
        }
        return Vec::new();
    };
    let used: Vec<&Use> = uses
        .get(name)
        .into_iter()
        .flat_map(BTreeMap::values)
        .flatten()
        .collect();
    let shared = Serving::shared(used.iter().map(|used| &used.serving), findings);
    let (scopes, serving) = if let Some(serving) = shared {
        let mut scopes: Vec<Scope> = used.iter().map(|used| used.scope.clone()).collect();
        scopes.sort();
        scopes.dedup();
        (scopes, serving)
    } else if setting.no_listeners {
        findings.add(&resource::NO_LISTENER, Path::root());
        (
            vec![Scope(resource::scope_by_name(name, setting.arrival))],
            Serving::ISTIO,
        )
    } else {
        findings.add(&resource::UNUSED, Path::root());
        return Vec::new();
    };
    let filters = Configs::shared(used.iter().map(|used| &used.filters), Path::root(), findings);
    let applied = Applied {
        config,
        id: &[name],
        further: "",
        scopes: &scopes,
        serving,
        target: findings.options().target,
        filters: (!used.is_empty()).then_some(&filters),
    };
    routes(route_configuration(&applied, clusters, Path::root(), findings)).collect()
}

fn run_cluster(name: &str, snapshot: &Snapshot, setting: &Setting, options: &Options, findings: Findings<'_>) -> Ran {
    let referred = snapshot
        .referrers(&ResourceName {
            kind: ResourceType::Cluster,
            name: name.to_owned(),
        })
        .next()
        .is_some();
    let message = snapshot.cluster(name);
    // What no route leads to needs no upstream; a dump of clusters alone is translated for its own sake.
    if !referred && (message.is_none() || !setting.no_routes) {
        return Ran::default();
    }
    let Some(message) = message else {
        findings.add(&resource::CLUSTER_MISSING, Path::root());
        let upstream = Object::Upstream(Box::new(cluster::no_nodes(name)));
        return Ran {
            objects: vec![upstream],
            findings: findings.into_sorted(),
            named: BTreeMap::new(),
        };
    };
    let discovered = assignment_of(message);
    let assignment = discovered.and_then(|name| snapshot.assignment(name));
    let assignment_name = ResourceName {
        kind: ResourceType::ClusterLoadAssignment,
        name: discovered.unwrap_or(name).to_owned(),
    };
    let unknown: &[Unknown] = snapshot.get(&assignment_name).map_or(&[], |resource| &resource.unknown);
    let assignment_findings = Findings::new(options, assignment_name, unknown);
    resource::report_unknown(&assignment_findings);
    let upstream = cluster::upstream(message, assignment, &findings, &assignment_findings);
    let mut all = findings.into_sorted();
    all.extend(assignment_findings.into_sorted());
    Ran {
        objects: vec![Object::Upstream(Box::new(upstream))],
        findings: all,
        named: BTreeMap::new(),
    }
}
