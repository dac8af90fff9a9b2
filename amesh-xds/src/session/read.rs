//! From a response to what it changes: each resource is judged alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amesh_core::decode::Reason;
use amesh_core::finding::ResourceName;
use amesh_core::{Rejected, Resource, ResourceType, Update, decode};
use envoy_types::pb::envoy::service::discovery::v3::Resource as Wrapper;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message as _, Name as _};
use xxhash_rust::xxh3::xxh3_128;

use super::state::{Accepted, State};
use super::{Delivery, Response, is_wildcard};

/// A response, understood.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) nonce: String,
    pub(super) delivery: Delivery,
    pub(super) accepted: Vec<Accepted>,
}

/// A resource as it came, of either variant of the protocol.
struct Entry {
    /// As the wrapper has it, if there is one.
    name: Option<String>,
    version: Arc<str>,
    body: Option<Any>,
}

/// What is in an entry.
enum Content {
    /// The bytes, or the mere version, of a resource that is held.
    Unchanged,
    Changed(Resource, u128),
    Rejected(Reason),
}

/// Reads a response of that type.
pub(super) fn read(state: &State, response: Response, keep_when_all_removed: bool) -> Read {
    let kind = state.kind;
    let (entries, removed, version, nonce, full) = match response {
        Response::StateOfTheWorld(response) => {
            let version = response.version_info;
            // One for all of them.
            let shared: Arc<str> = version.as_str().into();
            let entries: Vec<Entry> = response.resources.into_iter().map(|any| unwrap(any, &shared)).collect();
            (entries, Vec::new(), version, response.nonce, is_wildcard(kind))
        }
        Response::Delta(response) => {
            let entries = response.resources.into_iter().map(entry).collect();
            let version = response.system_version_info;
            (entries, response.removed_resources, version, response.nonce, false)
        }
    };

    let mut nameless = Vec::new();
    let mut by_name: BTreeMap<String, (Arc<str>, Content)> = BTreeMap::new();
    for entry in entries {
        let version = Arc::clone(&entry.version);
        match judge(state, entry) {
            (None, Content::Rejected(reason)) => nameless.push(rejected(kind, None, reason)),
            (Some(name), content) if state.wants(&name) => {
                let twice = by_name.contains_key(&name) || removed.contains(&name);
                let content = if twice {
                    Content::Rejected(twice_in_one())
                } else {
                    content
                };
                by_name.insert(name, (version, content));
            }
            // What was not asked for, and what says nothing.
            (Some(_) | None, _) => {}
        }
    }

    let mut read = Read {
        nonce,
        delivery: Delivery {
            kind,
            version,
            update: Update::default(),
            rejected: nameless,
            answered: by_name.keys().cloned().collect(),
            kept: Vec::new(),
            full,
        },
        accepted: Vec::new(),
    };
    let gone = gone(state, &removed, full, &read);
    read.delivery.answered.extend(removed);

    let named = |name: String| ResourceName { kind, name };
    let all = by_name.is_empty() && !gone.is_empty() && gone.len() == state.held.len();
    let keep = !is_wildcard(kind) || (all && keep_when_all_removed);
    if keep {
        read.delivery.kept = gone.into_iter().map(named).collect();
    } else {
        read.delivery.update.removed = gone.into_iter().map(named).collect();
    }

    for (name, (version, content)) in by_name {
        let digest = match content {
            Content::Unchanged => None,
            Content::Changed(resource, digest) => {
                read.delivery.update.put.push(resource);
                Some(digest)
            }
            Content::Rejected(reason) => {
                read.delivery.rejected.push(rejected(kind, Some(name), reason));
                continue;
            }
        };
        read.accepted.push(Accepted { name, version, digest });
    }
    read
}

/// The held resources that the response takes away.
fn gone(state: &State, removed: &[String], full: bool, read: &Read) -> Vec<String> {
    if !full {
        let held = removed.iter().filter(|name| state.held.has(name));
        return held
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .filter(|name| !read.delivery.answered.contains(name))
            .collect();
    }
    // A resource without a legible name may be any of those that seem to be missing.
    if !read.delivery.rejected.is_empty() {
        return Vec::new();
    }
    let missing = state
        .held
        .names()
        .filter(|name| !read.delivery.answered.contains(*name));
    missing.map(str::to_owned).collect()
}

/// The name of a resource, as far as it is known, and what it holds.
fn judge(state: &State, entry: Entry) -> (Option<String>, Content) {
    let Entry { name, body, .. } = entry;
    let Some(body) = body else {
        // A heartbeat: it says that a resource is still there.
        return match name.filter(|name| state.held.has(name)) {
            Some(name) => (Some(name), Content::Unchanged),
            None => (None, Content::Unchanged),
        };
    };
    let kind = ResourceType::from_type_url(&body.type_url);
    if kind.is_some_and(|kind| kind != state.kind) {
        let message = format!("{} in a response of {}", body.type_url, state.kind);
        return (name, Content::Rejected(invalid(message)));
    }
    let digest = xxh3_128(&body.value);
    if kind.is_some()
        && let Some(held) = state.held.same(digest)
        && name.as_ref().is_none_or(|name| name == held)
    {
        return (Some(held.to_owned()), Content::Unchanged);
    }
    match decode(&body.type_url, &body.value) {
        Ok(resource) => match name {
            Some(name) if name != resource.name => {
                let message = format!("the resource inside is named {:?}", resource.name);
                (Some(name), Content::Rejected(invalid(message)))
            }
            _ => (Some(resource.name.clone()), Content::Changed(resource, digest)),
        },
        Err(error) => (name.or(error.name), Content::Rejected(error.reason)),
    }
}

/// A resource of state of the world, which may come in a wrapper.
fn unwrap(any: Any, version: &Arc<str>) -> Entry {
    let wrapped = any.type_url.rsplit('/').next() == Some(Wrapper::full_name().as_str());
    match wrapped.then(|| Wrapper::decode(any.value.as_slice())) {
        Some(Ok(wrapper)) => Entry {
            version: Arc::clone(version),
            ..entry(wrapper)
        },
        // An illegible wrapper is judged as a resource of a type that is none.
        Some(Err(_)) | None => Entry {
            name: None,
            version: Arc::clone(version),
            body: Some(any),
        },
    }
}

fn entry(wrapper: Wrapper) -> Entry {
    Entry {
        name: Some(wrapper.name).filter(|name| !name.is_empty()),
        version: wrapper.version.into(),
        body: wrapper.resource,
    }
}

fn invalid(message: String) -> Reason {
    Reason::Invalid {
        path: String::new(),
        message,
    }
}

fn twice_in_one() -> Reason {
    invalid("the name is there twice in one response".to_owned())
}

fn rejected(kind: ResourceType, name: Option<String>, reason: Reason) -> Rejected {
    Rejected {
        kind: Some(kind),
        name,
        reason,
    }
}
