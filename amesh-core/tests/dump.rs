//! Whole captured documents: the recordings of `fixtures/scenario`, and every other shape that a document can have.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, which the library must not"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use amesh_core::dump::{self, Dump, Shape};
use amesh_core::envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use amesh_core::envoy_types::pb::google::protobuf::Any;
use amesh_core::{Resource, ResourceType, decode};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};

/// Every captured document below `fixtures/scenario`, by its path there.
fn scenarios() -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenario");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(bytes) = capture(&path) {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, bytes);
            }
        }
    }
    found
}

fn capture(path: &Path) -> Option<Vec<u8>> {
    match path.extension()?.to_str()? {
        "json" => Some(std::fs::read(path).unwrap()),
        "gz" => {
            let packed = std::fs::read(path).unwrap();
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(packed.as_slice())
                .read_to_end(&mut plain)
                .unwrap();
            Some(plain)
        }
        _ => None,
    }
}

fn counts(dump: &Dump) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for resource in &dump.resources {
        *counts.entry(resource.body.kind().to_string()).or_default() += 1;
    }
    counts
}

/// What is not plain about a dump: what was rejected, what is unknown, what was found.
fn remarks(dump: &Dump) -> Vec<String> {
    let mut remarks = Vec::new();
    for rejected in &dump.rejected {
        remarks.push(format!("rejected: {rejected}"));
    }
    for resource in &dump.resources {
        for unknown in &resource.unknown {
            let kind = resource.body.kind();
            remarks.push(format!(
                "unknown: {kind} {:?} {}: {}",
                resource.name, unknown.path, unknown.what
            ));
        }
    }
    for finding in &dump.findings {
        let detail = finding.detail.as_deref().unwrap_or_default();
        let line = format!("{}: {} {} {detail}", finding.rule.name, finding.resource, finding.path);
        remarks.push(line.trim_end().to_owned());
    }
    remarks
}

#[test]
fn every_recording_reads_whole() {
    let scenarios = scenarios();
    assert!(scenarios.len() > 40, "{} recordings", scenarios.len());
    let mut report = String::new();
    for (name, bytes) in scenarios {
        let dump = dump::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(dump.shape, Shape::ConfigDump, "{name}");
        assert_eq!(dump.rejected, [], "{name}");
        assert!(
            dump.resources.iter().all(|resource| resource.unknown.is_empty()),
            "{name}"
        );
        let node = dump.node.as_ref().map(|node| node.id.as_str()).unwrap_or_default();
        assert!(!node.is_empty(), "{name}");
        writeln!(report, "{name}: {node}\n  {:?}", counts(&dump)).unwrap();
        for remark in remarks(&dump) {
            writeln!(report, "  {remark}").unwrap();
        }
    }
    insta::assert_snapshot!(report);
}

fn json(pool: &DescriptorPool, resource: &Resource) -> serde_json::Value {
    let bytes = resource.body.encode();
    let message = pool.get_message_by_name(resource.body.kind().message()).unwrap();
    serde_json::to_value(DynamicMessage::decode(message, bytes.as_slice()).unwrap()).unwrap()
}

#[test]
fn a_dump_and_the_bytes_on_the_wire_are_the_same_resources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenario/istiod/01-bookinfo-default");
    let dump = dump::read(&std::fs::read(root.join("capture.json")).unwrap()).unwrap();
    let mut dumped: BTreeMap<(ResourceType, &str), &Resource> = BTreeMap::new();
    for resource in &dump.resources {
        dumped.insert((resource.body.kind(), &resource.name), resource);
    }
    let pool = DescriptorPool::decode(include_bytes!("../data/envoy.binpb").as_slice()).unwrap();
    for (file, delta) in [("responses-sotw.pb", false), ("responses-delta.pb", true)] {
        let bytes = std::fs::read(root.join(file)).unwrap();
        let mut bytes = bytes.as_slice();
        let mut seen = 0;
        while !bytes.is_empty() {
            let resources: Vec<Any> = if delta {
                let response = DeltaDiscoveryResponse::decode_length_delimited(&mut bytes).unwrap();
                response
                    .resources
                    .into_iter()
                    .filter_map(|resource| resource.resource)
                    .collect()
            } else {
                DiscoveryResponse::decode_length_delimited(&mut bytes)
                    .unwrap()
                    .resources
            };
            for any in resources {
                let resource = decode(&any.type_url, &any.value).unwrap();
                let dumped = dumped[&(resource.body.kind(), resource.name.as_str())];
                assert_eq!(resource.unknown, [], "{file}: {}", resource.name);
                // Bytes in an `Any` differ by the order of maps: as JSON they are equal.
                assert_eq!(json(&pool, &resource), json(&pool, dumped), "{file}: {}", resource.name);
                seen += 1;
            }
        }
        assert!(seen >= dump.resources.len(), "{file}: {seen}");
    }
}

/// Dumps of Istio's own tests, which are not in this repository: the folder that `AMESH_ISTIO_DUMPS` names.
#[test]
fn dumps_of_istios_own_tests_read_whole() {
    let Some(folder) = std::env::var_os("AMESH_ISTIO_DUMPS") else {
        eprintln!("skipped: AMESH_ISTIO_DUMPS names no folder of dumps");
        return;
    };
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        // `.txt` files are tables for people; the answer of `proxy-status` holds no configuration.
        if path.extension().is_some_and(|ending| ending == "txt") || name.starts_with("proxy-status") {
            assert!(dump::read(&bytes).is_err(), "{name}");
            continue;
        }
        let dump = dump::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(dump.rejected, [], "{name}");
        assert!(
            dump.resources.iter().all(|resource| resource.unknown.is_empty()),
            "{name}"
        );
        read += 1;
    }
    assert!(read > 0);
}
