//! Makes of what istiod sends something that an Envoy without Istio's own extensions takes, and that leads to workloads of
//! this machine.
//!
//! Both sides get the same, but for two things. The addresses of listeners: each side has its own. And Envoy's routes name
//! themselves in their answers.

use std::collections::BTreeMap;
use std::net::TcpListener;

use amesh_core::decode::Body;
use amesh_core::{Arrival, Resource, ResourceType};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use prost::Message as _;

use crate::echo;
use crate::strip::{at, bind, bound_to, is_envoys, listener, marked};

/// A resource as a control plane serves it.
pub(crate) type Served = (ResourceType, String, Vec<u8>);

/// A listener that both proxies have.
pub(crate) struct Door {
    /// Its name.
    pub(crate) listener: String,
    /// The port that istiod gave it.
    pub(crate) meant: u16,
    /// The port that both proxies listen on: Envoy on 127.0.0.2, APISIX on 127.0.0.1.
    pub(crate) port: u16,
    /// The name of its route configuration.
    pub(crate) routes: String,
}

/// What both proxies are told.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) envoy: Vec<Served>,
    pub(crate) apisix: Vec<Served>,
    pub(crate) doors: Vec<Door>,
    pub(crate) routes: BTreeMap<String, RouteConfiguration>,
}

impl World {
    pub(crate) fn new(resources: Vec<Resource>, arrival: Arrival) -> Self {
        let mut world = Self::default();
        let mut ports = BTreeMap::new();
        // Endpoints need the port of the workload of their cluster.
        for resource in &resources {
            if let Body::Cluster(cluster) = &resource.body {
                let eds = cluster.eds_cluster_config.as_ref();
                let service = eds.map(|eds| eds.service_name.as_str()).filter(|name| !name.is_empty());
                let port = echo::start(&cluster.name);
                ports.insert(cluster.name.clone(), port);
                ports.insert(service.unwrap_or(&cluster.name).to_owned(), port);
            }
        }
        for Resource { name, body, .. } in resources {
            let kind = body.kind();
            let mut both = |bytes: Vec<u8>| {
                world.envoy.push((kind, name.clone(), bytes.clone()));
                world.apisix.push((kind, name.clone(), bytes));
            };
            match body {
                Body::Cluster(found) => both(cluster((*found).clone(), ports[&name]).encode_to_vec()),
                Body::ClusterLoadAssignment(found) => {
                    let mut found = (*found).clone();
                    if let Some(port) = ports.get(&name) {
                        lead_to(&mut found, *port);
                    }
                    both(found.encode_to_vec());
                }
                Body::RouteConfiguration(found) => {
                    world.apisix.push((kind, name.clone(), found.encode_to_vec()));
                    world.envoy.push((kind, name.clone(), marked(&found).encode_to_vec()));
                    world.routes.insert(name, (*found).clone());
                }
                Body::Listener(found) => {
                    let Some((mut found, RouteSpecifier::Rds(routes))) = listener((*found).clone()) else {
                        continue;
                    };
                    let meant = bound_to(&found);
                    let port = free_port();
                    bind(&mut found, "127.0.0.2", port);
                    world.envoy.push((kind, name.clone(), found.encode_to_vec()));
                    bind(
                        &mut found,
                        "0.0.0.0",
                        if arrival == Arrival::Host { meant } else { port },
                    );
                    world.apisix.push((kind, name.clone(), found.encode_to_vec()));
                    world.doors.push(Door {
                        listener: name,
                        meant,
                        port,
                        routes: routes.route_config_name,
                    });
                }
                // No listener that is left asks for one.
                Body::Secret(_) | Body::TypedExtensionConfig(_) => {}
            }
        }
        world
    }
}

/// A cluster whose workload is on this machine and speaks HTTP/1.1 in plain text.
fn cluster(mut cluster: Cluster, port: u16) -> Cluster {
    cluster.filters.retain(|filter| is_envoys(filter.typed_config.as_ref()));
    cluster.transport_socket = None;
    cluster.transport_socket_matches.clear();
    cluster.typed_extension_protocol_options.clear();
    cluster.upstream_bind_config = None;
    if let Some(endpoints) = &mut cluster.load_assignment {
        lead_to(endpoints, port);
    }
    // Where the client meant to go is not known here: nothing is redirected.
    let original = ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into());
    if cluster.cluster_discovery_type == Some(original) {
        cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into()));
        cluster.set_lb_policy(LbPolicy::RoundRobin);
        cluster.cleanup_interval = None;
        cluster.lb_config = None;
        let mut endpoints = ClusterLoadAssignment {
            cluster_name: cluster.name.clone(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: vec![LbEndpoint {
                    host_identifier: Some(HostIdentifier::Endpoint(Endpoint::default())),
                    ..LbEndpoint::default()
                }],
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        };
        lead_to(&mut endpoints, port);
        cluster.load_assignment = Some(endpoints);
    }
    cluster
}

/// Every endpoint gets an address of its own on this machine, with the port of the workload.
fn lead_to(assignment: &mut ClusterLoadAssignment, port: u16) {
    let endpoints = assignment
        .endpoints
        .iter_mut()
        .flat_map(|locality| &mut locality.lb_endpoints);
    for (number, endpoint) in endpoints.enumerate() {
        if let Some(HostIdentifier::Endpoint(endpoint)) = &mut endpoint.host_identifier {
            let (high, low) = (number / 250, number % 250 + 1);
            endpoint.address = Some(at(&format!("127.0.{}.{low}", high + 1), port));
            endpoint.hostname = String::new();
            endpoint.additional_addresses.clear();
        }
    }
}

/// A port that is free on both addresses.
fn free_port() -> u16 {
    loop {
        let first = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = first.local_addr().expect("an address").port();
        if TcpListener::bind(("127.0.0.2", port)).is_ok() {
            return port;
        }
    }
}
