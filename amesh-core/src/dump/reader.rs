//! What has been read so far.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;

use envoy_types::pb::envoy::config::core::v3::{Address, Node, address, socket_address};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::service::discovery::v3::Resource as Wrapper;
use prost::{Message as _, Name as _};
use prost_reflect::MessageDescriptor;
use serde_json::value::RawValue;

use super::message::{Encoded, encode, encode_any};
use super::outline::{Kind, Members, kind};
use super::{DUPLICATE_NAME, INLINE_ROUTES, PRIVATE_KEY_REDACTED};
use super::{Dump, Shape, raw, redacted};
use crate::decode::{Reason, Rejected, Resource, ResourceType, decode};
use crate::descriptor;
use crate::finding::{Finding, Path, ResourceName, Rule};

/// Collects the resources of a dump, each decoded as it is met.
#[derive(Debug, Default)]
pub(super) struct Reader {
    node: Option<Node>,
    resources: Vec<Resource>,
    by_name: HashMap<(ResourceType, String), usize>,
    rejected: Vec<Rejected>,
    findings: Vec<Finding>,
}

static ANY: LazyLock<Option<MessageDescriptor>> = LazyLock::new(|| descriptor::message("google.protobuf.Any"));

impl Reader {
    pub(super) fn finish(mut self, shape: Shape) -> Dump {
        self.findings.sort();
        self.findings.dedup();
        Dump {
            shape,
            node: self.node,
            resources: self.resources,
            rejected: self.rejected,
            findings: self.findings,
        }
    }

    /// Reads a resource. Without an `@type` of its own it is taken for the expected one.
    pub(super) fn resource(&mut self, json: &RawValue, expected: Option<ResourceType>, at: Path<'_>) {
        if kind(json) != Kind::Object {
            return self.reject(json, expected, Reason::json(at, "expected an object"));
        }
        if let Some(raw) = raw::resource(json, at) {
            return match raw {
                Ok((type_url, bytes)) => self.raw(&type_url, &bytes, at),
                Err(reason) => self.reject(json, expected, reason),
            };
        }
        let (type_url, encoded) = match encoded(json, expected, at) {
            Ok(encoded) => encoded,
            Err(reason) => return self.reject(json, expected, reason),
        };
        let decoded = decode(&type_url, &encoded.bytes).or_else(|rejected| {
            let mended =
                named_by_address(&rejected, &encoded.bytes).or_else(|| without_zero_weights(&rejected, &encoded.bytes));
            mended.map_or(Err(rejected), |bytes| decode(&type_url, &bytes))
        });
        match decoded {
            Ok(mut resource) => {
                resource.unknown.extend(encoded.unknown);
                resource.unknown.sort();
                self.push(resource, &encoded.bytes, at);
            }
            Err(Rejected {
                kind: Some(kind @ ResourceType::RouteConfiguration),
                reason: Reason::Nameless,
                ..
            }) => self.finding(&INLINE_ROUTES, kind, "", "", Some(at.to_string())),
            Err(mut rejected) => {
                rejected.name = rejected.name.or_else(|| name(json));
                self.rejected.push(rejected);
            }
        }
    }

    /// Reads something that has that name, unless it says another.
    pub(super) fn named(&mut self, name: Option<&str>, read: impl FnOnce(&mut Self)) {
        let before = self.rejected.len();
        read(self);
        for rejected in self.rejected.iter_mut().skip(before) {
            rejected.name = rejected.name.take().or_else(|| name.map(str::to_owned));
        }
    }

    /// Takes what was read elsewhere.
    pub(super) fn take(&mut self, resources: Vec<Resource>, rejected: Vec<Rejected>, findings: Vec<Finding>) {
        self.resources.extend(resources);
        self.rejected.extend(rejected);
        self.findings.extend(findings);
    }

    /// Takes a resource as it came over the wire: what is said of it is what would have been said then.
    fn raw(&mut self, type_url: &str, bytes: &[u8], at: Path<'_>) {
        if type_url.rsplit('/').next() == Some(Wrapper::full_name().as_str())
            && let Ok(wrapper) = Wrapper::decode(bytes)
        {
            let inner = wrapper.resource.unwrap_or_default();
            return self.raw_resource(&inner.type_url, &inner.value, at);
        }
        self.raw_resource(type_url, bytes, at);
    }

    fn raw_resource(&mut self, type_url: &str, bytes: &[u8], at: Path<'_>) {
        match decode(type_url, bytes) {
            Ok(resource) => self.push(resource, bytes, at),
            Err(rejected) => self.rejected.push(rejected),
        }
    }

