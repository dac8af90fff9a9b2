//! A response as it came, on a line of its own.

use std::borrow::Cow;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use prost_reflect::DynamicMessage;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use super::json::Printed;
use super::redact::redact;
use super::{LeftOut, WriteOptions, Written, resource};
use crate::descriptor;

/// A response of a control plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Response<'r> {
    /// State of the world.
    StateOfTheWorld(&'r DiscoveryResponse),
    /// Delta.
    Delta(&'r DeltaDiscoveryResponse),
}

/// Writes a response as one line of JSON: its resources as the very bytes that came, `{"@type": "...", "value": "BASE64"}`.
/// A file of such lines is read as what a proxy holds after the last of them.
///
/// Secrets are dealt with as [`write`](super::write()) does, unless they are kept: a resource that has any is the one thing
/// that is not byte for byte what came.
#[must_use]
pub fn write_response(response: Response<'_>, options: &WriteOptions) -> Written {
    let mut left_out = Vec::new();
    let mut shown = |any: &mut Any| {
        options.keep_secrets
            || match without_secrets(any) {
                Ok(()) => true,
                Err(missing) => {
                    left_out.push(missing);
                    false
                }
            }
    };
    let line = match response {
        Response::StateOfTheWorld(response) => {
            let mut response = response.clone();
            response.resources.retain_mut(shown);
            let empty = response.resources.is_empty().then_some("resources");
            line(&response, empty)
        }
        Response::Delta(response) => {
            let mut response = response.clone();
            response
                .resources
                .retain_mut(|resource| resource.resource.as_mut().is_none_or(&mut shown));
            let empty = response.removed_resources.is_empty().then_some("removed_resources");
            line(&response, empty)
        }
    };
    let mut json = line.unwrap_or_default();
    json.push(b'\n');
    Written { json, left_out }
}

fn without_secrets(any: &mut Any) -> Result<(), LeftOut> {
    if any.type_url.rsplit('/').next() == Some(Resource::full_name().as_str())
        && let Ok(mut wrapper) = Resource::decode(any.value.as_slice())
        && let Some(inner) = &mut wrapper.resource
    {
        let before = inner.value.len();
        let same = inner.value.clone();
        without_secrets(inner)?;
        if inner.value.len() != before || inner.value != same {
            any.value = wrapper.encode_to_vec();
        }
        return Ok(());
    }
    match redact(&any.type_url, &any.value) {
        Ok(Cow::Borrowed(_)) => Ok(()),
        Ok(Cow::Owned(bytes)) => {
            any.value = bytes;
            Ok(())
        }
        Err(reason) => Err(resource::left_out(any, reason)),
    }
}

/// `empty`: a list that is written although there is nothing in it, because it tells the two variants apart.
fn line<M: Message + Name>(response: &M, empty: Option<&'static str>) -> Option<Vec<u8>> {
    let message = descriptor::message(&M::full_name())?;
    let message = DynamicMessage::decode(message, response.encode_to_vec().as_slice()).ok()?;
    serde_json::to_vec(&Line {
        message: &message,
        empty,
    })
    .ok()
}

struct Line<'m> {
    message: &'m DynamicMessage,
    empty: Option<&'static str>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        Printed::bytes(self.message).members(&mut map)?;
        if let Some(list) = self.empty {
            map.serialize_entry(list, &[(); 0])?;
        }
        map.end()
    }
}
