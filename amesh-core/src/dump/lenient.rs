//! What nobody here knows, taken out of a JSON message: newer fields and enum values, types of extensions.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::{raw, redacted};
use crate::decode::Unknown;
use crate::decode::extension::RAW_JSON;
use crate::descriptor;
use crate::field_path::Path;

/// Takes out of the message what is not known and notes it:
///
/// - a field or an enum value that the types do not have goes;
/// - the configuration of an unknown type becomes an `amesh.v1.RawJson`, which keeps it whole;
/// - an `Any` that stands as bytes, or with nothing in it, becomes an `amesh.v1.RawAny`, for [`raw::restore`];
/// - a redacted secret becomes bytes that say so.
///
/// Whether there is an `amesh.v1.RawAny` now.
pub(super) fn clean(message: &MessageDescriptor, json: &mut Value, unknown: &mut Vec<Unknown>) -> bool {
    let mut cleaner = Cleaner {
        unknown,
        has_raw: false,
    };
    cleaner.message(message, json, Path::root());
    cleaner.has_raw
}

struct Cleaner<'u> {
    unknown: &'u mut Vec<Unknown>,
    has_raw: bool,
}

impl Cleaner<'_> {
    fn note(&mut self, at: Path<'_>, what: String) {
        self.unknown.push(Unknown {
            path: at.to_string(),
            what,
        });
    }

    fn message(&mut self, message: &MessageDescriptor, json: &mut Value, at: Path<'_>) {
        let Value::Object(members) = json else { return };
        match message.full_name() {
            "google.protobuf.Any" => self.any(members, at),
            name if name.starts_with("google.protobuf.") => {}
            _ => self.members(message, members, at),
        }
    }

    fn any(&mut self, members: &mut Map<String, Value>, at: Path<'_>) {
        if let Some(raw) = raw::any(members) {
            self.has_raw = true;
            *members = raw;
            return;
        }
        let Some(Value::String(type_url)) = members.remove("@type") else {
            return;
        };
        let name = type_url.rsplit('/').next().unwrap_or(&type_url);
        if let Some(message) = descriptor::message(name) {
            if !name.starts_with("google.protobuf.") {
                self.members(&message, members, at);
            }
            members.insert("@type".to_owned(), type_url.into());
            return;
        }
        self.note(at, format!("message type {name:?}"));
        let json = Value::Object(std::mem::take(members)).to_string();
        members.insert("@type".to_owned(), RAW_JSON.into());
        members.insert("type_url".to_owned(), type_url.into());
        members.insert("json".to_owned(), json.into());
    }

    fn members(&mut self, message: &MessageDescriptor, members: &mut Map<String, Value>, at: Path<'_>) {
        members.retain(|key, value| {
            if value.is_null() {
                return true;
            }
            let field = message
                .get_field_by_json_name(key)
                .or_else(|| message.get_field_by_name(key));
            let Some(field) = field else {
                self.note(at.field(key), format!("field {key:?}"));
                return false;
            };
            self.field(&field, value, at.field(field.name()))
        });
    }

    /// Whether the field stays.
    fn field(&mut self, field: &FieldDescriptor, json: &mut Value, at: Path<'_>) -> bool {
        let kind = field.kind();
        match json {
            Value::Array(items) if field.is_list() => {
                let mut index = 0;
                items.retain_mut(|item| {
                    let stays = self.value(&kind, item, at.index(index));
                    index += 1;
                    stays
                });
                true
            }
            Value::Object(members) if field.is_map() => {
                if let Kind::Message(entry) = kind {
                    let kind = entry.map_entry_value_field().kind();
                    members.retain(|key, value| self.value(&kind, value, at.key(key)));
                }
                true
            }
            _ if field.is_list() || field.is_map() => true,
            _ => self.value(&kind, json, at),
        }
    }

    /// Whether the value stays.
    fn value(&mut self, kind: &Kind, json: &mut Value, at: Path<'_>) -> bool {
        match (kind, json) {
            (Kind::Message(message), json) => {
                self.message(message, json, at);
                true
            }
            (Kind::Enum(values), Value::String(name)) => {
                let known = values.get_value_by_name(name).is_some();
                if !known {
                    self.note(at, format!("enum value {name:?}"));
                }
                known
            }
            (Kind::Bytes, Value::String(text)) => {
                if text == redacted::TEXT {
                    redacted::BASE64.clone_into(text);
                }
                true
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cleaned(name: &str, mut json: Value) -> (Value, Vec<String>) {
        let mut unknown = Vec::new();
        clean(&descriptor::message(name).unwrap(), &mut json, &mut unknown);
        let unknown = unknown
            .into_iter()
            .map(|unknown| format!("{}: {}", unknown.path, unknown.what))
            .collect();
        (json, unknown)
    }

    #[test]
    fn newer_fields_and_enum_values_go_with_a_note() {
        let (json, unknown) = cleaned(
            "envoy.config.cluster.v3.Cluster",
            json!({
                "name": "a",
                "lbPolicy": "QUANTUM",
                "newField": {"x": 1},
                "commonLbConfig": {"overrideHostStatus": {"statuses": ["HEALTHY", "ODD"]}},
            }),
        );
        assert_eq!(
            json,
            json!({"name": "a", "commonLbConfig": {"overrideHostStatus": {"statuses": ["HEALTHY"]}}})
        );
        let mut unknown = unknown;
        unknown.sort();
        assert_eq!(
            unknown,
            [
                r#"common_lb_config.override_host_status.statuses[1]: enum value "ODD""#,
                r#"lb_policy: enum value "QUANTUM""#,
                r#"newField: field "newField""#,
            ]
        );
    }

    #[test]
    fn a_configuration_of_an_unknown_type_is_kept_as_text() {
        let (json, unknown) = cleaned(
            "envoy.config.listener.v3.Filter",
            json!({"name": "a", "typedConfig": {"@type": "type.googleapis.com/no.Such", "x": [1]}}),
        );
        assert_eq!(
            json["typedConfig"],
            json!({"@type": RAW_JSON, "type_url": "type.googleapis.com/no.Such", "json": r#"{"x":[1]}"#})
        );
        assert_eq!(unknown, [r#"typed_config: message type "no.Such""#]);
    }

    #[test]
    fn an_unknown_field_inside_a_known_configuration_is_found() {
        let (json, unknown) = cleaned(
            "envoy.config.listener.v3.Filter",
            json!({"typedConfig": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "statPrefix": "a",
                "odd": 1,
            }}),
        );
        assert!(json["typedConfig"].get("odd").is_none());
        assert_eq!(unknown, [r#"typed_config.odd: field "odd""#]);
    }

    #[test]
    fn an_empty_any_stays_and_so_do_bytes() {
        let (json, unknown) = cleaned(
            "envoy.config.listener.v3.Filter",
            json!({"name": "a", "typedConfig": {}}),
        );
        assert_eq!(
            json["typedConfig"],
            json!({"@type": raw::ANY, "type_url": "", "value": ""})
        );
        assert!(unknown.is_empty());
        for (name, value, is_raw) in [
            ("no.Such", json!("AAEC"), true),
            ("no.Such", json!(""), true),
            ("no.Such", json!("AAE"), false),
            ("no.Such", json!(5), false),
            // A type without a field of that name, and one with it.
            ("envoy.config.core.v3.Pipe", json!("AAEC"), true),
            ("envoy.config.core.v3.HeaderValue", json!("AAEC"), false),
            ("google.protobuf.BytesValue", json!("AAEC"), false),
        ] {
            let (json, _) = cleaned(
                "envoy.config.listener.v3.Filter",
                json!({"typedConfig": {"@type": name, "value": value}}),
            );
            assert_eq!(json["typedConfig"]["@type"] == raw::ANY, is_raw, "{name} {value}");
        }
    }
}
