//! Envoy's way from a connection and a request to a cluster, as `1.40` was seen to go it.

mod host;
mod matcher;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use envoy_types::pb::envoy::config::core::v3::{address, socket_address};
use envoy_types::pb::envoy::config::listener::v3::{Listener, filter};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use prost::Message as _;

pub(crate) use matcher::is_grpc;

use super::answer::{Answer, Endpoints};
use super::request::Request;

/// What an Envoy was told.
#[derive(Debug, Clone)]
pub(crate) struct Envoy {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) routes: Vec<RouteConfiguration>,
    /// The endpoints of the clusters that exist.
    pub(crate) clusters: BTreeMap<String, Endpoints>,
}

impl Envoy {
    /// What becomes of a request that arrives at `to`. Nobody listening there is a 404 too: no route takes it.
    pub(crate) fn answer(&self, to: SocketAddr, request: &Request) -> Answer {
        let Some(route) = self.routes_at(to).and_then(|routes| route(routes, request)) else {
            return Answer::Status(404);
        };
        match route.action.as_ref().expect("a route has an action") {
            Action::Route(action) => match action.cluster_specifier.as_ref().expect("an action has a cluster") {
                ClusterSpecifier::Cluster(name) => Answer::forward([(self.endpoints(name), 1)]),
                ClusterSpecifier::WeightedClusters(weighted) => {
                    Answer::forward(weighted.clusters.iter().map(|member| {
                        let weight = member.weight.map_or(0, |weight| weight.value);
                        (self.endpoints(&member.name), u64::from(weight))
                    }))
                }
                other => panic!("not modelled: {other:?}"),
            },
            Action::DirectResponse(response) => {
                Answer::Status(u16::try_from(response.status).expect("a status has three digits"))
            }
            other => panic!("not modelled: {other:?}"),
        }
    }

    /// The route that takes a request that arrives at `to`.
    pub(crate) fn route(&self, to: SocketAddr, request: &Request) -> Option<&Route> {
        route(self.routes_at(to)?, request)
    }

    /// A cluster that is not known is a 503, and so is one without endpoints.
    fn endpoints(&self, cluster: &str) -> Endpoints {
        self.clusters.get(cluster).cloned().unwrap_or_default()
    }

    /// The routes of the listener that takes connections to `to`: one bound to exactly that address comes before one
    /// bound to any address.
    fn routes_at(&self, to: SocketAddr) -> Option<&RouteConfiguration> {
        let bound = |wanted: &dyn Fn(IpAddr) -> bool| {
            self.listeners.iter().find(|listener| {
                let address = bound_to(listener);
                address.port() == to.port() && wanted(address.ip())
            })
        };
        let listener = bound(&|ip| ip == to.ip()).or_else(|| bound(&|ip| ip.is_unspecified()))?;
        self.routes_of(listener)
    }

    /// The route configuration that a listener names.
    pub(crate) fn routes_of(&self, listener: &Listener) -> Option<&RouteConfiguration> {
        let Some(filter::ConfigType::TypedConfig(any)) = &listener.filter_chains[0].filters[0].config_type else {
            panic!("not modelled: {listener:?}");
        };
        let manager = HttpConnectionManager::decode(any.value.as_slice()).expect("a connection manager");
        match manager.route_specifier.expect("routes") {
            RouteSpecifier::Rds(rds) => self.routes.iter().find(|routes| routes.name == rds.route_config_name),
            other => panic!("not modelled: {other:?}"),
        }
    }
}

/// The address of a listener.
pub(crate) fn bound_to(listener: &Listener) -> SocketAddr {
    let Some(address::Address::SocketAddress(socket)) =
        listener.address.as_ref().and_then(|address| address.address.as_ref())
    else {
        panic!("not modelled: {listener:?}");
    };
    let Some(socket_address::PortSpecifier::PortValue(port)) = socket.port_specifier else {
        panic!("not modelled: {socket:?}");
    };
    SocketAddr::new(
        socket.address.parse().expect("an address"),
        u16::try_from(port).expect("a port"),
    )
}

/// The first matching route of the virtual host that the Host header chooses. Where that virtual host has no match, no
/// other is tried (SEM-P07, SEM-P08).
pub(crate) fn route<'a>(routes: &'a RouteConfiguration, request: &Request) -> Option<&'a Route> {
    let authority = request.authority.to_ascii_lowercase();
    let name = if routes.ignore_port_in_host_matching {
        host::without_port(&authority)
    } else {
        &authority
    };
    host::choose(&routes.virtual_hosts, name)?
        .routes
        .iter()
        .find(|route| matcher::matches(route.r#match.as_ref().expect("a route has a match"), request))
}
