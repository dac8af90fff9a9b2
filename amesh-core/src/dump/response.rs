//! Discovery responses one after another, as `amesh capture --raw` writes them: what a proxy holds after the last.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::envelope::enveloped;
use super::outline::{Kind, Members, items, kind};
use super::reader::Reader;
use super::{Dump, Error, Shape};
use crate::decode::{Rejected, Resource, ResourceType};
use crate::field_path::Path;
use crate::finding::{Finding, ResourceName};
use crate::snapshot::Snapshot;

/// Whether these are the members of a response of either protocol.
pub(super) fn is_response(members: &Members<'_>) -> bool {
    const OTHER: [&str; 6] = [
        "resources",
        "nonce",
        "version_info",
        "system_version_info",
        "removed_resources",
        "control_plane",
    ];
    members.has("type_url") && OTHER.iter().any(|key| members.has(key))
}

/// Reads the resources of one response.
pub(super) fn read(response: &Members<'_>, at: Path<'_>, reader: &mut Reader) {
    let Some((key, resources)) = response.get("resources") else {
        return;
    };
    let fallback = type_of(response);
    for (index, json) in items(resources).into_iter().enumerate() {
        enveloped(json, fallback, at.field(key).index(index), reader);
    }
}

fn type_of(response: &Members<'_>) -> Option<ResourceType> {
    ResourceType::from_type_url(&response.string("type_url")?)
}

/// Reads responses one after another.
pub(super) fn fold(responses: &[&RawValue], reader: &mut Reader) -> Result<Shape, Error> {
    let mut held = Held::default();
    let root = Path::root();
    for (index, json) in responses.iter().enumerate() {
        let at = root.index(index);
        let response = Members::of(json).ok().filter(is_response).ok_or_else(|| Error::Json {
            path: at.to_string(),
            message: "expected a discovery response, as those before it".to_owned(),
        })?;
        let mut one = Reader::default();
        read(&response, at, &mut one);
        held.take(&response, one.finish(Shape::DiscoveryResponse));
    }
    held.finish(reader);
    Ok(Shape::DiscoveryResponses)
}

/// What a proxy holds.
#[derive(Default)]
struct Held {
    resources: BTreeMap<ResourceName, Resource>,
    /// What was taken away, and is still used if something refers to it.
    removed: BTreeMap<ResourceName, Resource>,
    /// What was refused last, by the type of its response.
    rejected: Vec<(Option<ResourceType>, Rejected)>,
    findings: Vec<Finding>,
}

impl Held {
    fn take(&mut self, response: &Members<'_>, dump: Dump) {
        let of = type_of(response);
        let same_name = |name: &str, rejected: &Rejected| rejected.name.as_deref() == Some(name);
        if let Some(kind) = of.filter(|kind| is_full_state(*kind, response)) {
            // What has no legible name may be any of those that seem to be missing.
            let all_legible = dump.rejected.iter().all(|rejected| rejected.name.is_some());
            self.rejected.retain(|(of, _)| *of != Some(kind));
            self.resources.retain(|name, _| {
                name.kind != kind
                    || !all_legible
                    || dump.rejected.iter().any(|rejected| same_name(&name.name, rejected))
            });
        }
        for rejected in dump.rejected {
            self.rejected.retain(|(other, before)| {
                *other != of || *before != rejected && (before.name.is_none() || before.name != rejected.name)
            });
            self.rejected.push((of, rejected));
        }
        for resource in dump.resources {
            let name = ResourceName {
                kind: resource.body.kind(),
                name: resource.name.clone(),
            };
            self.forget(&name);
            self.removed.remove(&name);
            self.resources.insert(name, resource);
        }
        self.findings.extend(dump.findings);
        let removed = response.get("removed_resources").map(|(_, json)| items(json));
        for json in removed.unwrap_or_default() {
            let (Some(kind), Ok(name)) = (of, serde_json::from_str::<String>(json.get())) else {
                continue;
            };
            let name = ResourceName { kind, name };
            self.forget(&name);
            if let Some(resource) = self.resources.remove(&name) {
                self.removed.insert(name, resource);
            }
        }
    }

    /// Forgets what was said of a resource.
    fn forget(&mut self, name: &ResourceName) {
        self.rejected
            .retain(|(of, rejected)| *of != Some(name.kind) || rejected.name.as_ref() != Some(&name.name));
        self.findings.retain(|finding| *finding.resource != *name);
    }

    fn finish(mut self, reader: &mut Reader) {
        // A proxy keeps endpoints and routes that are taken away for as long as something refers to them.
        let snapshot = Snapshot::from_resources(self.resources.values().cloned().collect());
        let kept = self.removed.into_iter().filter(|(name, _)| {
            matches!(
                name.kind,
                ResourceType::ClusterLoadAssignment | ResourceType::RouteConfiguration
            ) && snapshot.referrers(name).next().is_some()
        });
        self.resources.extend(kept);
        let rejected = self.rejected.into_iter().map(|(_, rejected)| rejected).collect();
        reader.take(self.resources.into_values().collect(), rejected, self.findings);
    }
}

/// Whether a response says all that there is of its type: clusters and listeners in the state of the world.
fn is_full_state(kind: ResourceType, response: &Members<'_>) -> bool {
    let is_delta = ["system_version_info", "removed_resources", "removed_resource_names"]
        .iter()
        .any(|key| response.has(key));
    matches!(kind, ResourceType::Cluster | ResourceType::Listener) && !is_delta && !has_envelopes(response)
}

/// Whether the resources of a response are `{"name", "version", "resource"}`.
fn has_envelopes(response: &Members<'_>) -> bool {
    let Some((_, resources)) = response.get("resources") else {
        return false;
    };
    items(resources).into_iter().any(|json| {
        Members::of(json).is_ok_and(|members| {
            !members.has("@type")
                && members
                    .get("resource")
                    .is_some_and(|(_, json)| kind(json) == Kind::Object)
        })
    })
}
