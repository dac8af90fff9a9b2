//! How fast a dump is read and written, beside what cannot be avoided: parsing its JSON, and decoding its resources.
//!
//! `cargo bench -p amesh-core --bench dump`. Compare within one run: the machine is part of every number.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark reads files and may panic"
)]

#[path = "../tests/support/big_dump.rs"]
mod big_dump;

use std::sync::{Arc, LazyLock};

use amesh_core::decode::{Body, ResourceType};
use amesh_core::dump::{Captured, WriteOptions};
use amesh_core::envoy_types::pb::google::protobuf::Any;
use amesh_core::{decode, dump};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

static TEXT: LazyLock<String> = LazyLock::new(|| big_dump::big_dump(20_000_000));

/// The resources of the same dump as bytes on the wire.
static WIRE: LazyLock<Vec<(ResourceType, Vec<u8>)>> = LazyLock::new(|| {
    let dump = dump::read(TEXT.as_bytes()).unwrap();
    let resources = dump.resources.iter().map(|resource| {
        let bytes = resource.body.encode();
        (resource.body.kind(), bytes)
    });
    resources.collect()
});

/// The same as they are captured.
static CAPTURED: LazyLock<Vec<Captured>> = LazyLock::new(|| {
    let resources = WIRE.iter().map(|(kind, bytes)| Captured {
        resource: Any {
            type_url: format!("type.googleapis.com/{}", kind.message()),
            value: bytes.clone(),
        },
        version: "1".to_owned(),
    });
    resources.collect()
});

fn wire_bytes() -> BytesCount {
    BytesCount::new(WIRE.iter().map(|(_, bytes)| bytes.len()).sum::<usize>())
}

fn main() {
    divan::main();
}

/// The whole reader: text to resources.
#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::new(TEXT.len()))
        .bench(|| dump::read(black_box(TEXT.as_bytes())).unwrap());
}

/// The whole writer: resources to text, each read back.
#[divan::bench]
fn write(bencher: Bencher<'_, '_>) {
    let options = WriteOptions::default();
    let length = dump::write(None, &CAPTURED, &options).json.len();
    bencher
        .counter(BytesCount::new(length))
        .bench(|| dump::write(None, black_box(&CAPTURED), &options));
}

/// The same text as a tree of JSON values, which the reader does not make.
#[divan::bench]
fn json_tree(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::new(TEXT.len()))
        .bench(|| serde_json::from_str::<serde_json::Value>(black_box(&TEXT)).unwrap());
}

/// The resources from the wire, with what is unknown on it and what Envoy refuses.
#[divan::bench]
fn decode_checked(bencher: Bencher<'_, '_>) {
    bencher.counter(wire_bytes()).bench(|| {
        WIRE.iter()
            .map(|(kind, bytes)| decode(kind.message(), black_box(bytes)).unwrap())
            .collect::<Vec<_>>()
    });
}

/// The resources from the wire by prost alone.
#[divan::bench]
fn decode_prost(bencher: Bencher<'_, '_>) {
    fn body<M: prost::Message + Default>(bytes: &[u8], body: fn(Arc<M>) -> Body) -> Body {
        body(Arc::new(M::decode(black_box(bytes)).unwrap()))
    }
    bencher.counter(wire_bytes()).bench(|| {
        WIRE.iter()
            .map(|(kind, bytes)| match kind {
                ResourceType::Listener => body(bytes, Body::Listener),
                ResourceType::RouteConfiguration => body(bytes, Body::RouteConfiguration),
                ResourceType::Cluster => body(bytes, Body::Cluster),
                ResourceType::ClusterLoadAssignment => body(bytes, Body::ClusterLoadAssignment),
                ResourceType::Secret => body(bytes, Body::Secret),
                ResourceType::TypedExtensionConfig => body(bytes, Body::TypedExtensionConfig),
            })
            .collect::<Vec<_>>()
    });
}
