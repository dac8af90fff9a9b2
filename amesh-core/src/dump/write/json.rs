//! A message as JSON, in Envoy's spelling: protobuf field names in the order of their numbers, what is not set left out,
//! enums by name, types nested in `Any` written out.
//!
//! prost-reflect prints messages too, but maps in a random order, and no `Any` of a type that it does not know.

use std::cmp::Ordering;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, SerializeOptions, Value};
use prost_types::value::Kind as Json;
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq as _, Serializer};

use super::super::raw;
use crate::descriptor;

/// Levels of messages that are written, with a list around each. Readers of JSON stop at 128 levels.
const MAX_DEPTH: usize = 56;

/// How deep and how a part is written.
#[derive(Clone, Copy)]
struct Way {
    /// Levels that are left.
    depth: usize,
    /// Each `Any` is written as its bytes, whatever its type.
    bytes: bool,
}

impl Way {
    /// Inside a message.
    fn inside<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        depth
            .map(|depth| Self { depth, ..self })
            .ok_or_else(|| E::custom("nested too deep"))
    }
}

/// A message to be written.
#[derive(Clone, Copy)]
pub(super) struct Printed<'m> {
    message: &'m DynamicMessage,
    way: Way,
}

impl<'m> Printed<'m> {
    pub(super) const fn new(message: &'m DynamicMessage) -> Self {
        let way = Way {
            depth: MAX_DEPTH,
            bytes: false,
        };
        Self { message, way }
    }

    /// The message with each `Any` as its bytes.
    pub(super) const fn bytes(message: &'m DynamicMessage) -> Self {
        let way = Way {
            depth: MAX_DEPTH,
            bytes: true,
        };
        Self { message, way }
    }

    /// Writes the fields that are set.
    pub(super) fn members<M: SerializeMap>(self, map: &mut M) -> Result<(), M::Error> {
        for (field, value) in self.message.fields() {
            let value = FieldValue {
                field: &field,
                value,
                way: self.way,
            };
            map.serialize_entry(field.name(), &value)?;
        }
        Ok(())
    }
}

/// The message that an `Any` stands for, as a member of a list, or the resource itself.
pub(super) struct PrintedAny<'m> {
    pub(super) type_url: &'m str,
    pub(super) bytes: &'m [u8],
    way: Way,
}

impl<'m> PrintedAny<'m> {
    pub(super) const fn new(type_url: &'m str, bytes: &'m [u8]) -> Self {
        let way = Way {
            depth: MAX_DEPTH,
            bytes: false,
        };
        Self { type_url, bytes, way }
    }
}

impl Serialize for PrintedAny<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { type_url, bytes, way } = *self;
        if way.bytes {
            return raw::serialize(serializer, type_url, bytes);
        }
        if type_url.is_empty() && bytes.is_empty() {
            return serializer.serialize_map(Some(0))?.end();
        }
        let name = type_url.rsplit('/').next().unwrap_or(type_url);
        let message = descriptor::message(name).and_then(|message| DynamicMessage::decode(message, bytes).ok());
        let Some(message) = message else {
            if raw::is_free(name) {
                return raw::serialize(serializer, type_url, bytes);
            }
            return Err(S::Error::custom("bytes that cannot be told from JSON"));
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("@type", type_url)?;
        let message = Printed { message: &message, way };
        if has_own_json(name) {
            map.serialize_entry("value", &message)?;
        } else {
            message.members(&mut map)?;
        }
        map.end()
    }
}

/// Whether the JSON of a message is no object with its fields.
fn has_own_json(name: &str) -> bool {
    name.strip_prefix("google.protobuf.").is_some_and(|name| {
        matches!(
            name,
            "Any" | "Duration" | "Timestamp" | "FieldMask" | "Struct" | "Value" | "ListValue" | "Empty"
        ) || name.ends_with("Value")
    })
}

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, way } = *self;
        let way = way.inside()?;
        let descriptor = message.descriptor();
        let name = descriptor.full_name();
        match name {
            "google.protobuf.Any" => {
                let any: prost_types::Any = transcode(message)?;
                let printed = PrintedAny {
                    type_url: &any.type_url,
                    bytes: &any.value,
                    way,
                };
                printed.serialize(serializer)
            }
            "google.protobuf.Struct" => object(&transcode(message)?, way, serializer),
            "google.protobuf.ListValue" => list(&transcode(message)?, way, serializer),
            "google.protobuf.Value" => Free(&transcode(message)?, way).serialize(serializer),
            "google.protobuf.DoubleValue" => double(transcode(message)?, serializer),
            "google.protobuf.FloatValue" => float(transcode(message)?, serializer),
            name if has_own_json(name) => message.serialize_with_options(serializer, &SerializeOptions::new()),
            _ => {
                let mut map = serializer.serialize_map(None)?;
                Printed { message, way }.members(&mut map)?;
                map.end()
            }
        }
    }
}

