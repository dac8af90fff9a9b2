//! The shape of what is written, beside what a real Envoy printed.

use std::collections::{BTreeMap, BTreeSet};

use amesh_core::dump::{self, Captured, Shape, WriteOptions};
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::core::v3::{Metadata, Node};
use amesh_core::envoy_types::pb::google::protobuf::value::Kind;
use amesh_core::envoy_types::pb::google::protobuf::{Any, Duration, Struct, Value};
use prost::{Message as _, Name as _};
use serde_json::Value as Json;

use crate::{law, source};

const ADMIN: &str = "type.googleapis.com/envoy.admin.v3.";

fn json(captured: &[Captured]) -> Json {
    serde_json::from_slice(&dump::write(None, captured, &WriteOptions::default()).json).unwrap()
}

fn cluster(name: &str, seconds: i64) -> Captured {
    let cluster = Cluster {
        name: name.to_owned(),
        connect_timeout: Some(Duration { seconds, nanos: 0 }),
        ..Cluster::default()
    };
    Captured {
        resource: Any {
            type_url: Cluster::type_url(),
            value: cluster.encode_to_vec(),
        },
        version: "1".to_owned(),
    }
}

/// The members of each object of a dump down to its resources, by where it stands.
fn members(json: &Json, at: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| members(item, at, found)),
        Json::Object(object) => {
            let type_url = object.get("@type").and_then(Json::as_str).unwrap_or_default();
            if !type_url.is_empty() && !type_url.starts_with(ADMIN) {
                // A resource: that it is the same is the law.
                return;
            }
            let at = format!("{at}{}", type_url.strip_prefix(ADMIN).unwrap_or_default());
            for (key, value) in object {
                found.entry(at.clone()).or_default().insert(key.clone());
                members(value, &format!("{at}.{key}"), found);
            }
        }
        _ => {}
    }
}

/// What Envoy prints and a control plane does not send: times, what is not of the control plane, and what is not active.
fn is_envoys_own(at: &str, member: &str) -> bool {
    at.starts_with("BootstrapConfigDump")
        || member == "last_updated"
        || member.starts_with("static_")
        || ["dynamic_warming_clusters", "warming_state", "error_state"].contains(&member)
        // The version of the last response, which is not that of a resource.
        || (!at.contains('.') && member == "version_info")
        || at.contains(".static_")
        || at.contains("warming")
        || at.contains("error_state")
}

