//! Private keys and other secrets that the producer of a dump has blanked out.

use std::collections::HashMap;
use std::sync::LazyLock;

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};

use crate::decode::ResourceType;
use crate::descriptor;

/// What Envoy and istiod write in place of a secret.
pub(super) const TEXT: &str = "[redacted]";
/// The same where the field holds bytes, which JSON has in base64.
pub(super) const BASE64: &str = "W3JlZGFjdGVkXQ==";

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

/// The fields of a secret that were blanked out.
pub(super) fn fields(secret: &Secret) -> Vec<String> {
    let mut found = Vec::new();
    let message = descriptor::message(ResourceType::Secret.message());
    if let Some(message) = message
        && let Ok(message) = DynamicMessage::decode(message, secret.encode_to_vec().as_slice())
    {
        find(&message, "", &mut found);
    }
    found
}

fn find(message: &DynamicMessage, at: &str, found: &mut Vec<String>) {
    for (field, value) in message.fields() {
        let at = if at.is_empty() {
            field.name().to_owned()
        } else {
            format!("{at}.{}", field.name())
        };
        if is_sensitive(&field) {
            if is_blank(value) {
                found.push(at);
            }
        } else if let Value::Message(message) = value {
            find(message, &at, found);
        }
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
