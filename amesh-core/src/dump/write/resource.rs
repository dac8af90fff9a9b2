//! One resource as text: as JSON if that says all of it, and else as its bytes.

use std::borrow::Cow;

use prost_reflect::DynamicMessage;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::value::RawValue;

use super::super::reader::Reader;
use super::super::{Shape, raw};
use super::json::{Printed, PrintedAny};
use super::redact::redact;
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
    redact(&any.type_url, bytes).map_err(|reason| LeftOut {
        type_url: any.type_url.clone(),
        name: Some(name(bytes)).filter(|name| !name.is_empty()),
        reason,
    })
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
        && (one.body == other.body || canonical(one).is_some_and(|text| Some(text) == canonical(other)))
}

fn canonical(resource: &Resource) -> Option<String> {
    let message = descriptor::message(resource.body.kind().message())?;
    let message = DynamicMessage::decode(message, resource.body.encode().as_slice()).ok()?;
    serde_json::to_string(&Printed::new(&message)).ok()
}
