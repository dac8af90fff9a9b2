//! Secrets blanked out, in whichever resource they are.
//!
//! The bytes are walked, and not a message that is made of them: of a field that comes twice a message shows what came last,
//! and what came first would still be there to be read.

use std::borrow::Cow;

use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{Kind, MessageDescriptor};

use super::super::redacted::{TEXT, has_sensitive, is_sensitive};
use crate::decode::wire::{Fields, Malformed, Value};
use crate::decode::{ResourceType, decode};
use crate::descriptor;

/// Why a resource must not be shown: what is secret in it cannot be told.
pub(super) type Reason = &'static str;

const UNKNOWN: Reason = "secrets may be in fields that are not known here";
const MISPLACED: Reason = "there is a private key where none belongs";
const UNREADABLE: Reason = "it cannot be read, and may hold secrets";

/// Messages in messages that are looked into. A message that goes deeper does not decode.
const MAX_DEPTH: usize = 200;

/// The bytes of a resource with its secrets blanked out; the same bytes when it has none.
pub(super) fn redact<'b>(type_url: &str, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, Reason> {
    let kind = ResourceType::from_type_url(type_url).ok_or(UNREADABLE)?;
    if kind == ResourceType::Secret {
        let secret = decode(type_url, bytes).map_err(|_| UNREADABLE)?;
        if !secret.unknown.is_empty() {
            return Err(UNKNOWN);
        }
    }
    let mut walk = Walk::default();
    let message = descriptor::message(kind.message()).ok_or(UNREADABLE)?;
    let place = Place {
        is_secret: false,
        is_near: kind == ResourceType::Secret,
        depth: MAX_DEPTH,
    };
    match walk.message(&message, bytes, place) {
        Ok(_) if !walk.has_changed => Ok(bytes.into()),
        Ok(redacted) => Ok(redacted.into()),
        Err(Stop::Hide(reason)) => Err(reason),
        Err(Stop::Malformed) if kind == ResourceType::Secret || walk.has_met || has_key(bytes) => Err(UNREADABLE),
        Err(Stop::Malformed) => Ok(bytes.into()),
    }
}

/// Whether bytes hold a private key as text.
pub(super) fn has_key(bytes: &[u8]) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY";
    bytes.windows(MARK.len()).any(|window| window == MARK)
}

/// Why a walk does not go on.
enum Stop {
    /// These are no bytes of that message.
    Malformed,
    /// It must not be shown.
    Hide(Reason),
}

impl From<Malformed> for Stop {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// Where a walk is.
#[derive(Clone, Copy)]
struct Place {
    /// All that is here is secret.
    is_secret: bool,
    /// Secrets are beside what is here or around it.
    is_near: bool,
    /// Levels that are left.
    depth: usize,
}

#[derive(Default)]
struct Walk {
    /// A sensitive field has been met.
    has_met: bool,
    /// Something has been blanked out.
    has_changed: bool,
}

impl Walk {
    /// The bytes of a message.
    fn message(&mut self, message: &MessageDescriptor, bytes: &[u8], at: Place) -> Result<Vec<u8>, Stop> {
        let depth = at.depth.checked_sub(1).ok_or(Stop::Hide(UNREADABLE))?;
        if message.full_name() == "google.protobuf.Any" {
            return self.any(bytes, Place { depth, ..at });
        }
        let is_beside = has_sensitive(message.full_name());
        let is_near = at.is_near || is_beside;
        let mut out = Vec::with_capacity(bytes.len());
        let mut fields = Fields(bytes);
        loop {
            let before = fields.0;
            let Some(wire) = fields.next()? else {
                return Ok(out);
            };
            let whole = before.get(..before.len() - fields.0.len()).unwrap_or_default();
            let Some(field) = message.get_field(wire.number) else {
                if at.is_secret || is_beside || has_key(whole) {
                    return Err(Stop::Hide(UNKNOWN));
                }
                out.extend(whole);
                continue;
            };
            // The keys of a map are no secrets, in Envoy's eyes neither.
            let is_key = message.is_map_entry() && wire.number == 1;
            let is_secret = (at.is_secret && !is_key) || is_sensitive(&field);
            self.has_met |= is_secret;
            match (field.kind(), wire.value) {
                (Kind::Message(inner), Value::Bytes(bytes)) => {
                    let place = Place {
                        is_secret,
                        is_near,
                        depth,
                    };
                    put(wire.number, &self.message(&inner, bytes, place)?, &mut out);
                }
                (Kind::Message(_), _) => return Err(Stop::Malformed),
                (Kind::String | Kind::Bytes, Value::Bytes(bytes)) if is_secret => {
                    self.has_changed |= bytes != TEXT.as_bytes();
                    put(wire.number, TEXT.as_bytes(), &mut out);
                }
                // A file may hold a certificate and its key.
                (Kind::String | Kind::Bytes, Value::Bytes(bytes)) if is_near && has_key(bytes) => {
                    return Err(Stop::Hide(MISPLACED));
                }
                _ => out.extend(whole),
            }
        }
    }

    fn any(&mut self, bytes: &[u8], at: Place) -> Result<Vec<u8>, Stop> {
        let (mut type_url, mut value) = (None, None);
        let mut out = Vec::with_capacity(bytes.len());
        let mut fields = Fields(bytes);
        loop {
            let before = fields.0;
            let Some(wire) = fields.next()? else { break };
            // Which type what came first was of, nobody can tell.
            let twice = match (wire.number, wire.value) {
                (1, Value::Bytes(bytes)) => type_url.replace(bytes).is_some(),
                (2, Value::Bytes(bytes)) => value.replace(bytes).is_some(),
                (1 | 2, _) => return Err(Stop::Malformed),
                _ => at.is_secret,
            };
            if twice {
                return Err(Stop::Hide(UNKNOWN));
            }
            if wire.number != 2 {
                out.extend(before.get(..before.len() - fields.0.len()).unwrap_or_default());
            }
        }
        let Some(value) = value else { return Ok(out) };
        if at.is_secret {
            self.has_changed |= !value.is_empty();
            return Ok(out);
        }
        let name = std::str::from_utf8(type_url.unwrap_or_default()).map_err(|_| Stop::Malformed)?;
        let message = descriptor::message(name.rsplit('/').next().unwrap_or(name));
        let met_before = std::mem::take(&mut self.has_met);
        let inner = match message.map(|message| self.message(&message, value, at)) {
            Some(Ok(inner)) => inner.into(),
            Some(Err(Stop::Hide(reason))) => return Err(Stop::Hide(reason)),
            // What cannot be read is shown as it is, unless it is known to hold a secret.
            Some(Err(Stop::Malformed)) if self.has_met => return Err(Stop::Hide(UNREADABLE)),
            Some(Err(Stop::Malformed)) | None if has_key(value) => return Err(Stop::Hide(UNKNOWN)),
            Some(Err(Stop::Malformed)) | None => Cow::Borrowed(value),
        };
        self.has_met |= met_before;
        put(2, &inner, &mut out);
        Ok(out)
    }
}

fn put(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend(bytes);
}