    /// Takes a resource, which has these bytes.
    fn push(&mut self, resource: Resource, bytes: &[u8], at: Path<'_>) {
        let kind = resource.body.kind();
        for field in redacted::fields(kind, bytes) {
            self.finding(&PRIVATE_KEY_REDACTED, kind, &resource.name, &field, None);
        }
        let key = (kind, resource.name.clone());
        let earlier = self.by_name.get(&key).and_then(|index| self.resources.get_mut(*index));
        if let Some(earlier) = earlier {
            // Envoy lists the endpoints of two clusters that share a service name twice.
            if earlier.body != resource.body {
                *earlier = resource;
                self.finding(&DUPLICATE_NAME, kind, &key.1, "", Some(at.to_string()));
            }
            return;
        }
        self.by_name.insert(key, self.resources.len());
        self.resources.push(resource);
    }

    /// Reads the proxy's node.
    pub(super) fn node(&mut self, json: &RawValue, at: Path<'_>) {
        let Some(message) = descriptor::message("envoy.config.core.v3.Node") else {
            return;
        };
        match encode(&message, json, at) {
            Ok(encoded) => self.node = Node::decode(encoded.bytes.as_slice()).ok(),
            Err(reason) => self.rejected.push(Rejected {
                kind: None,
                name: None,
                reason,
            }),
        }
    }

    /// Rejects one resource, with the name that it seems to have.
    pub(super) fn reject(&mut self, json: &RawValue, kind: Option<ResourceType>, reason: Reason) {
        self.rejected.push(Rejected {
            kind,
            name: name(json),
            reason,
        });
    }

    pub(super) fn finding(
        &mut self,
        rule: &'static Rule,
        kind: ResourceType,
        name: &str,
        path: &str,
        detail: Option<String>,
    ) {
        self.findings.push(Finding {
            rule,
            outcome: rule.outcome,
            resource: Arc::new(ResourceName {
                kind,
                name: name.to_owned(),
            }),
            path: path.to_owned(),
            detail,
            permitted: false,
        });
    }
}

fn encoded(json: &RawValue, expected: Option<ResourceType>, at: Path<'_>) -> Result<(String, Encoded), Reason> {
    let type_url = match leading_type(json) {
        Some(type_url) => Some(type_url.to_owned()),
        None => members(json, at)?.string("@type").map(Cow::into_owned),
    };
    let missing = || Reason::json(at, "expected '@type' field");
    match (type_url, expected) {
        (Some(type_url), _) if ResourceType::from_type_url(&type_url).is_none() => Err(Reason::UnknownType(type_url)),
        (Some(_), _) => encode_any(ANY.as_ref().ok_or_else(missing)?, json, at),
        (None, Some(kind)) => {
            let message = descriptor::message(kind.message()).ok_or_else(missing)?;
            Ok((kind.message().to_owned(), encode(&message, json, at)?))
        }
        (None, None) => Err(missing()),
    }
}

/// A bootstrap's own listeners need no name; nothing refers to them by one, and their address tells them apart.
fn named_by_address(rejected: &Rejected, bytes: &[u8]) -> Option<Vec<u8>> {
    if rejected.reason != Reason::Nameless || rejected.kind != Some(ResourceType::Listener) {
        return None;
    }
    let mut listener = Listener::decode(bytes).ok()?;
    listener.name = address_name(listener.address.as_ref()?)?;
    Some(listener.encode_to_vec())
}

/// Envoy refuses a locality whose weight is 0, and prints just that for one that has none.
fn without_zero_weights(rejected: &Rejected, bytes: &[u8]) -> Option<Vec<u8>> {
    if rejected.kind != Some(ResourceType::ClusterLoadAssignment) {
        return None;
    }
    let mut assignment = ClusterLoadAssignment::decode(bytes).ok()?;
    for locality in &mut assignment.endpoints {
        locality.load_balancing_weight.take_if(|weight| weight.value == 0);
    }
    Some(assignment.encode_to_vec())
}

/// The `@type` of an object that begins with it, as producers of dumps write it. It saves a pass over the text of every
/// resource.
fn leading_type(json: &RawValue) -> Option<&str> {
    let rest = json.get().strip_prefix('{')?.trim_start().strip_prefix("\"@type\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let (type_url, _) = rest.split_once('"')?;
    (!type_url.contains('\\')).then_some(type_url)
}

/// The members of an object, or why they cannot be read.
pub(super) fn members<'a>(json: &'a RawValue, at: Path<'_>) -> Result<Members<'a>, Reason> {
    Members::of(json).map_err(|message| Reason::json(at, &message))
}

/// The name that a resource seems to have.
pub(super) fn name(json: &RawValue) -> Option<String> {
    let members = Members::of(json).ok()?;
    let name = members.string("name").or_else(|| members.string("cluster_name"))?;
    (!name.is_empty()).then(|| name.into_owned())
}

fn address_name(address: &Address) -> Option<String> {
    match address.address.as_ref()? {
        address::Address::SocketAddress(socket) => {
            let port = match socket.port_specifier.as_ref()? {
                socket_address::PortSpecifier::PortValue(port) => port.to_string(),
                socket_address::PortSpecifier::NamedPort(name) => name.clone(),
            };
            Some(format!("{}_{port}", socket.address))
        }
        address::Address::Pipe(pipe) => Some(pipe.path.clone()),
        address::Address::EnvoyInternalAddress(_) => None,
    }
}
