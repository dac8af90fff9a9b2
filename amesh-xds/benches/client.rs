//! What one change costs the client's consumer, from an update in memory to the changes of APISIX's objects.
//!
//! `cargo bench -p amesh-xds --bench client` prints times and what is allocated. `docs/performance.md` says what is to hold.

#![expect(unreachable_pub, clippy::unwrap_used, reason = "a benchmark is no library")]

#[path = "../../amesh-core/benches/support/mesh.rs"]
#[expect(
    dead_code,
    reason = "here the bytes of responses are counted, not those of resources"
)]
mod mesh;
#[path = "../tests/support/world.rs"]
mod world;

use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use amesh_core::envoy_types::pb::google::protobuf::Duration;
use amesh_core::{Resource, ResourceType, Translation, Update, decode, translate};
use amesh_xds::Replica;
use divan::{AllocProfiler, Bencher};
use mesh::Mesh;
use prost::Message as _;
use world::{World, options, resource};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const ENDPOINTS: usize = 10;

fn main() {
    divan::main();
}

fn put(message: &str, bytes: &[u8]) -> Update {
    Update {
        put: vec![decode(message, bytes).unwrap()],
        removed: Vec::new(),
    }
}

/// A consumer that has a whole mesh.
fn consumer(mesh: &Mesh) -> (Replica, Translation) {
    let mut replica = Replica::new();
    let resources: Vec<Resource> = mesh
        .resources()
        .map(|(message, bytes)| decode(message, bytes).unwrap())
        .collect();
    replica.apply(Update {
        put: resources,
        removed: Vec::new(),
    });
    let translation = translate(replica.snapshot(), &options());
    (replica, translation)
}

/// From an update in memory to the changes of APISIX's objects, of which there are that many.
fn change(bencher: Bencher<'_, '_>, services: usize, changes: usize, mut update: impl FnMut(&Mesh, usize) -> Update) {
    let mesh = mesh::mesh(services, ENDPOINTS);
    let consumer = std::cell::RefCell::new(consumer(&mesh));
    let mut generation = 0;
    bencher
        .with_inputs(|| {
            generation += 1;
            update(&mesh, generation)
        })
        .bench_local_values(|update| {
            let (replica, translation) = &mut *consumer.borrow_mut();
            let (dirty, verdict) = replica.apply(update);
            let given = translation.update(replica.snapshot(), &dirty);
            assert_eq!(given.changes.changes.len(), changes);
            (given, verdict)
        });
}

#[divan::bench(args = SIZES, sample_count = 200, sample_size = 1)]
fn one_endpoint(bencher: Bencher<'_, '_>, services: usize) {
    change(bencher, services, 1, |_, generation| {
        let bytes = mesh::assignment(services / 2, ENDPOINTS, generation).encode_to_vec();
        put("envoy.config.endpoint.v3.ClusterLoadAssignment", &bytes)
    });
}

#[divan::bench(args = SIZES, sample_count = 200, sample_size = 1)]
fn one_cluster(bencher: Bencher<'_, '_>, services: usize) {
    change(bencher, services, 1, |mesh, generation| {
        let mut cluster = Cluster::decode(mesh.clusters[services / 2].as_slice()).unwrap();
        let seconds = i64::try_from(1 + generation % 2).unwrap();
        cluster.connect_timeout = Some(Duration { seconds, nanos: 0 });
        put("envoy.config.cluster.v3.Cluster", &cluster.encode_to_vec())
    });
}

/// All the way: from a response of delta in memory, through the session, to the changes and the acknowledgement.
#[divan::bench(args = SIZES, sample_count = 200, sample_size = 1)]
fn one_response_of_endpoints(bencher: Bencher<'_, '_>, services: usize) {
    let world = std::cell::RefCell::new(World::new(&mesh::mesh(services, ENDPOINTS)));
    let mut generation = 0;
    bencher
        .with_inputs(|| {
            generation += 1;
            let assignment = mesh::assignment(services / 2, ENDPOINTS, generation);
            let (kind, version) = (ResourceType::ClusterLoadAssignment, generation.to_string());
            let resource = resource(&assignment.cluster_name, &version, kind, assignment.encode_to_vec());
            world.borrow_mut().response(kind, vec![resource])
        })
        .bench_local_values(|response| assert_eq!(world.borrow_mut().take(response), (1, 1)));
}

/// All virtual hosts of the mesh are in one route configuration, so this is bounded by its size.
#[divan::bench(args = SIZES, sample_count = 20, sample_size = 1)]
fn one_host_in_its_routes(bencher: Bencher<'_, '_>, services: usize) {
    change(bencher, services, 1, |mesh, generation| {
        let mut routes = RouteConfiguration::decode(mesh.routes.as_slice()).unwrap();
        routes.virtual_hosts[services / 2]
            .domains
            .push(format!("other-{generation}.example"));
        put("envoy.config.route.v3.RouteConfiguration", &routes.encode_to_vec())
    });
}

/// What comes after the first ingestion.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn first_translation(bencher: Bencher<'_, '_>, services: usize) {
    let (replica, _) = consumer(&mesh::mesh(services, ENDPOINTS));
    bencher.bench_local(|| translate(replica.snapshot(), &options()));
}
