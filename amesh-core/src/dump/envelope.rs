//! A resource by itself, or in the envelope that a delta response and `Resource` put around it.

use serde_json::value::RawValue;

use super::guess;
use super::outline::Members;
use super::reader::{Reader, members};
use crate::decode::ResourceType;
use crate::field_path::Path;

/// A resource, or the envelope of one: `{"name", "version", "resource": {"@type", ...}}`.
pub(super) fn enveloped(json: &RawValue, fallback: Option<ResourceType>, at: Path<'_>, reader: &mut Reader) {
    let outline = match members(json, at) {
        Ok(outline) => outline,
        Err(reason) => return reader.reject(json, fallback, reason),
    };
    let type_url = outline.string("@type").unwrap_or_default();
    let is_envelope = type_url.is_empty() || type_url.ends_with("/envoy.service.discovery.v3.Resource");
    match outline.get("resource").filter(|_| is_envelope) {
        Some((key, resource)) => {
            let guessed = || guess::kind(&Members::of(resource).ok()?);
            let name = outline.string("name").filter(|name| !name.is_empty());
            reader.named(name.as_deref(), |reader| {
                reader.resource(resource, fallback.or_else(guessed), at.field(key));
            });
        }
        // It says that a resource is as it was.
        None if is_envelope && is_empty_envelope(&outline) => {}
        None => reader.resource(json, fallback.or_else(|| guess::kind(&outline)), at),
    }
}

fn is_empty_envelope(outline: &Members<'_>) -> bool {
    const FIELDS: [&str; 5] = ["@type", "name", "version", "aliases", "ttl"];
    (outline.has("version") || outline.has("ttl")) && outline.iter().all(|(key, _)| FIELDS.contains(&key))
}
