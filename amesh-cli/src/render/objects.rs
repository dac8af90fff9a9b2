//! Objects as JSON: APISIX's standalone file, and what the shared dictionary of a running APISIX holds.

use std::io::{self, Write};

use amesh_core::apisix::{Kind, Object, Objects};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// `apisix.json`: a list of objects for each kind.
///
/// # Errors
///
/// Besides those of `out`: when an object holds `${{`. APISIX replaces `${{NAME}}` by an environment variable in every
/// text of this file, and has no way to write it otherwise.
pub(crate) fn write_json(objects: &Objects, out: &mut dyn Write) -> io::Result<()> {
    for (key, object) in objects {
        if serde_json::to_string(object.as_ref())?.contains("${{") {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{key} holds `${{{{`, which APISIX would take for an environment variable in JSON; \
                     --format apisix-yaml can say it"
                ),
            ));
        }
    }
    serde_json::to_writer_pretty(&mut *out, &ByKind(objects))?;
    writeln!(out)
}

/// One JSON object: the text of each object under its key.
pub(crate) fn write_shdict(objects: &Objects, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Texts(objects))?;
    writeln!(out)
}

struct ByKind<'a>(&'a Objects);

impl Serialize for ByKind<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Kind::ALL.len()))?;
        for kind in Kind::ALL {
            let of_kind = self.0.iter().filter(|(key, _)| key.kind == kind);
            let list: Vec<&Object> = of_kind.map(|(_, object)| object.as_ref()).collect();
            map.serialize_entry(kind.name(), &list)?;
        }
        map.end()
    }
}

struct Texts<'a>(&'a Objects);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, object) in self.0 {
            let text = serde_json::to_string(object.as_ref()).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(&key.to_string(), &text)?;
        }
        map.end()
    }
}
