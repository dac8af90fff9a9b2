//! A mesh with a host, a route and a cluster of one endpoint for each number, on a control plane of the benchmark's own.

use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use amesh_core::envoy_types::pb::envoy::config::core::v3::address::Address as Kind;
use amesh_core::envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use amesh_core::envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use amesh_core::envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ConfigSource, SocketAddress,
};
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use amesh_core::envoy_types::pb::envoy::config::route::v3::route::Action;
use amesh_core::envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use amesh_core::envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use amesh_core::envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use amesh_core::envoy_types::pb::google::protobuf::Duration;
use amesh_core::{ResourceType, dump};
use prost::Message as _;

use crate::plane::Plane;

/// The listeners that no request comes to have ports from here on.
const ELSEWHERE: usize = 20_000;

/// Where the endpoints of clusters are, or are not.
pub(crate) struct Backends {
    pub(crate) usual: u16,
    pub(crate) other: u16,
}

/// What is changed of the probe.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Endpoint,
    Route,
}

/// A resource that is to be sent.
pub(crate) struct Push(ResourceType, String);

pub(crate) struct Mesh {
    plane: Plane,
    hosts: usize,
    /// How many hosts a route configuration has.
    share: usize,
    backends: Backends,
    pushes: usize,
}

impl Mesh {
    /// A mesh whose probe is served at a port.
    pub(crate) fn start(hosts: usize, share: usize, port: u16, backends: Backends) -> Self {
        let mut mesh = Self {
            plane: Plane::start(),
            hosts,
            share,
            backends,
            pushes: 0,
        };
        mesh.next();
        for number in 0..hosts {
            let name = cluster_name(number);
            mesh.plane
                .put(ResourceType::Cluster, &name, cluster(&name).encode_to_vec());
            mesh.put_endpoint(number, number == mesh.other());
        }
        for at in 0..hosts.div_ceil(share) {
            let reached = at == mesh.probe() / share;
            mesh.put_listener(at, if reached { usize::from(port) } else { ELSEWHERE + at });
            mesh.put_routes(at, false);
        }
        mesh
    }

    pub(crate) fn server(&self) -> &str {
        &self.plane.address
    }

    /// The host that is asked and changed.
    fn probe(&self) -> usize {
        self.hosts / 2
    }

    /// The host whose endpoint is another.
    fn other(&self) -> usize {
        self.probe() + 1
    }

    pub(crate) fn probed_host(&self) -> String {
        format!("h{}.example", self.probe())
    }

    fn next(&mut self) {
        self.pushes += 1;
        self.plane.version(&self.pushes.to_string());
    }

    fn put_endpoint(&self, number: usize, other: bool) {
        let name = cluster_name(number);
        let port = if other {
            self.backends.other
        } else {
            self.backends.usual
        };
        let assignment = assignment(&name, port).encode_to_vec();
        self.plane.put(ResourceType::ClusterLoadAssignment, &name, assignment);
    }

    fn put_listener(&self, at: usize, port: usize) {
        let manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        let router = "envoy.extensions.filters.http.router.v3.Router";
        let yaml = format!(
            r#"
resources:
  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: "0.0.0.0_{port}"
    address: {{socket_address: {{address: 0.0.0.0, port_value: {port}}}}}
    filter_chains:
      - filters:
          - name: hcm
            typed_config:
              "@type": type.googleapis.com/{manager}
              rds: {{route_config_name: "{}", config_source: {{ads: {{}}}}}}
              stream_idle_timeout: 0s
              stat_prefix: s
              http_filters: [{{name: router, typed_config: {{"@type": type.googleapis.com/{router}}}}}]
"#,
            routes_name(at)
        );
        for resource in dump::read(yaml.as_bytes()).expect("a listener").resources {
            self.plane
                .put(resource.body.kind(), &resource.name, resource.body.encode());
        }
    }

    /// The routes of some hosts; `turned`, the probe's lead to the endpoint of another host.
    fn put_routes(&self, at: usize, turned: bool) {
        let numbers = at * self.share..self.hosts.min((at + 1) * self.share);
        let host = |number| match number {
            // Its second route keeps the cluster in use.
            _ if number == self.probe() && turned => host(number, &[("/x", self.other()), ("/", number)]),
            _ if number == self.probe() => host(number, &[("/x", number), ("/", number)]),
            _ => host(number, &[("/", number)]),
        };
        let name = routes_name(at);
        let routes = RouteConfiguration {
            name: name.clone(),
            virtual_hosts: numbers.map(host).collect(),
            ..RouteConfiguration::default()
        };
        self.plane
            .put(ResourceType::RouteConfiguration, &name, routes.encode_to_vec());
    }

    /// The probe's endpoint becomes the other one, or the usual one; or its route leads to the other one, or to the usual
    /// one. What is given is to be sent.
    pub(crate) fn prepare(&mut self, what: Change, other: bool) -> Push {
        self.next();
        match what {
            Change::Endpoint => {
                self.put_endpoint(self.probe(), other);
                Push(ResourceType::ClusterLoadAssignment, cluster_name(self.probe()))
            }
            Change::Route => {
                let at = self.probe() / self.share;
                self.put_routes(at, other);
                Push(ResourceType::RouteConfiguration, routes_name(at))
            }
        }
    }

    pub(crate) fn send(&self, Push(kind, name): &Push) {
        self.plane.push(*kind, &[name]);
    }
}

fn cluster_name(number: usize) -> String {
    format!("c{number}")
}

fn routes_name(at: usize) -> String {
    format!("r{at}")
}

fn cluster(name: &str) -> Cluster {
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource::default());
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ConfigSource {
                config_source_specifier: Some(ads),
                ..ConfigSource::default()
            }),
            service_name: String::new(),
        }),
        connect_timeout: Some(Duration { seconds: 1, nanos: 0 }),
        ..Cluster::default()
    }
}

fn assignment(cluster: &str, port: u16) -> ClusterLoadAssignment {
    let socket = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..SocketAddress::default()
    };
    let endpoint = Endpoint {
        address: Some(Address {
            address: Some(Kind::SocketAddress(socket)),
        }),
        ..Endpoint::default()
    };
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![LbEndpoint {
                host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
                ..LbEndpoint::default()
            }],
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}

fn host(number: usize, routes: &[(&str, usize)]) -> VirtualHost {
    let route = |(prefix, cluster): &(&str, usize)| Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix((*prefix).to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster_name(*cluster))),
            timeout: Some(Duration::default()),
            ..RouteAction::default()
        })),
        ..Route::default()
    };
    VirtualHost {
        name: format!("h{number}"),
        domains: vec![format!("h{number}.example")],
        routes: routes.iter().map(route).collect(),
        ..VirtualHost::default()
    }
}
