//! Envoy's way from a connection and a request to a cluster, as `1.40` was seen to go it.

mod host;
mod matcher;
mod print;

use std::collections::{BTreeMap, BTreeSet};
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
pub(crate) use print::text;

use super::answer::{Answer, Outcome};
use super::request::Request;

/// What an Envoy was told.
#[derive(Clone)]
pub(crate) struct Envoy {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) routes: Vec<RouteConfiguration>,
    /// The endpoints of the clusters that exist.
    pub(crate) clusters: BTreeMap<String, BTreeSet<String>>,
}

impl Envoy {
    /// What becomes of requests that arrive at `to`. Nobody listening there is a 404 too: no route takes them.
    pub(crate) fn answer(&self, to: SocketAddr, request: &Request) -> Answer {
        let mut shares = Vec::new();
        let mut rest = 1.0;
        for (route, fraction) in self
            .routes_at(to)
            .into_iter()
            .flat_map(|routes| taking(routes, request))
        {
            let taken = rest * fraction;
            rest -= taken;
            shares.extend(
                self.act(route)
                    .0
                    .into_iter()
                    .map(|(outcome, share)| (outcome, share * taken)),
            );
        }
        shares.push((Outcome::Status(404), rest));
        Answer::of(shares)
    }

    /// What a route does with a request.
    fn act(&self, route: &Route) -> Answer {
        match route.action.as_ref().expect("a route has an action") {
            Action::Route(action) => match action.cluster_specifier.as_ref().expect("an action has a cluster") {
                ClusterSpecifier::Cluster(name) => Answer::of([(self.cluster(name), 1.0)]),
                ClusterSpecifier::WeightedClusters(weighted) => Answer::of(weighted.clusters.iter().map(|member| {
                    let weight = member.weight.map_or(0, |weight| weight.value);
                    (self.cluster(&member.name), f64::from(weight))
                })),
                other => panic!("not modelled: {other:?}"),
            },
            Action::DirectResponse(response) => {
                Answer::status(u16::try_from(response.status).expect("a status has three digits"))
            }
            other => panic!("not modelled: {other:?}"),
        }
    }

    /// The route that takes a request that arrives at `to`.
    pub(crate) fn route(&self, to: SocketAddr, request: &Request) -> Option<&Route> {
        route(self.routes_at(to)?, request)
    }

    /// A cluster that is not known is a 503, and so is one without endpoints.
    fn cluster(&self, name: &str) -> Outcome {
        self.clusters.get(name).map_or(Outcome::Status(503), Outcome::to)
    }

    /// The routes of the listener that takes connections to `to`: one bound to exactly that address comes before one
    /// bound to any address.
    pub(crate) fn routes_at(&self, to: SocketAddr) -> Option<&RouteConfiguration> {
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

/// The route that takes a request.
pub(crate) fn route<'a>(routes: &'a RouteConfiguration, request: &Request) -> Option<&'a Route> {
    let (route, fraction) = taking(routes, request).next()?;
    assert!(fraction >= 1.0, "a fraction of requests: {route:?}");
    Some(route)
}

/// The matching routes, in order, of the virtual host that the Host header chooses, each with the fraction that it takes of
/// the requests that come to it; all after the first that takes all are never asked. Where that virtual host has no match,
/// no other is tried (SEM-P07, SEM-P08).
fn taking<'a>(routes: &'a RouteConfiguration, request: &Request) -> impl Iterator<Item = (&'a Route, f64)> {
    let authority = request.authority.to_ascii_lowercase();
    let name = if routes.ignore_port_in_host_matching {
        host::without_port(&authority)
    } else {
        &authority
    };
    let host = host::choose(&routes.virtual_hosts, name);
    host.into_iter().flat_map(|host| &host.routes).filter_map(move |route| {
        let conditions = route.r#match.as_ref().expect("a route has a match");
        let fraction = matcher::fraction(conditions);
        (fraction > 0.0 && matcher::matches(conditions, request)).then_some((route, fraction))
    })
}
