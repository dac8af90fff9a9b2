//! A mesh of any size in the shape that istiod sends to a sidecar: one listener and one route configuration for all
//! services of a port, and for each service a cluster with automatic mutual TLS and an assignment with its endpoints.

use std::collections::HashMap;

use amesh_core::envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, TransportSocketMatch,
};
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use amesh_core::envoy_types::pb::envoy::config::core::v3::address::Address as Kind;
use amesh_core::envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use amesh_core::envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use amesh_core::envoy_types::pb::envoy::config::core::v3::{Address, HealthStatus, Metadata, SocketAddress, TransportSocket};
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use amesh_core::envoy_types::pb::envoy::config::listener::v3::filter::ConfigType as FilterConfig;
use amesh_core::envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use amesh_core::envoy_types::pb::envoy::config::route::v3::route::Action;
use amesh_core::envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use amesh_core::envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use amesh_core::envoy_types::pb::envoy::config::route::v3::{
    Decorator, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use amesh_core::envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use amesh_core::envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, Rds};
use amesh_core::envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use amesh_core::envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, SdsSecretConfig, UpstreamTlsContext,
};
use amesh_core::envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use amesh_core::envoy_types::pb::google::protobuf::value::Kind as ValueKind;
use amesh_core::envoy_types::pb::google::protobuf::{Any, Duration, Struct, UInt32Value, Value};
use prost::{Message, Name};

/// A mesh on the wire: the resources of each type, as a response would carry them.
pub struct Mesh {
    pub listener: Vec<u8>,
    pub routes: Vec<u8>,
    pub clusters: Vec<Vec<u8>>,
    pub assignments: Vec<Vec<u8>>,
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

fn text(value: &str) -> Value {
    Value {
        kind: Some(ValueKind::StringValue(value.to_owned())),
    }
}

fn metadata(filter: &str, fields: &[(&str, &str)]) -> Metadata {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), text(value)))
        .collect();
    Metadata {
        filter_metadata: HashMap::from([(filter.to_owned(), Struct { fields })]),
        ..Metadata::default()
    }
}

fn host(service: usize) -> String {
    format!("service-{service}.namespace-{}.svc.cluster.local", service % 50)
}

pub fn cluster_name(service: usize) -> String {
    format!("outbound|8080||{}", host(service))
}

fn socket_address(address: String, port: u32) -> Address {
    let socket = SocketAddress {
        address,
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    Address {
        address: Some(Kind::SocketAddress(socket)),
    }
}

fn cluster(service: usize) -> Cluster {
    let secret = |name: &str| SdsSecretConfig {
        name: name.to_owned(),
        sds_config: None,
    };
    let roots = CombinedCertificateValidationContext {
        validation_context_sds_secret_config: Some(secret("ROOTCA")),
        ..CombinedCertificateValidationContext::default()
    };
    let tls = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: vec!["istio-peer-exchange".to_owned(), "istio".to_owned()],
            tls_certificate_sds_secret_configs: vec![secret("default")],
            validation_context_type: Some(ValidationContextType::CombinedValidationContext(roots)),
            ..CommonTlsContext::default()
        }),
        sni: format!("outbound_.8080_._.{}", host(service)),
        ..UpstreamTlsContext::default()
    };
    let socket = |name: &str, config: Any| TransportSocket {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
    };
    let none = Some(UInt32Value { value: u32::MAX });
    let thresholds = Thresholds {
        max_connections: none,
        max_pending_requests: none,
        max_requests: none,
        max_retries: none,
        ..Thresholds::default()
    };
    Cluster {
        name: cluster_name(service),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig::default()),
        connect_timeout: Some(Duration { seconds: 10, nanos: 0 }),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![thresholds],
            ..CircuitBreakers::default()
        }),
        metadata: Some(metadata("istio", &[("subset", ""), ("default_original_port", "8080")])),
        transport_socket_matches: vec![
            TransportSocketMatch {
                name: "tlsMode-istio".to_owned(),
                r#match: Some(Struct {
                    fields: HashMap::from([("tlsMode".to_owned(), text("istio"))]),
                }),
                transport_socket: Some(socket("envoy.transport_sockets.tls", any(&tls))),
            },
            TransportSocketMatch {
                name: "tlsMode-disabled".to_owned(),
                r#match: Some(Struct::default()),
                transport_socket: Some(socket("envoy.transport_sockets.raw_buffer", any(&RawBuffer::default()))),
            },
        ],
        ..Cluster::default()
    }
}

