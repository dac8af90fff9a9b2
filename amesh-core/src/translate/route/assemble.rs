//! Virtual hosts and what becomes of their requests as APISIX's routes: ids, order, hosts, conditions and plugins.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::answer::Answer;
use super::domain::HostGroup;
use super::entry::Entry;
use super::path::PathMatch;
use super::virtual_host::Host;
use super::{Applied, Serving, header_mutation, order};
use crate::apisix::plugin::{Abort, AmeshAnswer, FaultInjection, LocalAnswer, Manager, Plugins};
use crate::apisix::{Expr, Id, Route};
use crate::options::Target;
use crate::translate::scope::Scope;

/// The header in which Envoy tells of a client's certificate.
const CLIENT_CERTIFICATE: &str = "x-forwarded-client-cert";

/// A route that answers everything that arrives somewhere with a status.
pub(crate) fn refuse_all(id: &[&str], name: &str, refusal: Refusal, scope: Vec<Expr>) -> Route {
    let parts: Vec<&str> = id.iter().copied().chain([name]).collect();
    Route {
        // Conditions are lists of texts and numbers, which always serialize.
        id: Id::of_parts(&parts, &serde_json::to_string(&scope).unwrap_or_default()),
        name: Some(limited(&[id.first().copied().unwrap_or_default(), name])),
        uri: "/*".into(),
        hosts: None,
        priority: 0,
        vars: scope,
        enable_websocket: None,
        timeout: None,
        upstream_id: None,
        plugins: refusal.plugins(),
    }
}

/// Virtual hosts as APISIX routes: one for each entry and group of domains.
pub(super) fn assemble(applied: &Applied<'_>, hosts: &[Host<'_>]) -> Vec<Route> {
    let scope = Scope::any_of(applied.scopes);
    // Groups without hosts are asked in the order of their ranks, so each gets a band of priorities of its own.
    let mut hostless: Vec<(usize, usize, usize)> = hosts
        .iter()
        .enumerate()
        .flat_map(|(host_at, host)| {
            host.groups
                .iter()
                .enumerate()
                .filter(|(_, group)| group.hosts.is_empty())
                .map(move |(at, group)| (group.rank, host_at, at))
        })
        .collect();
    hostless.sort_unstable();
    let mut bands = BTreeMap::new();
    let mut next = 0;
    for (_, host_at, group_at) in &hostless {
        bands.insert((*host_at, *group_at), next);
        next += hosts.get(*host_at).map_or(0, |host| priority(host.entries.len()));
    }
    let mut names: HashMap<&str, usize> = HashMap::with_capacity(hosts.len());
    let mut routes = Vec::new();
    for (host_at, host) in hosts.iter().enumerate() {
        // Envoy allows virtual hosts of the same name.
        let repeated = names.entry(host.name).or_default();
        *repeated += 1;
        let in_tree = order::may_use_uris(&host.entries);
        for (group_at, group) in host.groups.iter().enumerate() {
            let band = bands.get(&(host_at, group_at)).copied();
            // Routes without hosts share one tree with other virtual hosts, whose order is not theirs.
            let builder = Builder {
                applied,
                scope: &scope,
                host,
                group,
                in_tree: in_tree && (band.is_none() || hostless.len() == 1),
                repeated: *repeated,
            };
            builder.push_all(band.unwrap_or(0), &mut routes);
        }
    }
    routes
}

struct Builder<'a> {
    applied: &'a Applied<'a>,
    scope: &'a [Expr],
    host: &'a Host<'a>,
    group: &'a HostGroup,
    in_tree: bool,
    repeated: usize,
}

