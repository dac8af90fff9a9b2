//! Private keys and other secrets that the producer of a dump has blanked out.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage as _, Value};

use crate::decode::ResourceType;
use crate::descriptor;
use crate::field_path::Path;

/// What Envoy and istiod write in place of a secret.
pub(super) const TEXT: &str = "[redacted]";
/// The same where the field holds bytes, which JSON has in base64.
pub(super) const BASE64: &str = "W3JlZGFjdGVkXQ==";

/// Messages in messages of any type that are looked into. Envoy's own have five.
const MAX_DEPTH: usize = 32;

/// The sensitive fields of Envoy's API, by message. `tests/descriptors.rs` keeps the list current.
static SENSITIVE: LazyLock<HashMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let mut fields: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in include_str!("../../data/sensitive.txt").lines() {
        if let Some((message, field)) = line.rsplit_once('.') {
            fields.entry(message).or_default().push(field);
        }
    }
    fields
});

/// Whether a message of that name has sensitive fields.
pub(super) fn has_sensitive(message: &str) -> bool {
    SENSITIVE.contains_key(message)
}

/// Whether a field is sensitive.
pub(super) fn is_sensitive(field: &FieldDescriptor) -> bool {
    SENSITIVE
        .get(field.parent_message().full_name())
        .is_some_and(|fields| fields.contains(&field.name()))
}

/// The fields of a resource that were blanked out.
pub(super) fn fields(kind: ResourceType, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    // Nearly every resource is passed over after a look for one byte.
    let may_have = bytes.contains(&b'[') && bytes.windows(TEXT.len()).any(|window| window == TEXT.as_bytes());
    if may_have && let Some(message) = decoded(kind.message(), bytes) {
        find(&message, Path::root(), MAX_DEPTH, &mut found);
    }
    found
}

fn decoded(name: &str, bytes: &[u8]) -> Option<DynamicMessage> {
    DynamicMessage::decode(descriptor::message(name)?, bytes).ok()
}

fn find(message: &DynamicMessage, at: Path<'_>, depth: usize, found: &mut Vec<String>) {
    if message.descriptor().full_name() == "google.protobuf.Any" {
        let Ok(any) = message.transcode_to::<prost_types::Any>() else {
            return;
        };
        let name = any.type_url.rsplit('/').next().unwrap_or(&any.type_url);
        if let (Some(message), Some(depth)) = (decoded(name, &any.value), depth.checked_sub(1)) {
            find(&message, at, depth, found);
        }
        return;
    }
    for (field, value) in message.fields() {
        let at = at.field(field.name());
        if !is_sensitive(&field) {
            find_in(value, at, depth, found);
        } else if is_blank(value) {
            found.push(at.to_string());
        }
    }
}

fn find_in(value: &Value, at: Path<'_>, depth: usize, found: &mut Vec<String>) {
    match value {
        Value::Message(message) => find(message, at, depth, found),
        Value::List(values) => {
            for (index, value) in values.iter().enumerate() {
                find_in(value, at.index(index), depth, found);
            }
        }
        Value::Map(values) => {
            for (key, value) in values {
                if let (MapKey::String(key), Value::Message(message)) = (key, value) {
                    find(message, at.key(key), depth, found);
                }
            }
        }
        _ => {}
    }
}

/// Whether a value, or any in it, is the placeholder.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::String(text) => text == TEXT,
        Value::Bytes(bytes) => bytes.as_ref() == TEXT.as_bytes(),
        Value::Message(message) => {
            message.descriptor().full_name() != "google.protobuf.Any"
                && message.fields().any(|(_, value)| is_blank(value))
        }
        Value::List(values) => values.iter().any(is_blank),
        Value::Map(values) => values.values().any(is_blank),
        _ => false,
    }
}
