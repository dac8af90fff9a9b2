//! Resources to send, and a session with a consumer that accepts everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use amesh_core::ResourceType;
use amesh_core::finding::ResourceName;
use amesh_xds::Replica;
use amesh_xds::session::{Action, Delivery, Event, Options, Protocol, Request, Response, Session, Verdict};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig};
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType as SocketConfig;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiConfigSource, ConfigSource, ExtensionConfigSource, Node, SocketAddress,
    TransportSocket,
};
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as HttpFilterConfig;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, SdsSecretConfig, Secret, UpstreamTlsContext,
};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::{Any, Duration as ProtoDuration, UInt32Value};
use prost::Message as _;

pub(crate) use ResourceType::{
    Cluster as CDS, ClusterLoadAssignment as EDS, Listener as LDS, RouteConfiguration as RDS, Secret as SDS,
    TypedExtensionConfig as ECDS,
};
pub(crate) use amesh_xds::session::Protocol::{Delta, StateOfTheWorld};

pub(crate) const BOTH: [Protocol; 2] = [StateOfTheWorld, Delta];

pub(crate) fn url(kind: ResourceType) -> String {
    format!("type.googleapis.com/{}", kind.message())
}

pub(crate) fn any(kind: ResourceType, message: &impl prost::Message) -> Any {
    Any {
        type_url: url(kind),
        value: message.encode_to_vec(),
    }
}

pub(crate) fn name(kind: ResourceType, name: &str) -> ResourceName {
    ResourceName {
        kind,
        name: name.to_owned(),
    }
}

/// A cluster whose endpoints are discovered by its own name. The mark makes versions differ.
pub(crate) fn cluster(name: &str, mark: u32) -> (String, Any) {
    cluster_of(name, name, mark)
}

/// A cluster whose endpoints are discovered by another name.
pub(crate) fn cluster_of(name: &str, service: &str, mark: u32) -> (String, Any) {
    let message = Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            service_name: service.to_owned(),
            ..EdsClusterConfig::default()
        }),
        per_connection_buffer_limit_bytes: Some(UInt32Value { value: mark }),
        ..Cluster::default()
    };
    (name.to_owned(), any(CDS, &message))
}

/// A cluster that decodes and that Envoy refuses.
pub(crate) fn bad_cluster(name: &str) -> (String, Any) {
    let message = Cluster {
        name: name.to_owned(),
        connect_timeout: Some(ProtoDuration { seconds: 0, nanos: 0 }),
        ..Cluster::default()
    };
    (name.to_owned(), any(CDS, &message))
}

/// A cluster that takes a certificate from the control plane, and another from elsewhere.
pub(crate) fn cluster_with_secret(name: &str, secret: &str) -> (String, Any) {
    let config = |name: &str, source: Option<ConfigSourceSpecifier>| SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(ConfigSource {
            config_source_specifier: source,
            ..ConfigSource::default()
        }),
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: vec![config(
                secret,
                Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
            )],
            validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(config(
                "ROOTCA",
                Some(ConfigSourceSpecifier::ApiConfigSource(ApiConfigSource::default())),
            ))),
            ..CommonTlsContext::default()
        }),
        ..UpstreamTlsContext::default()
    };
    let message = Cluster {
        name: name.to_owned(),
        transport_socket: Some(TransportSocket {
            name: "envoy.transport_sockets.tls".to_owned(),
            config_type: Some(SocketConfig::TypedConfig(Any {
                type_url: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext".to_owned(),
                value: context.encode_to_vec(),
            })),
        }),
        ..Cluster::default()
    };
    (name.to_owned(), any(CDS, &message))
}

/// A listener with an HTTP filter whose configuration is discovered.
pub(crate) fn listener_with_extension(name: &str, filter: &str) -> (String, Any) {
    let manager = HttpConnectionManager {
        stat_prefix: "test".to_owned(),
        route_specifier: Some(RouteSpecifier::RouteConfig(RouteConfiguration::default())),
        http_filters: vec![HttpFilter {
            name: filter.to_owned(),
            config_type: Some(HttpFilterConfig::ConfigDiscovery(ExtensionConfigSource {
                config_source: Some(ConfigSource {
                    config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
                    ..ConfigSource::default()
                }),
                ..ExtensionConfigSource::default()
            })),
            ..HttpFilter::default()
        }],
        ..HttpConnectionManager::default()
    };
    (name.to_owned(), any(LDS, &listener_of(name, &manager)))
}

/// Bytes that are no message.
pub(crate) fn garbage(kind: ResourceType) -> (String, Any) {
    let body = Any {
        type_url: url(kind),
        value: vec![0xff; 7],
    };
    ("garbage".to_owned(), body)
}

