//! Secrets blanked out, in whichever resource they are.

use std::borrow::Cow;

use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::super::redacted::{MAX_DEPTH, TEXT, has_sensitive, is_sensitive};
use crate::decode::{ResourceType, decode};
use crate::descriptor;

/// Why a resource must not be shown: what is secret in it cannot be told.
pub(super) type Reason = &'static str;

const UNKNOWN: Reason = "secrets may be in fields that are not known here";
const UNREADABLE: Reason = "it cannot be read, and may hold secrets";

/// The bytes of a resource with its secrets blanked out; the same bytes when it has none.
pub(super) fn redact<'b>(type_url: &str, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, Reason> {
    let kind = ResourceType::from_type_url(type_url).ok_or(UNREADABLE)?;
    if kind == ResourceType::Secret {
        let secret = decode(type_url, bytes).map_err(|_| UNREADABLE)?;
        if !secret.unknown.is_empty() {
            return Err(UNKNOWN);
        }
    }
    let message = descriptor::message(kind.message());
    let Some(Ok(mut message)) = message.map(|message| DynamicMessage::decode(message, bytes)) else {
        return if kind == ResourceType::Secret || has_key(bytes) {
            Err(UNREADABLE)
        } else {
            Ok(bytes.into())
        };
    };
    Ok(if in_message(&mut message, MAX_DEPTH)? {
        message.encode_to_vec().into()
    } else {
        bytes.into()
    })
}

/// Whether what nobody here can read holds a private key as text.
fn has_key(bytes: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY";
    bytes.windows(MARK.len()).any(|window| window == MARK)
}

/// Blanks out what is sensitive in a message. Whether there was anything.
fn in_message(message: &mut DynamicMessage, depth: usize) -> Result<bool, Reason> {
    let descriptor = message.descriptor();
    if descriptor.full_name() == "google.protobuf.Any" {
        return in_any(message, depth);
    }
    if has_sensitive(descriptor.full_name()) && message.unknown_fields().next().is_some() {
        return Err(UNKNOWN);
    }
    let mut changed = false;
    for (field, value) in message.fields_mut() {
        changed |= if is_sensitive(&field) {
            blank(value)?
        } else {
            in_value(value, depth)?
        };
    }
    Ok(changed)
}

fn in_value(value: &mut Value, depth: usize) -> Result<bool, Reason> {
    let mut changed = false;
    match value {
        Value::Message(message) => changed = in_message(message, depth)?,
        Value::List(values) => {
            for value in values {
                changed |= in_value(value, depth)?;
            }
        }
        Value::Map(values) => {
            for value in values.values_mut() {
                changed |= in_value(value, depth)?;
            }
        }
        _ => {}
    }
    Ok(changed)
}

fn in_any(any: &mut DynamicMessage, depth: usize) -> Result<bool, Reason> {
    let name = any.get_field_by_name("type_url");
    let name = name.as_deref().and_then(Value::as_str).unwrap_or_default();
    let message = descriptor::message(name.rsplit('/').next().unwrap_or(name));
    let Some(Value::Bytes(bytes)) = any.get_field_by_name_mut("value") else {
        return Ok(false);
    };
    let Some(Ok(mut message)) = message.map(|message| DynamicMessage::decode(message, bytes.as_ref())) else {
        return if has_key(bytes) { Err(UNKNOWN) } else { Ok(false) };
    };
    let depth = depth.checked_sub(1).ok_or(UNREADABLE)?;
    let changed = in_message(&mut message, depth)?;
    if changed {
        *bytes = message.encode_to_vec().into();
    }
    Ok(changed)
}

/// Blanks out a value. Whether there was anything.
fn blank(value: &mut Value) -> Result<bool, Reason> {
    let mut changed = false;
    match value {
        Value::String(text) => {
            changed = text != TEXT;
            TEXT.clone_into(text);
        }
        Value::Bytes(bytes) => {
            changed = bytes.as_ref() != TEXT.as_bytes();
            *bytes = TEXT.as_bytes().into();
        }
        Value::Message(message) => changed = blank_message(message)?,
        Value::List(values) => {
            for value in values {
                changed |= blank(value)?;
            }
        }
        Value::Map(values) => {
            for value in values.values_mut() {
                changed |= blank(value)?;
            }
        }
        _ => {}
    }
    Ok(changed)
}

fn blank_message(message: &mut DynamicMessage) -> Result<bool, Reason> {
    if message.unknown_fields().next().is_some() {
        return Err(UNKNOWN);
    }
    let descriptor = message.descriptor();
    let name = descriptor.full_name();
    let mut changed = false;
    for (field, value) in message.fields_mut() {
        changed |= match (name, field.name()) {
            // Where a secret is, is no secret.
            ("envoy.config.core.v3.DataSource", "filename" | "environment_variable" | "watched_directory")
            | ("google.protobuf.Any", "type_url") => false,
            ("google.protobuf.Any", _) => {
                *value = Value::Bytes(Vec::new().into());
                true
            }
            _ => blank(value)?,
        };
    }
    Ok(changed)
}
