//! The JSON of one message to its bytes.
//!
//! Nearly every message of a dump is made of known fields and types and goes straight from text to bytes. The rest is
//! read again as a tree, from which [`lenient`] takes what is not known, with a note of each.

use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde::Deserializer;
use serde_json::value::RawValue;

use super::{lenient, raw, without_place};
use crate::decode::{Reason, Unknown};
use crate::field_path::Path;

/// A message as bytes.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    /// What was left out because nobody here knows it, by its place in the message.
    pub(super) unknown: Vec<Unknown>,
}

/// Encodes the JSON of a message; `at` is its place in the document.
pub(super) fn encode(message: &MessageDescriptor, json: &RawValue, at: Path<'_>) -> Result<Encoded, Reason> {
    let mut text = serde_json::Deserializer::from_str(json.get());
    if let Ok(message) = DynamicMessage::deserialize(message.clone(), &mut text) {
        return Ok(Encoded {
            bytes: message.encode_to_vec(),
            unknown: Vec::new(),
        });
    }
    let mut tree = serde_json::from_str(json.get()).map_err(|error| Reason::Json {
        path: at.to_string(),
        message: without_place(&error),
    })?;
    let mut unknown = Vec::new();
    let has_raw = lenient::clean(message, &mut tree, &mut unknown);
    let mut message = strict(message, tree, at)?;
    if has_raw {
        raw::restore(&mut message);
    }
    Ok(Encoded {
        bytes: message.encode_to_vec(),
        unknown,
    })
}

/// Encodes the JSON of an `Any`: its type URL and the bytes of the message in it.
pub(super) fn encode_any(any: &MessageDescriptor, json: &RawValue, at: Path<'_>) -> Result<(String, Encoded), Reason> {
    let encoded = encode(any, json, at)?;
    let any = prost_types::Any::decode(encoded.bytes.as_slice()).map_err(|error| Reason::Json {
        path: at.to_string(),
        message: error.to_string(),
    })?;
    Ok((
        any.type_url,
        Encoded {
            bytes: any.value,
            unknown: encoded.unknown,
        },
    ))
}

/// Reads a tree with the place of what does not fit.
fn strict<'de>(
    message: &MessageDescriptor,
    tree: impl Deserializer<'de, Error = serde_json::Error>,
    at: Path<'_>,
) -> Result<DynamicMessage, Reason> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(tree, &mut track);
    DynamicMessage::deserialize(message.clone(), tracked).map_err(|error| {
        let inner = track.path().to_string();
        let outer = at.to_string();
        Reason::Json {
            path: match inner.as_str() {
                "." => outer,
                _ if outer.is_empty() => inner,
                _ => format!("{outer}.{inner}"),
            },
            message: without_place(&error),
        }
    })
}
