//! What the client costs, in allocations, which no other work on the machine changes: the work for one change does not
//! depend on the size of the mesh, the first ingestion needs no more than twice the memory of decoding alone, and a stream
//! that breaks costs nothing.

#![expect(unreachable_pub, reason = "what benchmarks share with this")]

#[path = "../support/ingest.rs"]
mod ingest;
#[path = "../../../amesh-core/benches/support/mesh.rs"]
#[expect(dead_code, reason = "the bytes of the mesh are not counted here")]
mod mesh;
#[path = "../support/plane.rs"]
#[expect(dead_code, reason = "what is asked is not looked at here")]
mod plane;
mod reconnect;
#[path = "../support/world.rs"]
mod world;

use allocation_counter::{AllocationInfo, measure};
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::google::protobuf::Duration;
use amesh_core::{ResourceType, Update, decode, translate};
use amesh_xds::session::Protocol;
use envoy_types::pb::envoy::service::discovery::v3::Resource;
use mesh::Mesh;
use prost::Message as _;
use world::{World, options, resource};

const ENDPOINTS: usize = 10;

/// What one change allocates, from the response in memory to its changes and acknowledgement.
fn cost_of(services: usize, change: impl Fn(&Mesh, usize) -> (ResourceType, Resource)) -> AllocationInfo {
    let mesh = mesh::mesh(services, ENDPOINTS);
    let mut world = World::new(&mesh);
    let mut costs = Vec::new();
    for generation in 1..=8 {
        let (kind, resource) = change(&mesh, generation);
        let mut done = (0, 0);
        let response = world.response(kind, vec![resource]);
        costs.push(measure(|| done = world.take(response)));
        assert_eq!(done, (1, 1), "one object, and one answer");
    }
    // Nodes of trees split now and then.
    costs.sort_by_key(|cost| cost.bytes_total);
    costs[costs.len() / 2]
}

/// That a change costs the same among few services and among many.
fn is_the_same_for_all_sizes(change: impl Fn(&Mesh, usize) -> (ResourceType, Resource)) {
    let (few, many) = (cost_of(50, &change), cost_of(1_000, &change));
    println!("50 services: {few:?}\n1000 services: {many:?}");
    let limit = |few: u64| few + few / 10;
    assert!(few.count_total > 0, "nothing was counted");
    assert!(many.count_total <= limit(few.count_total), "{few:?}, {many:?}");
    assert!(many.bytes_total <= limit(few.bytes_total), "{few:?}, {many:?}");
    assert!(many.bytes_max <= limit(few.bytes_max), "{few:?}, {many:?}");
}

#[test]
fn one_change_of_endpoints_costs_the_same_in_any_mesh() {
    is_the_same_for_all_sizes(|_, generation| {
        let assignment = mesh::assignment(7, ENDPOINTS, generation);
        let kind = ResourceType::ClusterLoadAssignment;
        let version = format!("g{generation}");
        let bytes = assignment.encode_to_vec();
        (kind, resource(&assignment.cluster_name, &version, kind, bytes))
    });
}

#[test]
fn one_change_of_a_cluster_costs_the_same_in_any_mesh() {
    is_the_same_for_all_sizes(|mesh, generation| {
        let mut cluster = Cluster::decode(mesh.clusters[7].as_slice()).expect("a cluster");
        let seconds = i64::try_from(10 + generation).expect("a small number");
        cluster.connect_timeout = Some(Duration { seconds, nanos: 0 });
        let version = format!("g{generation}");
        let bytes = cluster.encode_to_vec();
        (
            ResourceType::Cluster,
            resource(&cluster.name, &version, ResourceType::Cluster, bytes),
        )
    });
}

#[test]
fn a_change_costs_less_than_what_it_is_part_of() {
    let mesh = mesh::mesh(50, ENDPOINTS);
    let mut world = World::new(&mesh);
    let snapshot = world.replica.snapshot();
    let all = measure(|| drop(translate(snapshot, &options())));
    let update = Update {
        put: vec![
            decode(
                ResourceType::ClusterLoadAssignment.message(),
                &mesh::assignment(7, ENDPOINTS, 1).encode_to_vec(),
            )
            .expect("a resource"),
        ],
        removed: Vec::new(),
    };
    let one = measure(|| {
        let (dirty, _) = world.replica.apply(update);
        world.translation.update(world.replica.snapshot(), &dirty);
    });
    assert!(
        one.count_total > 0 && one.count_total * 20 < all.count_total,
        "{one:?}, {all:?}"
    );
}

#[test]
fn the_first_ingestion_takes_no_more_than_twice_the_memory_of_decoding() {
    let mesh = mesh::mesh(1_000, ENDPOINTS);
    let plane = ingest::plane_of(&mesh);
    for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
        let responses = ingest::responses(&mesh, protocol);
        let mut decoded = None;
        let least = measure(|| decoded = Some(ingest::with_prost(&responses, protocol)));
        let mut replica = None;
        let client = measure(|| replica = Some(ingest::follow(&plane.address, protocol)));
        let (decoded, replica) = (decoded.expect("decoded"), replica.expect("followed"));
        let snapshot = replica.snapshot();
        assert_eq!(decoded.clusters.len(), snapshot.count(ResourceType::Cluster));
        assert_eq!(
            decoded.assignments.len(),
            snapshot.count(ResourceType::ClusterLoadAssignment)
        );
        assert_eq!(decoded.listeners.len(), snapshot.count(ResourceType::Listener));
        assert_eq!(decoded.routes.len(), snapshot.count(ResourceType::RouteConfiguration));
        println!("{protocol:?}: prost {least:?}\nclient {client:?}");
        assert!(
            client.bytes_max <= 2 * least.bytes_max,
            "{protocol:?}: {client:?}, prost alone: {least:?}"
        );
    }
}
