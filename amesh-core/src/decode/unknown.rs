//! What is on the wire and not in our types.
//!
//! prost drops fields that it does not know, and an enum value that it does not know reads as the default. Either may
//! change what a resource means, so the bytes are walked with the descriptors in hand: messages in messages, in maps,
//! and in every `Any` of a known type.

use super::Unknown;
use super::schema::{Field, Holds, Message, Schema, schema};
use super::wire::{Fields, Malformed, Value, varint};
use crate::field_path::Path;

/// Levels of messages that are walked. prost decodes a hundred, anew in each `Any`.
const MAX_DEPTH: usize = 256;

/// Finds what a message of that full name has on the wire and our types have not, sorted by path.
pub(super) fn find(message: &str, bytes: &[u8]) -> Vec<Unknown> {
    let schema = schema();
    let mut walk = Walk {
        schema,
        found: Vec::new(),
    };
    if let Some(message) = schema.by_name(message)
        && walk.message(message, bytes, Path::root(), MAX_DEPTH).is_err()
    {
        walk.malformed(Path::root());
    }
    walk.found.sort();
    walk.found.dedup();
    walk.found
}

struct Walk {
    schema: &'static Schema,
    found: Vec<Unknown>,
}

/// How many values of a repeated field have been met.
#[derive(Default)]
struct Counters {
    current: (u32, usize),
    /// Only where a message has several repeated fields.
    others: Vec<(u32, usize)>,
}

impl Counters {
    /// The index of the next value of that field.
    fn next(&mut self, number: u32) -> usize {
        if self.current.0 != number {
            let before = std::mem::replace(&mut self.current, (number, 0));
            if before.0 != 0 {
                self.others.push(before);
            }
            if let Some(position) = self.others.iter().position(|(other, _)| *other == number) {
                self.current = self.others.swap_remove(position);
            }
        }
        let index = self.current.1;
        self.current.1 += 1;
        index
    }
}

impl Walk {
    fn note(&mut self, at: Path<'_>, what: String) {
        self.found.push(Unknown {
            path: at.to_string(),
            what,
        });
    }

    fn malformed(&mut self, at: Path<'_>) {
        self.note(at, "malformed protobuf".to_owned());
    }

    fn too_deep(&mut self, at: Path<'_>) {
        self.note(at, format!("messages nested more than {MAX_DEPTH} deep"));
    }

    fn message(
        &mut self,
        message: &'static Message,
        bytes: &[u8],
        at: Path<'_>,
        depth: usize,
    ) -> Result<(), Malformed> {
        let Some(depth) = depth.checked_sub(1) else {
            self.too_deep(at);
            return Ok(());
        };
        let mut counters = Counters::default();
        let mut fields = Fields(bytes);
        while let Some(wire) = fields.next()? {
            let Some(field) = message.field(wire.number) else {
                let place = format!("#{}", wire.number);
                self.note(at.field(&place), format!("field {}", wire.number));
                continue;
            };
            if field.holds == Holds::Scalar || field.holds == Holds::Json {
                continue;
            }
            let name = at.field(&field.name);
            if let (Holds::Enum(values), Value::Bytes(mut packed)) = (field.holds, wire.value) {
                while !packed.is_empty() {
                    let value = varint(&mut packed)?;
                    self.value(values, value, name.index(counters.next(wire.number)));
                }
            } else if let Holds::MapEntry(entry) = field.holds {
                self.map_entry(entry, wire.value, name, depth)?;
            } else if field.repeated {
                self.field(field, wire.value, name.index(counters.next(wire.number)), depth)?;
            } else {
                self.field(field, wire.value, name, depth)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, value: Value<'_>, at: Path<'_>, depth: usize) -> Result<(), Malformed> {
        match (field.holds, value) {
            (Holds::Scalar | Holds::Json, _) => Ok(()),
            (Holds::Enum(values), Value::Varint(value)) => {
                self.value(values, value, at);
                Ok(())
            }
            (Holds::Message(index), Value::Bytes(bytes)) => match self.schema.message(index) {
                Some(message) => self.message(message, bytes, at, depth),
                None => Ok(()),
            },
            (Holds::Any, Value::Bytes(bytes)) => self.any(bytes, at, depth),
            _ => Err(Malformed),
        }
    }

    fn value(&mut self, values: usize, value: u64, at: Path<'_>) {
        // An enum is an `int32`, of which the wire has 64 bits.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "protobuf takes the low 32 bits of an int32"
        )]
        let value = value as i32;
        if !self.schema.has_value(values, value) {
            self.note(at, format!("enum value {value}"));
        }
    }

