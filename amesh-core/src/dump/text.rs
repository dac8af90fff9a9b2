//! Bytes to JSON text: encodings, and YAML.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Error, foreign};

/// The document as JSON text: borrowed when it is JSON, written anew when it is YAML.
pub(super) fn json(input: &[u8]) -> Result<Cow<'_, str>, Error> {
    if let Some(error) = foreign::bytes(input) {
        return Err(error);
    }
    let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    let text = std::str::from_utf8(input).map_err(|error| {
        foreign::binary(input).unwrap_or(Error::NotUtf8 {
            offset: error.valid_up_to(),
        })
    })?;
    let start = text.trim_start();
    if start.is_empty() {
        return Err(Error::Empty);
    }
    if let Some(error) = foreign::text(start) {
        return Err(error);
    }
    if is_json(start) {
        return Ok(Cow::Borrowed(text));
    }
    yaml(text).map(Cow::Owned)
}

/// JSON and YAML in flow style both begin with a bracket; what JSON needs after it tells them apart.
fn is_json(text: &str) -> bool {
    let inside = text.strip_prefix(['{', '[']).map(str::trim_start);
    inside.is_some_and(|inside| inside.is_empty() || inside.starts_with(['"', '{', '[', '}', ']']))
}

/// YAML to JSON text.
fn yaml(text: &str) -> Result<String, Error> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_documents: 64,
            max_depth: 64,
            // Envoy's own resources have none; a hand that repeats a block needs a handful.
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_events: 50_000_000,
            max_nodes: 25_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
    };
    let documents: Vec<Yaml> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        if !looks_like_yaml(text) {
            return plain_text();
        }
        let (line, column) = error
            .location()
            .map_or((0, 0), |location| (location.line(), location.column()));
        Error::Syntax {
            format: "YAML",
            line,
            column,
            message: plain(&error.to_string()),
        }
    })?;
    let mut documents = documents.into_iter().map(|document| document.0);
    let Some(first) = documents.next() else {
        return Err(Error::Empty);
    };
    if let Value::Object(members) = &first
        && let Some(error) = foreign::keys(&mut members.keys().map(String::as_str))
    {
        return Err(error);
    }
    if documents.next().is_some() {
        return Err(Error::SeveralDocuments);
    }
    match &first {
        Value::Object(_) | Value::Array(_) => Ok(first.to_string()),
        _ => Err(plain_text()),
    }
}

fn plain_text() -> Error {
    Error::NotADump {
        found: "plain text".to_owned(),
        instead: super::GIVE,
    }
}

/// Whether the first line begins as that of a file of settings does, and not as a table or a log: with a bracket, a dash,
/// or a key.
fn looks_like_yaml(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let Some(first) = lines.find(|line| !line.is_empty() && !line.starts_with('#')) else {
        return true;
    };
    let key = first.split_once(": ").map(|(key, _)| key).or(first.strip_suffix(':'));
    first.starts_with(['{', '[', '"', '\'', '-', '%', '&', '*', '?', '!', '|', '>'])
        || key.is_some_and(|key| !key.contains(char::is_whitespace))
}

/// The message of a YAML error without the place, which is reported apart.
fn plain(message: &str) -> String {
    let first = message.lines().next().unwrap_or(message);
    let end = first.find(" at line ").unwrap_or(first.len());
    first.get(..end).unwrap_or(first).to_owned()
}

/// A YAML node as JSON has it: keys are strings, and numbers are numbers.
struct Yaml(Value);

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor).map(Yaml)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what JSON can express")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that JSON cannot express; quote it"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Yaml(item)) = seq.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key {key:?} is there twice")));
            }
            let Yaml(value) = map.next_value()?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}