fn transcode<M: prost::Message + Default, E: Error>(message: &DynamicMessage) -> Result<M, E> {
    message.transcode_to().map_err(E::custom)
}

/// The value of a field, which may be a list or a map.
struct FieldValue<'m> {
    field: &'m FieldDescriptor,
    value: &'m Value,
    way: Way,
}

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.field.kind();
        match (self.value, &kind) {
            (Value::List(values), kind) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&One {
                        kind,
                        value,
                        way: self.way,
                    })?;
                }
                list.end()
            }
            (Value::Map(values), Kind::Message(entry)) => {
                let kind = &entry.map_entry_value_field().kind();
                let mut values: Vec<(&MapKey, &Value)> = values.iter().collect();
                values.sort_by(|(one, _), (other, _)| in_order(one, other));
                let mut map = serializer.serialize_map(Some(values.len()))?;
                for (key, value) in values {
                    let value = One {
                        kind,
                        value,
                        way: self.way,
                    };
                    map.serialize_entry(&key_text(key), &value)?;
                }
                map.end()
            }
            (value, kind) => One {
                kind,
                value,
                way: self.way,
            }
            .serialize(serializer),
        }
    }
}

/// A single value.
struct One<'m> {
    kind: &'m Kind,
    value: &'m Value,
    way: Way,
}

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::I64(value) => serializer.collect_str(value),
            Value::U64(value) => serializer.collect_str(value),
            Value::F32(value) => float(*value, serializer),
            Value::F64(value) => double(*value, serializer),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_str(&raw::text(value)),
            Value::EnumNumber(number) => {
                let name = match self.kind {
                    Kind::Enum(values) => values.get_value(*number),
                    _ => None,
                };
                match name {
                    Some(value) => serializer.serialize_str(value.name()),
                    None => serializer.serialize_i32(*number),
                }
            }
            Value::Message(message) => Printed { message, way: self.way }.serialize(serializer),
            Value::List(_) | Value::Map(_) => Err(S::Error::custom("a list in a list")),
        }
    }
}

fn in_order(one: &MapKey, other: &MapKey) -> Ordering {
    match (one, other) {
        (MapKey::Bool(one), MapKey::Bool(other)) => one.cmp(other),
        (MapKey::I32(one), MapKey::I32(other)) => one.cmp(other),
        (MapKey::I64(one), MapKey::I64(other)) => one.cmp(other),
        (MapKey::U32(one), MapKey::U32(other)) => one.cmp(other),
        (MapKey::U64(one), MapKey::U64(other)) => one.cmp(other),
        _ => key_text(one).cmp(&key_text(other)),
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// A number without a fraction is written without a point, as Envoy writes it.
fn double<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !value.is_finite() {
        return serializer.serialize_str(not_finite(value));
    }
    if value.fract() == 0.0 && value.abs() < EXACT && (value != 0.0 || value.is_sign_positive()) {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and less than 2^53")]
        return serializer.serialize_i64(value as i64);
    }
    serializer.serialize_f64(value)
}

fn float<S: Serializer>(value: f32, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() && value.fract() != 0.0 {
        return serializer.serialize_f32(value);
    }
    double(f64::from(value), serializer)
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Free JSON, and the levels that are left for it.
struct Free<'v>(&'v prost_types::Value, Way);

impl Serialize for Free<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            Some(Json::NullValue(_)) => serializer.serialize_unit(),
            Some(Json::BoolValue(value)) => serializer.serialize_bool(*value),
            Some(Json::NumberValue(value)) if value.is_finite() => double(*value, serializer),
            Some(Json::StringValue(value)) => serializer.serialize_str(value),
            Some(Json::ListValue(values)) => list(values, self.1, serializer),
            Some(Json::StructValue(members)) => object(members, self.1, serializer),
            Some(Json::NumberValue(_)) | None => Err(S::Error::custom("a value that JSON lacks")),
        }
    }
}

fn list<S: Serializer>(list: &prost_types::ListValue, way: Way, serializer: S) -> Result<S::Ok, S::Error> {
    let way = way.inside()?;
    serializer.collect_seq(list.values.iter().map(|value| Free(value, way)))
}

fn object<S: Serializer>(object: &prost_types::Struct, way: Way, serializer: S) -> Result<S::Ok, S::Error> {
    let way = way.inside()?;
    serializer.collect_map(object.fields.iter().map(|(key, value)| (key, Free(value, way))))
}
