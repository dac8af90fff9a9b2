//! What a control plane has sent, byte for byte.

use std::collections::BTreeMap;

use amesh_core::dump::Captured;
use amesh_core::envoy_types::pb::google::protobuf::Any;
use amesh_core::{ResourceType, decode};
use amesh_xds::Replica;
use amesh_xds::session::{Delivery, Response, Verdict};

/// The last version of each resource, good or not, as it was sent.
#[derive(Default)]
pub(crate) struct Capture {
    replica: Replica,
    /// The response that the next delivery is about.
    response: Option<Response>,
    resources: BTreeMap<ResourceType, BTreeMap<String, Captured>>,
    /// Resources that do not even have a name.
    nameless: BTreeMap<ResourceType, Vec<Captured>>,
    /// Resources that are not used, and why.
    rejected: BTreeMap<ResourceType, BTreeMap<Option<String>, String>>,
}

impl Capture {
    /// Notes a response as it came.
    pub(crate) fn receive(&mut self, response: Response) {
        self.response = Some(response);
    }

    /// Takes what was read in the response.
    pub(crate) fn apply(&mut self, delivery: Delivery) -> Verdict {
        let kind = delivery.kind;
        let resources = self.resources.entry(kind).or_default();
        let nameless = self.nameless.entry(kind).or_default();
        let rejected = self.rejected.entry(kind).or_default();
        if delivery.full {
            resources.clear();
            rejected.clear();
        }
        nameless.clear();
        rejected.retain(|name, _| name.as_ref().is_some_and(|name| !delivery.answered.contains(name)));
        for refused in &delivery.rejected {
            rejected.insert(refused.name.clone(), refused.to_string());
        }
        let (sent, removed) = self.response.take().map(contents).unwrap_or_default();
        for captured in sent {
            let Any { type_url, value } = &captured.resource;
            let name = match decode(type_url, value) {
                Ok(resource) => Some(resource.name),
                Err(refused) => refused.name,
            };
            match name {
                // What was not asked for is in the response and counts for nothing.
                Some(name) if delivery.answered.contains(&name) => {
                    resources.insert(name, captured);
                }
                Some(_) => {}
                None => nameless.push(captured),
            }
        }
        for name in removed {
            if !delivery.kept.iter().any(|kept| kept.name == name) {
                resources.remove(&name);
            }
        }
        let (_, verdict) = self.replica.apply(delivery.update);
        for name in &verdict.changes.unwanted {
            if let Some(held) = self.resources.get_mut(&name.kind) {
                held.remove(&name.name);
            }
        }
        verdict
    }

    /// How many resources of each type there are, good or not.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (ResourceType, usize)> {
        ResourceType::ALL.into_iter().map(|kind| {
            let named = self.resources.get(&kind).map_or(0, BTreeMap::len);
            (kind, named + self.nameless.get(&kind).map_or(0, Vec::len))
        })
    }

    /// The resources that are not used, and why.
    pub(crate) fn rejected(&self) -> impl Iterator<Item = &str> {
        self.rejected.values().flat_map(BTreeMap::values).map(String::as_str)
    }

    /// Every resource.
    pub(crate) fn into_resources(self) -> Vec<Captured> {
        let named = self.resources.into_values().flat_map(BTreeMap::into_values);
        named.chain(self.nameless.into_values().flatten()).collect()
    }
}

/// The resources of a response, and the names that it takes away. A resource without a body, which only says that it is
/// still there, is none.
fn contents(response: Response) -> (Vec<Captured>, Vec<String>) {
    match response {
        Response::StateOfTheWorld(response) => {
            let version = response.version_info;
            let each = response.resources.into_iter().map(|resource| Captured {
                resource,
                version: version.clone(),
            });
            (each.collect(), Vec::new())
        }
        Response::Delta(response) => {
            let each = response.resources.into_iter().filter_map(|entry| {
                Some(Captured {
                    resource: entry.resource?,
                    version: entry.version,
                })
            });
            (each.collect(), response.removed_resources)
        }
    }
}
