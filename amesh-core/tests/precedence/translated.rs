//! A table as the resources that Istio would send, and what the translator makes of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use amesh_core::apisix::Kind;
use amesh_core::decode::Body;
use amesh_core::{Arrival, Finding, Options, Resource, Snapshot, translate};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig};
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ConfigSource, SocketAddress, address, config_source, socket_address,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};

use crate::generate::table::Table;
use crate::model::apisix::Apisix;
use crate::model::nginx::Connection;
use crate::model::request::Request;

/// What the translator makes of a table: the objects, as APISIX reads them, and what it says about them.
pub(crate) fn translated(table: &Table, arrival: Arrival) -> (Apisix, Vec<Finding>) {
    let mut options = Options::default();
    options.arrival = Some(arrival);
    let translation = translate(&Snapshot::from_resources(resources(table)), &options);
    let mut apisix = Apisix::default();
    for (key, object) in translation.objects() {
        let value = serde_json::to_value(&**object).expect("an object is JSON");
        let objects = match key.kind {
            Kind::Routes => &mut apisix.routes,
            Kind::Upstreams => &mut apisix.upstreams,
        };
        objects.insert(key.id.to_string(), value);
    }
    (apisix, translation.findings().into_iter().cloned().collect())
}

fn resources(table: &Table) -> Vec<Resource> {
    let resource = |name: &str, body| Resource {
        name: name.to_owned(),
        body,
        unknown: Vec::new(),
    };
    let listeners = table
        .listeners
        .iter()
        .map(|listener| resource(&listener.name, Body::Listener(Arc::new(listener.clone()))));
    let routes = table
        .routes
        .iter()
        .map(|routes| resource(&routes.name, Body::RouteConfiguration(Arc::new(routes.clone()))));
    let clusters = table
        .clusters
        .keys()
        .map(|name| resource(name, Body::Cluster(Arc::new(cluster(name)))));
    let assignments = table
        .clusters
        .iter()
        .map(|(name, endpoints)| resource(name, Body::ClusterLoadAssignment(Arc::new(assignment(name, endpoints)))));
    listeners.chain(routes).chain(clusters).chain(assignments).collect()
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ConfigSource {
                config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(
                    AggregatedConfigSource::default(),
                )),
                ..ConfigSource::default()
            }),
            ..EdsClusterConfig::default()
        }),
        ..Cluster::default()
    }
}

fn assignment(name: &str, endpoints: &BTreeSet<String>) -> ClusterLoadAssignment {
    let endpoints: Vec<LbEndpoint> = endpoints
        .iter()
        .map(|endpoint| {
            let endpoint: SocketAddr = endpoint.parse().expect("an endpoint");
            LbEndpoint {
                host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                    address: Some(Address {
                        address: Some(address::Address::SocketAddress(SocketAddress {
                            address: endpoint.ip().to_string(),
                            port_specifier: Some(socket_address::PortSpecifier::PortValue(endpoint.port().into())),
                            ..SocketAddress::default()
                        })),
                    }),
                    ..Endpoint::default()
                })),
                ..LbEndpoint::default()
            }
        })
        .collect();
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: if endpoints.is_empty() {
            Vec::new()
        } else {
            vec![LocalityLbEndpoints {
                lb_endpoints: endpoints,
                ..LocalityLbEndpoints::default()
            }]
        },
        ..ClusterLoadAssignment::default()
    }
}

/// The address at which Envoy would have taken a request: without interception it is the port of the Host header.
pub(crate) fn arrives_at(request: &Request, arrival: Arrival) -> SocketAddr {
    if arrival != Arrival::Host {
        return request.to;
    }
    let port = match request.authority.rsplit_once(':') {
        Some((name, port)) if !name.contains('[') || name.ends_with(']') => port.parse().expect("a port"),
        _ => 80,
    };
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The connection on which a request comes to APISIX: redirected ones end at a port that no listener of Envoy's names.
pub(crate) fn connection(request: &Request, arrival: Arrival) -> Connection {
    let to = match arrival {
        Arrival::Direct => request.to,
        _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15001),
    };
    Connection {
        server_addr: to.ip().to_string(),
        server_port: to.port(),
        original_dst: (arrival == Arrival::Redirect).then(|| request.to.to_string()),
        request_id: "0".repeat(32),
    }
}
