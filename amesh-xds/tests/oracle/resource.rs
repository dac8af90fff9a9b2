//! The resources that the control plane sends: such as a real Envoy takes or refuses.

use amesh_core::dump;
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use amesh_core::envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};
use amesh_core::envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use amesh_core::envoy_types::pb::google::protobuf::{Duration, UInt32Value};
use prost::Message as _;

use crate::plane::Plane;
use crate::{CDS, EDS, LDS, RDS};

/// Puts a resource that is written as YAML.
fn put(plane: &Plane, yaml: &str) {
    let dump = dump::read(yaml.as_bytes()).expect("a resource");
    assert!(dump.rejected.is_empty(), "{:?}", dump.rejected);
    for resource in dump.resources {
        plane.put(resource.body.kind(), &resource.name, resource.body.encode());
    }
}

/// A cluster whose endpoints are discovered by its name.
pub(crate) fn cluster(plane: &Plane, name: &str, seconds: u32) {
    cluster_of(plane, name, name, seconds);
}

/// A cluster whose endpoints are discovered by that name.
pub(crate) fn cluster_of(plane: &Plane, name: &str, service: &str, seconds: u32) {
    put(
        plane,
        &format!(
            "
'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
name: {name}
type: EDS
connect_timeout: {seconds}s
eds_cluster_config: {{service_name: {service}, eds_config: {{ads: {{}}, resource_api_version: V3}}}}
"
        ),
    );
}

/// A cluster that both refuse: a wait of nothing for a connection is none.
pub(crate) fn bad_cluster(plane: &Plane, name: &str) {
    let cluster = Cluster {
        name: name.to_owned(),
        connect_timeout: Some(Duration::default()),
        ..Cluster::default()
    };
    plane.put(CDS, name, cluster.encode_to_vec());
}

pub(crate) fn endpoints(plane: &Plane, name: &str, port: u32) {
    put(
        plane,
        &format!(
            "
'@type': type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
cluster_name: {name}
endpoints:
- lb_endpoints:
  - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}
"
        ),
    );
}

/// Endpoints that both refuse: the factor must not be zero.
pub(crate) fn bad_endpoints(plane: &Plane, name: &str) {
    let endpoints = ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        policy: Some(Policy {
            overprovisioning_factor: Some(UInt32Value { value: 0 }),
            ..Policy::default()
        }),
        ..ClusterLoadAssignment::default()
    };
    plane.put(EDS, name, endpoints.encode_to_vec());
}

pub(crate) fn listener(plane: &Plane, name: &str, routes: &str) {
    put(
        plane,
        &format!(
            "
'@type': type.googleapis.com/envoy.config.listener.v3.Listener
name: {name}
address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
filter_chains:
- filters:
  - name: http
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: {name}
      rds: {{route_config_name: {routes}, config_source: {{ads: {{}}, resource_api_version: V3}}}}
      http_filters:
      - name: router
        typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"
        ),
    );
}

/// A listener that both refuse: its only chain wants a server name with a wildcard inside.
pub(crate) fn bad_listener(plane: &Plane, name: &str) {
    let chain = FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            server_names: vec!["a.*.example".to_owned()],
            ..FilterChainMatch::default()
        }),
        ..FilterChain::default()
    };
    let listener = Listener {
        name: name.to_owned(),
        filter_chains: vec![chain],
        ..Listener::default()
    };
    plane.put(LDS, name, listener.encode_to_vec());
}

pub(crate) fn routes(plane: &Plane, name: &str, cluster: &str) {
    put(
        plane,
        &format!(
            "
'@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration
name: {name}
virtual_hosts:
- name: all
  domains: ['*']
  routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}}}}}]
"
        ),
    );
}

/// Routes that both refuse: a host that two virtual hosts have.
pub(crate) fn bad_routes(plane: &Plane, name: &str) {
    let host = |name: &str| VirtualHost {
        name: name.to_owned(),
        domains: vec!["twice.example".to_owned()],
        ..VirtualHost::default()
    };
    let routes = RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: vec![host("one"), host("other")],
        ..RouteConfiguration::default()
    };
    plane.put(RDS, name, routes.encode_to_vec());
}