/// The endpoints of a cluster, on that port.
pub(crate) fn endpoints(name: &str, port: u32) -> (String, Any) {
    let address = Address {
        address: Some(AddressKind::SocketAddress(SocketAddress {
            address: "10.0.0.1".to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..SocketAddress::default()
        })),
    };
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(address),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    let message = ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![endpoint],
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    };
    (name.to_owned(), any(EDS, &message))
}

pub(crate) fn bad_endpoints(name: &str) -> (String, Any) {
    let message = ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        policy: Some(Policy {
            overprovisioning_factor: Some(UInt32Value { value: 0 }),
            ..Policy::default()
        }),
        ..ClusterLoadAssignment::default()
    };
    (name.to_owned(), any(EDS, &message))
}

/// A listener whose routes are discovered.
pub(crate) fn listener(name: &str, routes: &str) -> (String, Any) {
    let manager = HttpConnectionManager {
        stat_prefix: "test".to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            route_config_name: routes.to_owned(),
            ..Rds::default()
        })),
        ..HttpConnectionManager::default()
    };
    (name.to_owned(), any(LDS, &listener_of(name, &manager)))
}

fn listener_of(name: &str, manager: &HttpConnectionManager) -> Listener {
    let filter = Filter {
        name: "http".to_owned(),
        config_type: Some(ConfigType::TypedConfig(Any {
            type_url:
                "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
                    .to_owned(),
            value: manager.encode_to_vec(),
        })),
    };
    Listener {
        name: name.to_owned(),
        filter_chains: vec![FilterChain {
            filters: vec![filter],
            ..FilterChain::default()
        }],
        ..Listener::default()
    }
}

pub(crate) fn routes(name: &str, domain: &str) -> (String, Any) {
    let message = RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: "host".to_owned(),
            domains: vec![domain.to_owned()],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    };
    (name.to_owned(), any(RDS, &message))
}

pub(crate) fn secret(name: &str) -> (String, Any) {
    let message = Secret {
        name: name.to_owned(),
        ..Secret::default()
    };
    (name.to_owned(), any(SDS, &message))
}

/// A request of either variant, as a test looks at it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) kind: ResourceType,
    pub(crate) nonce: String,
    pub(crate) version: String,
    /// All names in state of the world, new names in delta.
    pub(crate) names: BTreeSet<String>,
    pub(crate) unsubscribe: BTreeSet<String>,
    pub(crate) held: BTreeMap<String, String>,
    pub(crate) error: Option<String>,
    pub(crate) node: Option<Node>,
}

impl From<Request> for Sent {
    fn from(request: Request) -> Self {
        let kind = |url: &str| ResourceType::from_type_url(url).expect("a type that is known");
        match request {
            Request::StateOfTheWorld(request) => Self {
                kind: kind(&request.type_url),
                nonce: request.response_nonce,
                version: request.version_info,
                names: request.resource_names.into_iter().collect(),
                unsubscribe: BTreeSet::new(),
                held: BTreeMap::new(),
                error: request.error_detail.map(|status| status.message),
                node: request.node,
            },
            Request::Delta(request) => Self {
                kind: kind(&request.type_url),
                nonce: request.response_nonce,
                version: String::new(),
                names: request.resource_names_subscribe.into_iter().collect(),
                unsubscribe: request.resource_names_unsubscribe.into_iter().collect(),
                held: request.initial_resource_versions.into_iter().collect(),
                error: request.error_detail.map(|status| status.message),
                node: request.node,
            },
        }
    }
}

pub(crate) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A response of state of the world, or the additions of one of delta.
pub(crate) fn response(
    protocol: Protocol,
    kind: ResourceType,
    version: &str,
    nonce: &str,
    resources: Vec<(String, Any)>,
) -> Response {
    match protocol {
        StateOfTheWorld => Response::StateOfTheWorld(DiscoveryResponse {
            version_info: version.to_owned(),
            nonce: nonce.to_owned(),
            type_url: url(kind),
            resources: resources.into_iter().map(|(_, body)| body).collect(),
            ..DiscoveryResponse::default()
        }),
        Delta => Response::Delta(DeltaDiscoveryResponse {
            system_version_info: version.to_owned(),
            nonce: nonce.to_owned(),
            type_url: url(kind),
            resources: resources
                .into_iter()
                .map(|(name, body)| Resource {
                    name,
                    version: version.to_owned(),
                    resource: Some(body),
                    ..Resource::default()
                })
                .collect(),
            ..DeltaDiscoveryResponse::default()
        }),
    }
}

pub(crate) fn removal(kind: ResourceType, nonce: &str, names: &[&str]) -> Response {
    Response::Delta(DeltaDiscoveryResponse {
        nonce: nonce.to_owned(),
        type_url: url(kind),
        removed_resources: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryResponse::default()
    })
}

/// A session with a consumer that accepts what it gets, unless the test judges itself.
pub(crate) struct Harness {
    pub(crate) protocol: Protocol,
    pub(crate) session: Session,
    pub(crate) replica: Replica,
    /// Whether the test gives the verdicts.
    pub(crate) manual: bool,
    pub(crate) sent: Vec<Sent>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) refusals: Vec<String>,
    pub(crate) absent: Vec<ResourceName>,
}

