//! Bytes in the place of JSON: `{"@type": "...", "value": "BASE64"}`, for what JSON cannot express.
//!
//! A resource stands so when it has fields that the types lack, or does not decode; a part of one, when its type is not
//! known. The form cannot be taken for another: no type that is read so has a field `value`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::outline::{Kind, Members, kind};
use crate::decode::Reason;
use crate::descriptor;
use crate::field_path::Path;

/// The type URL of an `Any` that is read byte for byte, until [`restore`] makes it what it is.
pub(super) const ANY: &str = "type.googleapis.com/amesh.v1.RawAny";

/// The bytes of that text, if it is base64 just as it is written here.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

/// Bytes as they are written.
pub(super) fn text(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Writes bytes in the place of a message.
pub(super) fn serialize<S: Serializer>(serializer: S, type_url: &str, bytes: &[u8]) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("@type", type_url)?;
    map.serialize_entry("value", &text(bytes))?;
    map.end()
}

/// Whether a part of a resource can stand as bytes when it is of that type: its JSON must not have a `value` of its own.
pub(super) fn is_free(message: &str) -> bool {
    !message.starts_with("google.protobuf.")
        && descriptor::message(message).is_none_or(|message| message.get_field_by_name("value").is_none())
}

/// The type and the bytes of a resource that stands as bytes; `None` when it stands as JSON.
pub(super) fn resource(json: &RawValue, at: Path<'_>) -> Option<Result<(String, Vec<u8>), Reason>> {
    if !may_be(json.get()) {
        return None;
    }
    let members = Members::of(json).ok().filter(|members| members.len() == 2)?;
    let type_url = members.string("@type")?.into_owned();
    if !is_free(type_url.rsplit('/').next().unwrap_or(&type_url)) {
        return None;
    }
    let (key, value) = members.get("value")?;
    if kind(value) != Kind::Other {
        return None;
    }
    let at = at.field(key);
    Some(
        members
            .string("value")
            .and_then(|value| bytes(&value))
            .map(|bytes| (type_url, bytes))
            .ok_or_else(|| Reason::json(at, "expected the bytes of the resource in base64")),
    )
}

/// Whether it begins as bytes do. It saves a pass over the text of every other resource.
fn may_be(text: &str) -> bool {
    fn begins<'t>(text: &'t str, with: &str) -> Option<&'t str> {
        text.trim_start().strip_prefix(with)
    }
    let Some(inside) = begins(text, "{") else {
        return false;
    };
    let Some(url) = begins(inside, "\"@type\"").and_then(|rest| begins(rest, ":")) else {
        return begins(inside, "\"value\"").is_some();
    };
    // A type URL has no quote in it; if it has, this looks at another place, and takes it for JSON or has it looked at.
    begins(url, "\"")
        .and_then(|url| url.split_once('"'))
        .and_then(|(_, rest)| begins(rest, ","))
        .is_none_or(|rest| begins(rest, "\"value\"").is_some())
}

/// The JSON of the `amesh.v1.RawAny` for an `Any` that stands as bytes or has nothing in it. Istio sends some of those.
pub(super) fn any(members: &Map<String, Json>) -> Option<Map<String, Json>> {
    let raw = |type_url: &str, value: &str| {
        let members = [("@type", ANY), ("type_url", type_url), ("value", value)];
        members
            .into_iter()
            .map(|(key, text)| (key.to_owned(), text.into()))
            .collect()
    };
    if members.is_empty() {
        return Some(raw("", ""));
    }
    let (Some(Json::String(type_url)), Some(Json::String(value)), 2) =
        (members.get("@type"), members.get("value"), members.len())
    else {
        return None;
    };
    let is_raw = is_free(type_url.rsplit('/').next().unwrap_or(type_url)) && bytes(value).is_some();
    is_raw.then(|| raw(type_url, value))
}

/// Makes each `amesh.v1.RawAny` in a message the `Any` that it stands for. Whether there was one.
pub(super) fn restore(message: &mut DynamicMessage) -> bool {
    if message.descriptor().full_name() == "google.protobuf.Any" {
        return restore_any(message).unwrap_or(false);
    }
    let mut changed = false;
    for (_, value) in message.fields_mut() {
        changed |= restore_value(value);
    }
    changed
}

fn restore_value(value: &mut Value) -> bool {
    let restore_all = |changed, value| restore_value(value) | changed;
    match value {
        Value::Message(message) => restore(message),
        Value::List(values) => values.iter_mut().fold(false, restore_all),
        Value::Map(values) => values.values_mut().fold(false, restore_all),
        _ => false,
    }
}

fn restore_any(any: &mut DynamicMessage) -> Option<bool> {
    let outer: prost_types::Any = any.transcode_to().ok()?;
    if outer.type_url == ANY {
        // It has the fields of an `Any`.
        *any = DynamicMessage::decode(any.descriptor(), outer.value.as_slice()).ok()?;
        return Some(true);
    }
    let message = descriptor::message(outer.type_url.rsplit('/').next()?)?;
    let mut message = DynamicMessage::decode(message, outer.value.as_slice()).ok()?;
    let changed = restore(&mut message);
    if changed {
        any.set_field_by_name("value", Value::Bytes(message.encode_to_vec().into()));
    }
    Some(changed)
}
