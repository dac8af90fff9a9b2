//! The law: reading what was written gives the same resources, rejects the same, and translates to the same.

use std::collections::BTreeMap;

use amesh_core::dump::{self, Captured, Dump, WriteOptions, Written};
use amesh_core::{Arrival, Options, Rejected, Resource, ResourceType, Snapshot, decode, translate};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};
use serde_json::json;

use crate::source;

/// What a set of resources is, however it came.
#[derive(Debug, PartialEq)]
pub(crate) struct Meaning {
    resources: BTreeMap<(ResourceType, String), (serde_json::Value, Vec<String>)>,
    rejected: Vec<String>,
    translations: Vec<serde_json::Value>,
}

pub(crate) fn meaning(resources: &[Resource], rejected: &[Rejected]) -> Meaning {
    let mut rejected: Vec<String> = rejected.iter().map(|rejected| format!("{rejected:?}")).collect();
    rejected.sort();
    Meaning {
        resources: resources
            .iter()
            .map(|resource| {
                let unknown = resource.unknown.iter().map(|unknown| format!("{unknown:?}")).collect();
                let key = (resource.body.kind(), resource.name.clone());
                (key, (canonical(resource), unknown))
            })
            .collect(),
        rejected,
        translations: [Arrival::Direct, Arrival::Redirect]
            .into_iter()
            .map(|arrival| translated(resources.to_vec(), arrival))
            .collect(),
    }
}

fn translated(resources: Vec<Resource>, arrival: Arrival) -> serde_json::Value {
    let mut options = Options::default();
    options.arrival = Some(arrival);
    let snapshot = Snapshot::from_resources(resources);
    let translation = translate(&snapshot, &options);
    let objects: Vec<_> = translation
        .objects()
        .iter()
        .map(|(key, object)| format!("{key:?} {}", serde_json::to_string(&**object).unwrap()))
        .collect();
    let findings: Vec<_> = translation
        .findings()
        .iter()
        .map(|finding| format!("{finding:?}"))
        .collect();
    json!({"objects": objects, "findings": findings})
}

/// A resource with each `Any` taken apart, so that the order of maps in one does not tell.
fn canonical(resource: &Resource) -> serde_json::Value {
    thread_local! {
        static POOL: DescriptorPool =
            DescriptorPool::decode(include_bytes!("../../data/envoy.binpb").as_slice()).unwrap();
    }
    POOL.with(|pool| {
        let message = pool.get_message_by_name(resource.body.kind().message()).unwrap();
        plain(&DynamicMessage::decode(message, resource.body.encode().as_slice()).unwrap())
    })
}

fn plain(message: &DynamicMessage) -> serde_json::Value {
    let descriptor = message.descriptor();
    if descriptor.full_name() == "google.protobuf.Any" {
        let type_url = message
            .get_field_by_name("type_url")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        let bytes = message.get_field_by_name("value").unwrap().as_bytes().unwrap().clone();
        let name = type_url.rsplit('/').next().unwrap();
        let inner = descriptor.parent_pool().get_message_by_name(name);
        return match inner.map(|inner| DynamicMessage::decode(inner, bytes.clone())) {
            Some(Ok(inner)) => json!({"any": type_url, "message": plain(&inner)}),
            _ => json!({"any": type_url, "bytes": bytes.to_vec()}),
        };
    }
    let unknown = message.unknown_fields().map(|field| format!("{field:?}"));
    let fields = message
        .fields()
        .map(|(field, value)| (field.name().to_owned(), plain_value(value)));
    let mut members: serde_json::Map<String, serde_json::Value> = fields.collect();
    let unknown: Vec<String> = unknown.collect();
    if !unknown.is_empty() {
        members.insert("#".to_owned(), unknown.into());
    }
    members.into()
}

fn plain_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Message(message) => plain(message),
        Value::List(values) => values.iter().map(plain_value).collect(),
        Value::Map(values) => {
            let members: BTreeMap<String, serde_json::Value> = values
                .iter()
                .map(|(key, value)| (format!("{key:?}"), plain_value(value)))
                .collect();
            json!(members)
        }
        other => format!("{other:?}").into(),
    }
}

/// What the resources mean as they came.
pub(crate) fn sent(captured: &[Captured]) -> Meaning {
    let (mut resources, mut rejected) = (Vec::new(), Vec::new());
    for captured in captured {
        match decode(&captured.resource.type_url, &captured.resource.value) {
            Ok(resource) => resources.push(resource),
            Err(reason) => rejected.push(reason),
        }
    }
    meaning(&resources, &rejected)
}

pub(crate) fn read(written: &Written) -> Dump {
    dump::read(&written.json).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&written.json)))
}

/// Writes, reads, and compares. Gives what was written.
pub(crate) fn holds(name: &str, captured: &[Captured]) -> Written {
    let mut options = WriteOptions::default();
    options.keep_secrets = true;
    let written = dump::write(None, captured, &options);
    assert_eq!(written.left_out, [], "{name}");
    let dump = read(&written);
    let read = meaning(&dump.resources, &dump.rejected);
    let sent = sent(captured);
    assert!(sent == read, "{name}: {}", difference(&sent, &read));
    written
}

/// What is not the same, line by line.
fn difference(sent: &Meaning, read: &Meaning) -> String {
    let (sent, read) = (format!("{sent:#?}"), format!("{read:#?}"));
    similar::TextDiff::from_lines(&sent, &read)
        .unified_diff()
        .header("sent", "read")
        .to_string()
}

/// The resources that stand as bytes.
pub(crate) fn as_bytes(written: &Written) -> Vec<serde_json::Value> {
    fn find(json: &serde_json::Value, found: &mut Vec<serde_json::Value>) {
        let type_url = json.get("@type").and_then(serde_json::Value::as_str);
        let is_resource = type_url.is_some_and(|url| ResourceType::from_type_url(url).is_some());
        if is_resource && json.get("value").is_some() {
            found.push(json.clone());
        }
        match json {
            serde_json::Value::Array(items) => items.iter().for_each(|item| find(item, found)),
            serde_json::Value::Object(members) => members.values().for_each(|member| find(member, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(&serde_json::from_slice(&written.json).unwrap(), &mut found);
    found
}

#[test]
fn every_fixture_and_recording_reads_as_it_was_written() {
    for source in source::all() {
        let written = holds(&source.name, &source.resources);
        // What is known is legible.
        let unknown = source.resources.iter().filter(|captured| {
            let resource = decode(&captured.resource.type_url, &captured.resource.value);
            resource.is_ok_and(|resource| !resource.unknown.is_empty())
        });
        assert!(
            as_bytes(&written).len() <= unknown.count(),
            "{}: {:?}",
            source.name,
            as_bytes(&written)
        );
    }
}

#[test]
fn the_node_is_read_as_it_was_written() {
    for source in source::all() {
        let written = dump::write(source.node.as_ref(), &[], &WriteOptions::default());
        assert_eq!(read(&written).node, source.node, "{}", source.name);
    }
}