impl Harness {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self::with(protocol, |_| {})
    }

    pub(crate) fn with(protocol: Protocol, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        options.protocol = protocol;
        "sidecar~10.0.0.1~app.default~default.svc.cluster.local".clone_into(&mut options.node.id);
        change(&mut options);
        Self {
            protocol,
            session: Session::new(options),
            replica: Replica::new(),
            manual: false,
            sent: Vec::new(),
            deliveries: Vec::new(),
            refusals: Vec::new(),
            absent: Vec::new(),
        }
    }

    /// A session that is connected and has these clusters, and listeners, with what they refer to.
    pub(crate) fn ready(protocol: Protocol, clusters: &[&str], listeners: &[&str]) -> Self {
        let mut harness = Self::new(protocol);
        harness.connect();
        let each = |names: &[&str], make: &dyn Fn(&str) -> (String, Any)| names.iter().map(|name| make(name)).collect();
        harness.respond(CDS, "1", "cds-1", each(clusters, &|name| cluster(name, 1)));
        if !clusters.is_empty() {
            harness.respond(EDS, "1", "eds-1", each(clusters, &|name| endpoints(name, 80)));
        }
        harness.respond(LDS, "1", "lds-1", each(listeners, &|name| listener(name, name)));
        if !listeners.is_empty() {
            harness.respond(RDS, "1", "rds-1", each(listeners, &|name| routes(name, "*")));
        }
        harness.take();
        harness.deliveries.clear();
        harness
    }

    pub(crate) fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.session.handle(event) {
                match action {
                    Action::Send(request) => self.sent.push(request.into()),
                    Action::Refused { message, .. } => self.refusals.push(message),
                    Action::Absent(names) => self.absent.extend(names),
                    Action::Deliver(delivery) => {
                        self.deliveries.push(delivery.clone());
                        if !self.manual {
                            let (_, verdict) = self.replica.apply(delivery.update);
                            events.push(Event::Verdict(verdict));
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn connect(&mut self) {
        self.handle(Event::Connected { same_server: true });
    }

    pub(crate) fn reconnect(&mut self) {
        self.handle(Event::Closed);
        self.connect();
    }

    pub(crate) fn respond(&mut self, kind: ResourceType, version: &str, nonce: &str, resources: Vec<(String, Any)>) {
        let response = response(self.protocol, kind, version, nonce, resources);
        self.handle(Event::Response(response));
    }

    /// Accepts the last delivery.
    pub(crate) fn accept(&mut self) {
        let update = self.deliveries.last().expect("a delivery").update.clone();
        let (_, verdict) = self.replica.apply(update);
        self.handle(Event::Verdict(verdict));
    }

    /// Refuses these of the last delivery.
    pub(crate) fn refuse(&mut self, names: &[(&str, &str)]) {
        let delivery = self.deliveries.last().expect("a delivery").clone();
        let mut update = delivery.update;
        update
            .put
            .retain(|resource| names.iter().all(|(name, _)| *name != resource.name));
        let (_, mut verdict) = self.replica.apply(update);
        verdict.rejected = names
            .iter()
            .map(|(refused, why)| (name(delivery.kind, refused), (*why).to_owned()))
            .collect();
        self.handle(Event::Verdict(verdict));
    }

    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        self.handle(Event::Verdict(verdict));
    }

    pub(crate) fn tick(&mut self, seconds: u64) {
        self.handle(Event::Tick(Duration::from_secs(seconds)));
    }

    /// What was sent since the last time.
    pub(crate) fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// The one request that was sent since the last time.
    pub(crate) fn one(&mut self) -> Sent {
        let mut sent = self.take();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    pub(crate) fn last(&self) -> &Delivery {
        self.deliveries.last().expect("a delivery")
    }

    /// The names that the consumer has of a type.
    pub(crate) fn has(&self, kind: ResourceType) -> BTreeSet<String> {
        self.replica
            .snapshot()
            .resources(kind)
            .map(|resource| resource.name.clone())
            .collect()
    }

    /// The resource that the consumer has, as bytes.
    pub(crate) fn bytes(&self, kind: ResourceType, of: &str) -> Option<Vec<u8>> {
        use amesh_core::decode::Body;
        let resource = self.replica.snapshot().get(&name(kind, of))?;
        Some(match &resource.body {
            Body::Listener(message) => message.encode_to_vec(),
            Body::RouteConfiguration(message) => message.encode_to_vec(),
            Body::Cluster(message) => message.encode_to_vec(),
            Body::ClusterLoadAssignment(message) => message.encode_to_vec(),
            Body::Secret(message) => message.encode_to_vec(),
            Body::TypedExtensionConfig(message) => message.encode_to_vec(),
        })
    }
}