    fn map_entry(&mut self, entry: usize, value: Value<'_>, at: Path<'_>, depth: usize) -> Result<(), Malformed> {
        let (Value::Bytes(bytes), Some(message)) = (value, self.schema.message(entry)) else {
            return Err(Malformed);
        };
        // Free JSON, such as metadata by filter, has nothing that can be unknown.
        let Some(value) = message
            .field(2)
            .filter(|value| value.holds != Holds::Scalar && value.holds != Holds::Json)
        else {
            return Ok(());
        };
        let mut key = String::new();
        let mut fields = Fields(bytes);
        while let Some(wire) = fields.next()? {
            if wire.number == 1 {
                key = match wire.value {
                    Value::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
                    Value::Varint(number) => number.to_string(),
                    Value::Fixed | Value::Group => String::new(),
                };
            }
        }
        let mut fields = Fields(bytes);
        while let Some(wire) = fields.next()? {
            match wire.number {
                1 => {}
                2 => self.field(value, wire.value, at.key(&key), depth)?,
                number => self.note(at.key(&key), format!("field {number}")),
            }
        }
        Ok(())
    }

    fn any(&mut self, bytes: &[u8], at: Path<'_>, depth: usize) -> Result<(), Malformed> {
        let mut type_url: &[u8] = &[];
        let mut value: &[u8] = &[];
        let mut fields = Fields(bytes);
        while let Some(wire) = fields.next()? {
            match (wire.number, wire.value) {
                (1, Value::Bytes(bytes)) => type_url = bytes,
                (2, Value::Bytes(bytes)) => value = bytes,
                (number, _) => self.note(at, format!("field {number}")),
            }
        }
        // Istio sends some that are empty: they say nothing.
        if type_url.is_empty() && value.is_empty() {
            return Ok(());
        }
        let type_url = std::str::from_utf8(type_url).map_err(|_| Malformed)?;
        let name = type_url.rsplit('/').next().unwrap_or(type_url);
        match name {
            "google.protobuf.Any" => {
                if let Some(depth) = depth.checked_sub(1) {
                    return self.any(value, at, depth);
                }
                self.too_deep(at);
                return Ok(());
            }
            "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue" => return Ok(()),
            _ => {}
        }
        let Some(message) = self.schema.by_name(name) else {
            self.note(at, format!("message type {name:?}"));
            return Ok(());
        };
        // What is in an `Any` has not been decoded yet: a part that is malformed is a finding of its own.
        if self.message(message, value, at, depth).is_err() {
            self.malformed(at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that holds bytes.
    fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = value.len();
        while length >= 0x80 {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend(value);
        out
    }

    /// A field that holds a small number.
    fn number(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    fn found(message: &str, bytes: &[u8]) -> Vec<String> {
        find(message, bytes)
            .into_iter()
            .map(|unknown| format!("{}: {}", unknown.path, unknown.what))
            .collect()
    }

    const ROUTES: &str = "envoy.config.route.v3.RouteConfiguration";
    const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";

    #[test]
    fn a_field_that_is_newer_than_our_types_is_found_where_it_is() {
        // virtual_hosts[1].routes[0].match.#126, after an ordinary virtual host; 0xf2 0x07 is the key of field 126.
        let matcher = [&[0xf2, 0x07][..], &[1, b'x']].concat();
        let host = bytes(3, &bytes(1, &matcher));
        let config = [bytes(2, &bytes(1, b"a")), bytes(2, &host)].concat();
        assert_eq!(
            found(ROUTES, &config),
            ["virtual_hosts[1].routes[0].match.#126: field 126"]
        );
    }

    #[test]
    fn every_wire_type_of_a_newer_field_is_passed_over() {
        let fields: &[&[u8]] = &[
            &[0xf0, 0x07, 0x80, 0x01],                         // 126: a varint
            &[0xf9, 0x07, 0, 0, 0, 0, 0, 0, 0, 0],             // 127: eight bytes
            &[0xfd, 0x07, 0, 0, 0, 0],                         // 127: four bytes
            &[0xf3, 0x07, 0x08, 0x01, 0x13, 0x14, 0xf4, 0x07], // 126: a group with a group in it
            &[0x0a, 1, b'n'],
        ];
        assert_eq!(found(ROUTES, &fields.concat()), ["#126: field 126", "#127: field 127"]);
    }

    #[test]
    fn enum_values_are_checked_alone_packed_and_negative() {
        // lb_policy = 77
        assert_eq!(found(CLUSTER, &number(6, 77)), ["lb_policy: enum value 77"]);
        assert!(found(CLUSTER, &number(6, 5)).is_empty());
        // lb_policy = -1
        let negative = [&[6 << 3][..], &[0xff; 9], &[1]].concat();
        assert_eq!(found(CLUSTER, &negative), ["lb_policy: enum value -1"]);
        // common_lb_config.override_host_status.statuses, packed: HEALTHY, 99
        let status = "envoy.config.core.v3.HealthStatusSet";
        assert_eq!(found(status, &bytes(1, &[1, 99])), ["statuses[1]: enum value 99"]);
        // and not packed, after the packed ones
        let mixed = [bytes(1, &[1, 2]), number(1, 98)].concat();
        assert_eq!(found(status, &mixed), ["statuses[2]: enum value 98"]);
    }

    fn any(name: &str, value: &[u8]) -> Vec<u8> {
        [
            bytes(1, format!("type.googleapis.com/{name}").as_bytes()),
            bytes(2, value),
        ]
        .concat()
    }

    #[test]
    fn an_any_of_a_known_type_is_walked() {
        // filter_chains[0].filters[0].typed_config: an HTTP connection manager with http_filters[0].typed_config
        let router = any("envoy.extensions.filters.http.router.v3.Router", &[0xf0, 0x07, 1]);
        let filter = [bytes(1, b"router"), bytes(4, &router)].concat();
        let manager = any(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            &[number(1, 55), bytes(5, &filter)].concat(),
        );
        let listener = bytes(3, &bytes(3, &bytes(4, &manager)));
        assert_eq!(
            found("envoy.config.listener.v3.Listener", &listener),
            [
                "filter_chains[0].filters[0].typed_config.codec_type: enum value 55",
                "filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.#126: field 126",
            ]
        );
    }

    #[test]
    fn an_any_of_an_unknown_type_is_named_and_an_empty_one_is_not() {
        let filter = "envoy.config.listener.v3.Filter";
        assert_eq!(
            found(filter, &bytes(4, &any("no.Such", b"\x08\x01"))),
            [r#"typed_config: message type "no.Such""#]
        );
        assert!(found(filter, &bytes(4, b"")).is_empty());
    }

    #[test]
    fn what_is_malformed_inside_an_any_is_found() {
        let any = any("envoy.extensions.filters.http.router.v3.Router", &[0x0a, 200]);
        let filter = "envoy.config.listener.v3.Filter";
        assert_eq!(found(filter, &bytes(4, &any)), ["typed_config: malformed protobuf"]);
    }

    #[test]
    fn maps_are_walked_by_key() {
        // typed_per_filter_config["f"] of a route configuration (field 16, so a key of two bytes)
        let entry = [bytes(1, b"f"), bytes(2, &any("no.Such", b""))].concat();
        let map = [&[0x82, 0x01, u8::try_from(entry.len()).unwrap()][..], &entry].concat();
        assert_eq!(
            found(ROUTES, &map),
            [r#"typed_per_filter_config["f"]: message type "no.Such""#]
        );
        // filter_metadata holds free JSON, in which nothing is unknown.
        let metadata = "envoy.config.core.v3.Metadata";
        let entry = [bytes(1, b"istio"), bytes(2, &[0x0a, 0])].concat();
        assert!(found(metadata, &bytes(1, &entry)).is_empty());
    }

    #[test]
    fn interleaved_repeated_fields_keep_their_index() {
        let host = |route: &[u8]| bytes(3, route);
        let bad = bytes(1, &[0xf0, 0x07, 1]);
        // routes, virtual_clusters, routes
        let virtual_host = [host(&[]), bytes(5, &[]), host(&bad)].concat();
        assert_eq!(
            found("envoy.config.route.v3.VirtualHost", &virtual_host),
            ["routes[1].match.#126: field 126"]
        );
    }

    #[test]
    fn depth_has_an_end() {
        let mut nested = Vec::new();
        for _ in 0..400 {
            nested = bytes(4, &nested);
        }
        // A predicate's `not_matcher` holds a predicate.
        let found = found("xds.type.matcher.v3.Matcher.MatcherList.Predicate", &nested);
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("messages nested more than 256 deep"), "{}", found[0]);

        let mut nested = Vec::new();
        for _ in 0..1000 {
            nested = any("google.protobuf.Any", &nested);
        }
        assert_eq!(
            self::found("envoy.config.listener.v3.Filter", &bytes(4, &nested)),
            ["typed_config: messages nested more than 256 deep"]
        );
    }
}