impl Builder<'_> {
    fn push_all(&self, band: i64, routes: &mut Vec<Route>) {
        let count = self.host.entries.len();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, entry) in self.host.entries.iter().enumerate() {
            let conditions: Vec<Expr> =
                if self.in_tree && matches!(entry.path, PathMatch::Exact(_) | PathMatch::Prefix(_)) {
                    entry.conditions.clone()
                } else {
                    entry
                        .path
                        .condition()
                        .into_iter()
                        .chain(entry.conditions.iter().cloned())
                        .collect()
                };
            let key = format!(
                "{}{}",
                self.applied.further,
                identity(entry, &self.group.tag, self.repeated)
            );
            let repeated = seen.entry(key.clone()).or_default();
            *repeated += 1;
            let key = if *repeated > 1 {
                format!("{key} {repeated}")
            } else {
                key
            };
            routes.push(self.route(entry, conditions, &key, band + priority(count - index)));
        }
    }

    fn route(&self, entry: &Entry, conditions: Vec<Expr>, key: &str, priority: i64) -> Route {
        let mut parts = self.applied.id.to_vec();
        parts.push(self.host.name);
        if !entry.name.is_empty() {
            parts.push(&entry.name);
        }
        let uri = match &entry.path {
            PathMatch::Exact(path) if self.in_tree => path.clone().into(),
            PathMatch::Prefix(prefix) if self.in_tree => format!("{prefix}*").into(),
            _ => "/*".into(),
        };
        let mut plugins = entry.plugins.clone();
        let mut upstream_id = None;
        match &entry.answer {
            Answer::Upstream(id) => upstream_id = Some(id.clone()),
            Answer::Split(split) => plugins.traffic_split = Some(split.clone()),
            Answer::Clusters(clusters) => {
                if clusters.members.iter().any(|member| !member.response.is_empty()) {
                    plugins.amesh_response.get_or_insert_default();
                }
                plugins.amesh_forward.get_or_insert_default().clusters = Some(clusters.clone());
            }
            // What is refused is refused before anything else.
            Answer::Status(status) => {
                let refusal = Refusal {
                    status: *status,
                    manager: None,
                    target: self.applied.target,
                };
                plugins = refusal.plugins();
            }
            Answer::Redirect(redirect) => plugins.redirect = Some(redirect.clone()),
            Answer::Abort(abort) => {
                let fault = plugins.fault_injection.take();
                let (delay, injected) = fault.map_or((None, None), |fault| (fault.delay, fault.abort));
                plugins.fault_injection = Some(FaultInjection {
                    abort: injected.or_else(|| Some(abort.clone())),
                    delay,
                });
            }
            Answer::Amesh(answer) => {
                plugins.amesh_answer = Some(AmeshAnswer {
                    answer: answer.clone(),
                    manager: None,
                });
            }
        }
        let forwards = entry.answer.forwards();
        let serving = &self.applied.serving;
        if forwards && serving.removes_client_cert {
            header_mutation::remove_first(&mut plugins, CLIENT_CERTIFICATE, self.applied.target);
        }
        if let Some(hop) = serving.client_hop {
            header_mutation::believe(&mut plugins, hop);
        }
        if self.applied.target == Target::Amesh {
            serve(&mut plugins, forwards, serving);
        }
        Route {
            id: Id::of_parts(&parts, key),
            name: Some(limited(&[self.host.name, &entry.name])),
            uri,
            hosts: (!self.group.hosts.is_empty()).then(|| self.group.hosts.clone()),
            priority,
            vars: self
                .scope
                .iter()
                .chain(&self.group.conditions)
                .cloned()
                .chain(conditions)
                .collect(),
            enable_websocket: (forwards && entry.websocket.unwrap_or(serving.websocket)).then_some(true),
            timeout: entry.timeout.filter(|_| forwards),
            upstream_id,
            plugins,
        }
    }
}

/// What tells an entry from the others of its virtual host, wherever it stands: its conditions, not its place.
fn identity(entry: &Entry, tag: &str, repeated: usize) -> String {
    let mut key = format!("{tag} {repeated}");
    for condition in entry.path.condition().iter().chain(&entry.conditions) {
        key.push(' ');
        // Conditions are lists of texts and numbers, which always serialize.
        key.push_str(&serde_json::to_string(condition).unwrap_or_default());
    }
    key
}

fn priority(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Tells Amesh's plugins what the connection manager does with a route's requests.
fn serve(plugins: &mut Plugins, forwards: bool, serving: &Serving) {
    let path = (!serving.path.is_none()).then_some(serving.path);
    if forwards {
        let forward = plugins.amesh_forward.get_or_insert_default();
        forward.path = path;
        forward.manager.clone_from(&serving.manager);
    } else if let Some(answer) = &mut plugins.amesh_answer {
        if let LocalAnswer::Redirect(redirect) = &mut answer.answer {
            redirect.form = path;
        }
        answer.manager.clone_from(&serving.manager);
    }
}

/// An answer to requests that are not served.
pub(crate) struct Refusal {
    pub(crate) status: u32,
    /// What the connection manager does to its headers.
    pub(crate) manager: Option<Arc<Manager>>,
    pub(crate) target: Target,
}

impl Refusal {
    fn plugins(self) -> Plugins {
        let mut plugins = Plugins::default();
        if self.target == Target::Amesh {
            plugins.amesh_answer = Some(AmeshAnswer {
                answer: LocalAnswer::status(self.status),
                manager: self.manager,
            });
        } else {
            plugins.fault_injection = Some(FaultInjection {
                abort: Some(Abort::always(self.status, String::new())),
                delay: None,
            });
        }
        plugins
    }
}

/// A name for people within APISIX's limit of 256 characters.
fn limited(parts: &[&str]) -> String {
    let mut name = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !name.is_empty() {
            name.push_str(" / ");
        }
        name.push_str(part);
    }
    if let Some((end, _)) = name.char_indices().nth(256) {
        name.truncate(end);
    }
    if name.is_empty() { "-".to_owned() } else { name }
}
