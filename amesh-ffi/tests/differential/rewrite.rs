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
use envoy_types::pb::envoy::config::core::v3::{
    Address, HeaderValue, HeaderValueOption, SocketAddress, address::Address as Place, socket_address::PortSpecifier,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier, http_filter,
};
use envoy_types::pb::google::protobuf::{Any, BoolValue};
use prost::Message as _;

use crate::echo;

/// The header in Envoy's answers that names the route: `virtual_hosts` index and `routes` index.
pub(crate) const ROUTE: &str = "x-differential-route";

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

/// Envoy's own extensions, as opposed to those that only Istio's build of it has.
fn is_envoys(any: Option<&Any>) -> bool {
    any.is_some_and(|any| {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        name.starts_with("envoy.")
    })
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
                    let Some((mut found, routes)) = listener((*found).clone()) else {
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
                        routes,
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

fn at(address: &str, port: u16) -> Address {
    Address {
        address: Some(Place::SocketAddress(SocketAddress {
            address: address.to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(port.into())),
            ..SocketAddress::default()
        })),
    }
}

/// A listener for plain HTTP on all addresses, without what only Istio's Envoy has, and the name of its routes.
fn listener(mut listener: Listener) -> Option<(Listener, String)> {
    let Some(Place::SocketAddress(socket)) = listener.address.as_ref()?.address.as_ref() else {
        return None;
    };
    if socket.address != "0.0.0.0"
        || !listener
            .listener_filters
            .iter()
            .all(|filter| filter.name.ends_with("_inspector"))
    {
        return None;
    }
    let mut routes = None;
    for chain in listener
        .filter_chains
        .iter_mut()
        .chain(&mut listener.default_filter_chain)
    {
        if chain.transport_socket.is_some() {
            return None;
        }
        routes = routes.or(public(chain));
    }
    Some((listener, routes?))
}

/// Takes out what only Istio's Envoy has, and gives the name of the routes.
fn public(chain: &mut FilterChain) -> Option<String> {
    let config = |kind: &ConfigType| match kind {
        ConfigType::TypedConfig(any) => Some(any.clone()),
        ConfigType::ConfigDiscovery(_) => None,
    };
    chain
        .filters
        .retain(|filter| is_envoys(filter.config_type.as_ref().and_then(config).as_ref()));
    let mut routes = None;
    for filter in &mut chain.filters {
        let Some(ConfigType::TypedConfig(any)) = &mut filter.config_type else {
            continue;
        };
        if !any.type_url.ends_with(".HttpConnectionManager") {
            continue;
        }
        let mut manager = HttpConnectionManager::decode(any.value.as_slice()).expect("a connection manager");
        manager.http_filters.retain(|filter| match &filter.config_type {
            Some(http_filter::ConfigType::TypedConfig(any)) => is_envoys(Some(any)),
            _ => false,
        });
        if let Some(RouteSpecifier::Rds(rds)) = &manager.route_specifier {
            routes = Some(rds.route_config_name.clone());
        }
        any.value = manager.encode_to_vec();
    }
    routes
}

fn bound_to(listener: &Listener) -> u16 {
    let address = listener.address.as_ref().and_then(|address| address.address.as_ref());
    let Some(Place::SocketAddress(SocketAddress {
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..
    })) = address
    else {
        panic!("no port: {address:?}");
    };
    u16::try_from(*port).expect("a port")
}

fn bind(listener: &mut Listener, address: &str, port: u16) {
    listener.address = Some(at(address, port));
    // The listeners of a sidecar are not bound: connections are handed over to them.
    #[expect(deprecated, reason = "Istio sends it")]
    {
        listener.deprecated_v1 = None;
    }
    listener.bind_to_port = Some(BoolValue { value: true });
}

/// The same routes, each of which names itself in its answers.
fn marked(routes: &RouteConfiguration) -> RouteConfiguration {
    let mut routes = routes.clone();
    for (number, host) in routes.virtual_hosts.iter_mut().enumerate() {
        for (index, route) in host.routes.iter_mut().enumerate() {
            route.response_headers_to_add.push(HeaderValueOption {
                header: Some(HeaderValue {
                    key: ROUTE.to_owned(),
                    value: format!("{number}.{index}"),
                    ..HeaderValue::default()
                }),
                ..HeaderValueOption::default()
            });
        }
    }
    routes
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
