//! A whole mesh from a control plane on this machine, and what cannot be avoided: decoding the same bytes with prost.

use amesh_core::ResourceType;
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use amesh_core::envoy_types::pb::envoy::config::listener::v3::Listener;
use amesh_core::envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use amesh_xds::Replica;
use amesh_xds::server::Server;
use amesh_xds::session::{Options, Protocol};
use amesh_xds::stream::{Config, Message, run};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;
use tokio::sync::mpsc;

use crate::mesh::{Mesh, cluster_name};
use crate::plane::Plane;

/// Bytes of resources, with their names.
type Named<'a> = Vec<(String, &'a [u8])>;

fn by_service(bodies: &[Vec<u8>]) -> Named<'_> {
    let bodies = bodies.iter().enumerate();
    bodies
        .map(|(service, body)| (cluster_name(service), body.as_slice()))
        .collect()
}

/// The resources of a mesh by type.
fn resources(mesh: &Mesh) -> [(ResourceType, Named<'_>); 4] {
    let one = |name: &str, body| vec![(name.to_owned(), body)];
    [
        (ResourceType::Cluster, by_service(&mesh.clusters)),
        (ResourceType::ClusterLoadAssignment, by_service(&mesh.assignments)),
        (ResourceType::Listener, one("0.0.0.0_8080", mesh.listener.as_slice())),
        (ResourceType::RouteConfiguration, one("8080", mesh.routes.as_slice())),
    ]
}

/// A control plane that has a mesh.
pub(crate) fn plane_of(mesh: &Mesh) -> Plane {
    let plane = Plane::start();
    fill(&plane, mesh, "1");
    plane
}

/// Gives a control plane a mesh, with all resources at that version.
pub(crate) fn fill(plane: &Plane, mesh: &Mesh, version: &str) {
    plane.version(version);
    for (kind, list) in resources(mesh) {
        for (name, body) in list {
            plane.put(kind, &name, body.to_vec());
        }
    }
}

/// What a control plane says to a new client: URLs of types, and bytes.
pub(crate) fn responses(mesh: &Mesh, protocol: Protocol) -> Vec<(String, Vec<u8>)> {
    let response = |(kind, list): (ResourceType, Named<'_>)| {
        let type_url = format!("type.googleapis.com/{}", kind.message());
        let any = |body: &[u8]| Any {
            type_url: type_url.clone(),
            value: body.to_vec(),
        };
        let bytes = match protocol {
            Protocol::StateOfTheWorld => DiscoveryResponse {
                version_info: "1".to_owned(),
                nonce: type_url.clone(),
                resources: list.iter().map(|(_, body)| any(body)).collect(),
                type_url: type_url.clone(),
                ..DiscoveryResponse::default()
            }
            .encode_to_vec(),
            Protocol::Delta => DeltaDiscoveryResponse {
                nonce: type_url.clone(),
                resources: list
                    .iter()
                    .map(|(name, body)| Resource {
                        name: name.clone(),
                        version: "1".to_owned(),
                        resource: Some(any(body)),
                        ..Resource::default()
                    })
                    .collect(),
                type_url: type_url.clone(),
                ..DeltaDiscoveryResponse::default()
            }
            .encode_to_vec(),
        };
        (type_url, bytes)
    };
    resources(mesh).into_iter().map(response).collect()
}

/// Messages, decoded and nothing else.
#[derive(Default)]
pub(crate) struct Decoded {
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) assignments: Vec<ClusterLoadAssignment>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) routes: Vec<RouteConfiguration>,
}

/// Decodes responses and the resources in them, and keeps these.
pub(crate) fn with_prost(responses: &[(String, Vec<u8>)], protocol: Protocol) -> Decoded {
    let mut decoded = Decoded::default();
    for (_, bytes) in responses {
        let anys: Vec<Any> = match protocol {
            Protocol::StateOfTheWorld => {
                DiscoveryResponse::decode(bytes.as_slice())
                    .expect("a response")
                    .resources
            }
            Protocol::Delta => {
                let response = DeltaDiscoveryResponse::decode(bytes.as_slice()).expect("a response");
                response.resources.into_iter().filter_map(|one| one.resource).collect()
            }
        };
        for Any { type_url, value } in anys {
            let body = value.as_slice();
            match ResourceType::from_type_url(&type_url).expect("a type that is known") {
                ResourceType::Cluster => decoded.clusters.push(Cluster::decode(body).expect("a cluster")),
                ResourceType::ClusterLoadAssignment => {
                    let assignment = ClusterLoadAssignment::decode(body).expect("an assignment");
                    decoded.assignments.push(assignment);
                }
                ResourceType::Listener => decoded.listeners.push(Listener::decode(body).expect("a listener")),
                ResourceType::RouteConfiguration => {
                    decoded.routes.push(RouteConfiguration::decode(body).expect("routes"));
                }
                ResourceType::Secret | ResourceType::TypedExtensionConfig => unreachable!("not in the mesh"),
            }
        }
    }
    decoded
}

/// Connects, and follows the control plane until all is there. Everything of the client runs on this thread.
pub(crate) fn follow(address: &str, protocol: Protocol) -> Replica {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut options = Options::default();
        options.protocol = protocol;
        let server = Server::new(address.parse().expect("an address"));
        let (sender, mut messages) = mpsc::channel(4);
        let (_, changes) = mpsc::channel(1);
        let client = tokio::spawn(run(Config::new(vec![server], options), sender, changes));
        let mut replica = Replica::new();
        loop {
            match messages.recv().await.expect("the client runs") {
                Message::Update(delivery, reply) => {
                    let (_, verdict) = replica.apply(delivery.update);
                    reply.send(verdict);
                }
                Message::Complete => break,
                Message::Disconnected { error, .. } => panic!("no connection: {error:?}"),
                _ => {}
            }
        }
        client.abort();
        replica
    })
}
