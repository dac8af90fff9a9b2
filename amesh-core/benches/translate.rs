//! What translating costs, beside decoding the same bytes with prost, in one run: compare the rows, not the machines.
//!
//! `cargo bench -p amesh-core --bench translate` prints times and what is allocated at the peak. With
//! `10000` services of ten endpoints, `translate_and_plan` should stay below 1.5 times `decode_with_prost`, and
//! `one_endpoint` should not depend on the number of services.

#![expect(unreachable_pub, clippy::unwrap_used, reason = "a benchmark is no library")]

#[path = "support/mesh.rs"]
mod mesh;

use amesh_core::apisix::Objects;
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use amesh_core::envoy_types::pb::envoy::config::listener::v3::Listener;
use amesh_core::envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use amesh_core::{Options, Resource, Snapshot, Target, Update, decode, plan, translate};
use divan::{AllocProfiler, Bencher};
use mesh::Mesh;
use prost::Message as _;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const ENDPOINTS: usize = 10;

fn main() {
    divan::main();
}

fn options(target: Target) -> Options {
    let mut options = Options::default();
    options.target = target;
    options.permitted.insert("istio-mutual-tls".to_owned());
    options
}

fn resources(mesh: &Mesh) -> Vec<Resource> {
    mesh.resources()
        .map(|(message, bytes)| decode(message, bytes).unwrap())
        .collect()
}

#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn decode_with_prost(bencher: Bencher<'_, '_>, services: usize) {
    let mesh = mesh::mesh(services, ENDPOINTS);
    bencher
        .counter(divan::counter::BytesCount::new(mesh.len()))
        .bench_local(|| {
            let listener = Listener::decode(mesh.listener.as_slice()).unwrap();
            let routes = RouteConfiguration::decode(mesh.routes.as_slice()).unwrap();
            let clusters: Vec<Cluster> = mesh
                .clusters
                .iter()
                .map(|bytes| Cluster::decode(bytes.as_slice()).unwrap())
                .collect();
            let assignments: Vec<ClusterLoadAssignment> = mesh
                .assignments
                .iter()
                .map(|bytes| ClusterLoadAssignment::decode(bytes.as_slice()).unwrap())
                .collect();
            (listener, routes, clusters, assignments)
        });
}

/// With the audit for what is newer than our types, and the checks of what Envoy refuses.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn decode_with_amesh(bencher: Bencher<'_, '_>, services: usize) {
    let mesh = mesh::mesh(services, ENDPOINTS);
    bencher
        .counter(divan::counter::BytesCount::new(mesh.len()))
        .bench_local(|| resources(&mesh));
}

#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn index(bencher: Bencher<'_, '_>, services: usize) {
    let resources = resources(&mesh::mesh(services, ENDPOINTS));
    bencher
        .with_inputs(|| resources.clone())
        .bench_local_values(Snapshot::from_resources);
}

#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn translate_and_plan(bencher: Bencher<'_, '_>, services: usize) {
    translated(bencher, services, Target::Native);
}

/// For an APISIX with the Lua package.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn translate_and_plan_with_package(bencher: Bencher<'_, '_>, services: usize) {
    translated(bencher, services, Target::Amesh);
}

fn translated(bencher: Bencher<'_, '_>, services: usize, target: Target) {
    let snapshot = Snapshot::from_resources(resources(&mesh::mesh(services, ENDPOINTS)));
    let options = options(target);
    bencher.bench_local(|| {
        let translation = translate(&snapshot, &options);
        let changes = plan(&Objects::new(), translation.objects());
        (translation, changes)
    });
}

#[divan::bench(args = SIZES, sample_count = 100, sample_size = 1)]
fn one_endpoint(bencher: Bencher<'_, '_>, services: usize) {
    let mut snapshot = Snapshot::from_resources(resources(&mesh::mesh(services, ENDPOINTS)));
    let mut translation = translate(&snapshot, &options(Target::Native));
    let mut generation = 0;
    bencher.bench_local(|| {
        generation += 1;
        let bytes = mesh::assignment(services / 2, ENDPOINTS, generation).encode_to_vec();
        let resource = decode("envoy.config.endpoint.v3.ClusterLoadAssignment", &bytes).unwrap();
        let dirty = snapshot.apply(Update {
            put: vec![resource],
            removed: Vec::new(),
        });
        let changes = translation.update(&snapshot, &dirty);
        assert_eq!(changes.changes.changes.len(), 1);
        changes
    });
}