#[test]
fn sections_entries_and_members_are_those_of_a_real_envoy() {
    let mut compared = 0;
    for source in source::all() {
        if !source.name.contains("scenario/envoy/") {
            continue;
        }
        let envoy: Json = serde_json::from_slice(&std::fs::read(&source.name).unwrap()).unwrap();
        let ours = json(&source.resources);
        let order = |dump: &Json| -> Vec<String> {
            let sections = dump["configs"].as_array().unwrap().iter();
            sections
                .map(|section| section["@type"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(order(&ours), order(&envoy), "{}", source.name);
        let (mut theirs, mut written) = (BTreeMap::new(), BTreeMap::new());
        members(&envoy["configs"], "", &mut theirs);
        members(&ours["configs"], "", &mut written);
        for (at, members) in &mut theirs {
            members.retain(|member| !is_envoys_own(at, member));
            // Envoy tells no versions of endpoints.
            if at == "EndpointsConfigDump.dynamic_endpoint_configs" {
                members.insert("version_info".to_owned());
            }
        }
        theirs.retain(|at, members| !members.is_empty() && !at.starts_with("BootstrapConfigDump"));
        written.retain(|at, _| !at.starts_with("BootstrapConfigDump"));
        assert_eq!(written, theirs, "{}", source.name);
        compared += 1;
    }
    assert!(compared >= 7);
}

/// Each resource as this Envoy printed it is each resource as it is written.
#[test]
fn a_resource_is_printed_as_a_real_envoy_prints_it() {
    fn resources(json: &Json, found: &mut BTreeMap<(String, String), String>) {
        match json {
            Json::Array(items) => items.iter().for_each(|item| resources(item, found)),
            Json::Object(object) => {
                let type_url = object.get("@type").and_then(Json::as_str).unwrap_or_default();
                if amesh_core::ResourceType::from_type_url(type_url).is_some() {
                    let name = object.get("name").or_else(|| object.get("cluster_name"));
                    let name = name.and_then(Json::as_str).unwrap_or_default().to_owned();
                    found.insert((type_url.to_owned(), name), json.to_string());
                } else {
                    object
                        .iter()
                        .filter(|(key, _)| {
                            ![
                                "warming_state",
                                "error_state",
                                "dynamic_warming_clusters",
                                "static_route_configs",
                            ]
                            .contains(&key.as_str())
                        })
                        .for_each(|(_, value)| resources(value, found));
                }
            }
            _ => {}
        }
    }
    let mut same = 0;
    for source in source::all() {
        if !source.name.contains("scenario/envoy/") {
            continue;
        }
        let envoy: Json = serde_json::from_slice(&std::fs::read(&source.name).unwrap()).unwrap();
        let (mut theirs, mut ours) = (BTreeMap::new(), BTreeMap::new());
        resources(&envoy, &mut theirs);
        resources(&json(&source.resources), &mut ours);
        for (name, text) in &ours {
            // Envoy prints a locality without a weight as one of weight 0, which it refuses, and knows the health of
            // endpoints.
            if !name.0.ends_with("ClusterLoadAssignment") {
                assert_eq!(theirs.get(name), Some(text), "{} {name:?}", source.name);
                same += 1;
            }
        }
    }
    assert!(same > 100, "{same}");
}

#[test]
fn a_node_that_json_does_not_say_keeps_its_name_and_says_so() {
    let number = |number| Struct {
        fields: [(
            "n".to_owned(),
            Value {
                kind: Some(Kind::NumberValue(number)),
            },
        )]
        .into(),
    };
    let node = |metadata| Node {
        id: "router~1.2.3.4~a.b~b.svc.cluster.local".to_owned(),
        metadata: Some(metadata),
        ..Node::default()
    };
    let good = dump::write(Some(&node(number(1e300))), &[], &WriteOptions::default());
    assert_eq!(
        (&good.left_out[..], law::read(&good).node),
        (&[][..], Some(node(number(1e300))))
    );
    let odd = dump::write(Some(&node(number(f64::NAN))), &[], &WriteOptions::default());
    assert_eq!(odd.left_out.len(), 1);
    let read = law::read(&odd).node.unwrap();
    assert_eq!((read.id, read.metadata), (node(number(0.0)).id, None));
}

#[test]
fn nothing_is_a_dump_of_nothing() {
    let written = dump::write(None, &[], &WriteOptions::default());
    let dump = law::read(&written);
    assert_eq!((dump.shape, dump.node), (Shape::ConfigDump, None));
    assert!(dump.resources.is_empty() && dump.rejected.is_empty() && dump.findings.is_empty());
    assert_eq!(json(&[])["configs"].as_array().unwrap().len(), 7);
}

#[test]
fn resources_are_sorted_by_name_and_of_two_the_later_is_read() {
    let written = [cluster("b", 1), cluster("a", 1), cluster("b", 2), cluster("c", 1)];
    let json = json(&written);
    let entries = json["configs"][1]["dynamic_active_clusters"].as_array().unwrap();
    let seen: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| {
            let cluster = &entry["cluster"];
            (
                cluster["name"].as_str().unwrap(),
                cluster["connect_timeout"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [("a", "1s"), ("b", "1s"), ("b", "2s"), ("c", "1s")]);
    law::holds("twice", &written);
}

#[test]
fn maps_are_sorted_and_free_json_is_as_envoy_prints_it() {
    let value = |kind| Value { kind: Some(kind) };
    let fields = [
        ("z", Kind::NumberValue(15090.0)),
        ("y", Kind::NumberValue(0.5)),
        ("x", Kind::BoolValue(true)),
        ("w", Kind::NullValue(0)),
        ("v", Kind::StringValue("\u{1}\n\"".to_owned())),
    ];
    let filter = Struct {
        fields: fields
            .into_iter()
            .map(|(key, kind)| (key.to_owned(), value(kind)))
            .collect(),
    };
    let cluster = Cluster {
        name: "c".to_owned(),
        metadata: Some(Metadata {
            filter_metadata: [("b".to_owned(), filter.clone()), ("a".to_owned(), Struct::default())].into(),
            ..Metadata::default()
        }),
        ..Cluster::default()
    };
    let written = law::holds(
        "maps",
        &[Captured {
            resource: Any {
                type_url: Cluster::type_url(),
                value: cluster.encode_to_vec(),
            },
            version: String::new(),
        }],
    );
    let text = String::from_utf8(written.json).unwrap();
    let flat: String = text.lines().map(str::trim).collect();
    assert!(
        flat.contains(
            r#""filter_metadata": {"a": {},"b": {"v": "\u0001\n\"","w": null,"x": true,"y": 0.5,"z": 15090}}"#
        ),
        "{text}"
    );
}

#[test]
fn an_extension_of_an_unknown_type_leaves_the_rest_legible() {
    let cluster = Cluster {
        name: "c".to_owned(),
        typed_extension_protocol_options: [
            (
                "odd".to_owned(),
                Any {
                    type_url: "type.googleapis.com/no.Such".to_owned(),
                    value: vec![1, 2],
                },
            ),
            ("none".to_owned(), Any::default()),
        ]
        .into(),
        ..Cluster::default()
    };
    let written = law::holds(
        "unknown",
        &[Captured {
            resource: Any {
                type_url: Cluster::type_url(),
                value: cluster.encode_to_vec(),
            },
            version: String::new(),
        }],
    );
    let json: Json = serde_json::from_slice(&written.json).unwrap();
    assert_eq!(
        json["configs"][1]["dynamic_active_clusters"][0]["cluster"],
        serde_json::json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "c",
            "typed_extension_protocol_options": {
                "none": {},
                "odd": {"@type": "type.googleapis.com/no.Such", "value": "AQI="}
            }
        })
    );
}

#[test]
fn a_newer_field_has_the_resource_written_as_its_bytes() {
    let mut captured = cluster("c", 1);
    prost::encoding::int32::encode(5000, &1, &mut captured.resource.value);
    let written = law::holds("newer", &[captured]);
    assert_eq!(law::as_bytes(&written).len(), 1);
    // A number that an enum lacks has a place in JSON.
    let mut captured = cluster("c", 1);
    prost::encoding::int32::encode(6, &77, &mut captured.resource.value);
    let written = law::holds("newer", &[captured]);
    assert_eq!(law::as_bytes(&written).len(), 0);
}