/// The endpoints of a service; another `generation` has other addresses.
pub fn assignment(service: usize, endpoints: usize, generation: usize) -> ClusterLoadAssignment {
    let endpoint = |index: usize| {
        let number = service * endpoints + index + generation;
        LbEndpoint {
            health_status: HealthStatus::Healthy.into(),
            load_balancing_weight: Some(UInt32Value { value: 1 }),
            metadata: Some(metadata("envoy.transport_socket_match", &[("tlsMode", "istio")])),
            host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                address: Some(socket_address(
                    format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255),
                    8080,
                )),
                ..Endpoint::default()
            })),
        }
    };
    ClusterLoadAssignment {
        cluster_name: cluster_name(service),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: (0..endpoints).map(endpoint).collect(),
            load_balancing_weight: Some(UInt32Value { value: 10 }),
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}

fn virtual_host(service: usize) -> VirtualHost {
    let host = host(service);
    let short = |labels: usize| host.split('.').take(labels).collect::<Vec<_>>().join(".");
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster_name(service))),
        timeout: Some(Duration::default()),
        retry_policy: Some(RetryPolicy {
            retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes".to_owned(),
            num_retries: Some(UInt32Value { value: 2 }),
            ..RetryPolicy::default()
        }),
        ..RouteAction::default()
    };
    VirtualHost {
        name: format!("{host}:8080"),
        domains: vec![
            host.clone(),
            format!("{host}."),
            short(3),
            short(2),
            format!("10.96.{}.{}", service >> 8 & 255, service & 255),
        ],
        routes: vec![Route {
            name: "default".to_owned(),
            r#match: Some(RouteMatch {
                path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
                ..RouteMatch::default()
            }),
            action: Some(Action::Route(action)),
            decorator: Some(Decorator {
                operation: format!("{host}:8080/*"),
                propagate: None,
            }),
            ..Route::default()
        }],
        include_request_attempt_count: true,
        ..VirtualHost::default()
    }
}

/// A mesh on the wire.
pub fn mesh(services: usize, endpoints: usize) -> Mesh {
    let manager = HttpConnectionManager {
        stat_prefix: "outbound_0.0.0.0_8080".to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            route_config_name: "8080".to_owned(),
            config_source: None,
        })),
        ..HttpConnectionManager::default()
    };
    let filter = Filter {
        name: "hcm".to_owned(),
        config_type: Some(FilterConfig::TypedConfig(any(&manager))),
    };
    let listener = Listener {
        name: "0.0.0.0_8080".to_owned(),
        address: Some(socket_address("0.0.0.0".to_owned(), 8080)),
        filter_chains: vec![FilterChain {
            filters: vec![filter],
            ..FilterChain::default()
        }],
        ..Listener::default()
    };
    let routes = RouteConfiguration {
        name: "8080".to_owned(),
        virtual_hosts: (0..services).map(virtual_host).collect(),
        ignore_port_in_host_matching: true,
        ..RouteConfiguration::default()
    };
    Mesh {
        listener: listener.encode_to_vec(),
        routes: routes.encode_to_vec(),
        clusters: (0..services).map(|service| cluster(service).encode_to_vec()).collect(),
        assignments: (0..services)
            .map(|service| assignment(service, endpoints, 0).encode_to_vec())
            .collect(),
    }
}

impl Mesh {
    /// Every resource with the name of its message.
    pub fn resources(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let one = [
            ("envoy.config.listener.v3.Listener", self.listener.as_slice()),
            ("envoy.config.route.v3.RouteConfiguration", self.routes.as_slice()),
        ];
        let clusters = self
            .clusters
            .iter()
            .map(|bytes| ("envoy.config.cluster.v3.Cluster", bytes.as_slice()));
        let assignments = self
            .assignments
            .iter()
            .map(|bytes| ("envoy.config.endpoint.v3.ClusterLoadAssignment", bytes.as_slice()));
        one.into_iter().chain(clusters).chain(assignments)
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.resources().map(|(_, bytes)| bytes.len()).sum()
    }
}
