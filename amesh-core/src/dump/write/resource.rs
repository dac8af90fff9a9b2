//! One resource as text: as JSON if that says all of it, and else as its bytes.

use std::borrow::Cow;

use envoy_types::pb::google::protobuf::Any;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::value::RawValue;

use super::super::reader::Reader;
use super::super::{Shape, raw};
use super::json::PrintedAny;
use super::redact::{has_key, redact};
use super::{Captured, LeftOut, WriteOptions};
use crate::decode::{Rejected, Resource, ResourceType, decode};
use crate::descriptor;
use crate::field_path::Path;

/// The name of a resource, as far as it is legible: it is the first field of each type.
pub(super) fn name(bytes: &[u8]) -> String {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    prost::Message::decode(bytes).map_or_else(|_| String::new(), |named: Named| named.name)
}

/// The bytes of a resource, without its secrets unless they are wanted.
pub(super) fn bytes<'c>(captured: &'c Captured, options: &WriteOptions) -> Result<Cow<'c, [u8]>, LeftOut> {
    let any = &captured.resource;
    let bytes = any.value.as_slice();
    if options.keep_secrets {
        return Ok(bytes.into());
    }
    redact(&any.type_url, bytes).map_err(|reason| left_out(any, reason))
}

pub(super) fn left_out(any: &Any, reason: &'static str) -> LeftOut {
    LeftOut {
        type_url: any.type_url.clone(),
        name: Some(name(&any.value)).filter(|name| !name.is_empty() && !has_key(name.as_bytes())),
        reason,
    }
}

/// A resource as the text of a JSON object.
pub(super) fn text(type_url: &str, bytes: &[u8]) -> String {
    if let Some(kind) = ResourceType::from_type_url(type_url)
        && let Some(text) = print(&PrintedAny::new(type_url, bytes))
        && says_all(kind, type_url, bytes, &text)
    {
        return text;
    }
    print(&Raw { type_url, bytes }).unwrap_or_default()
}

struct Raw<'b> {
    type_url: &'b str,
    bytes: &'b [u8],
}

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        raw::serialize(serializer, self.type_url, self.bytes)
    }
}

/// Prints as Envoy does: a space for each level.
pub(super) fn print(value: &impl Serialize) -> Option<String> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
    value.serialize(&mut serializer).ok()?;
    String::from_utf8(text).ok()
}

/// Whether reading that text gives what the bytes give.
fn says_all(kind: ResourceType, type_url: &str, bytes: &[u8], text: &str) -> bool {
    let Ok(json) = serde_json::from_str::<&RawValue>(text) else {
        return false;
    };
    let mut reader = Reader::default();
    reader.resource(json, Some(kind), Path::root());
    let dump = reader.finish(Shape::Resource);
    match decode(type_url, bytes) {
        Ok(sent) => {
            let [read] = dump.resources.as_slice() else {
                return false;
            };
            dump.rejected.is_empty() && same(&sent, read)
        }
        Err(sent) => {
            let [read]: &[Rejected] = dump.rejected.as_slice() else {
                return false;
            };
            dump.resources.is_empty() && dump.findings.is_empty() && sent == *read
        }
    }
}

/// Whether two resources are the same, but for the order of maps and fields inside an `Any`.
fn same(one: &Resource, other: &Resource) -> bool {
    one.name == other.name
        && one.unknown == other.unknown
        && (one.body == other.body || same_message(decoded(one).as_ref(), decoded(other).as_ref()))
}

fn decoded(resource: &Resource) -> Option<DynamicMessage> {
    let message = descriptor::message(resource.body.kind().message())?;
    DynamicMessage::decode(message, resource.body.encode().as_slice()).ok()
}

fn same_message(one: Option<&DynamicMessage>, other: Option<&DynamicMessage>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    if one.descriptor().full_name() == "google.protobuf.Any" {
        let (Ok(one), Ok(other)) = (one.transcode_to::<Any>(), other.transcode_to::<Any>()) else {
            return false;
        };
        return one == other
            || one.type_url == other.type_url && same_message(inside(&one).as_ref(), inside(&other).as_ref());
    }
    one.unknown_fields().eq(other.unknown_fields())
        && one.fields().count() == other.fields().count()
        && one
            .fields()
            .zip(other.fields())
            .all(|((one_field, one), (other_field, other))| one_field == other_field && same_value(one, other))
}

fn inside(any: &Any) -> Option<DynamicMessage> {
    let message = descriptor::message(any.type_url.rsplit('/').next()?)?;
    DynamicMessage::decode(message, any.value.as_slice()).ok()
}

fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Message(one), Value::Message(other)) => same_message(Some(one), Some(other)),
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_value(one, other))
        }
        (Value::Map(one), Value::Map(other)) => {
            let same = |(key, one)| other.get(key).is_some_and(|other| same_value(one, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}
