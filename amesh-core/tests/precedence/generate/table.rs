//! Strategies for listeners, route configurations and clusters that belong together.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use envoy_types::pb::envoy::config::core::v3::{
    Address, RuntimeFractionalPercent, SocketAddress, address, socket_address,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteAction, RouteConfiguration, VirtualHost, WeightedCluster,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
use envoy_types::pb::google::protobuf::{Any, BoolValue, UInt32Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use prost::Name;

use super::routes::route_match;
use crate::model::envoy::Envoy;

/// Host names without wildcards; with ports some stand for themselves and some for nothing, as the flag has it.
pub(crate) const NAMES: &[&str] = &[
    "foo.com",
    "a.foo.com",
    "b.foo.com",
    "a.b.foo.com",
    "c-x.foo.com",
    "foo.org",
    "a.foo.org",
    "a.b.org",
    "Foo.Org",
    "x",
    "x.ns",
    "10.0.0.7",
    "[::1]",
];

const WILDCARDS: &[&str] = &[
    "*.foo.com",
    "*.b.foo.com",
    "*-x.foo.com",
    "*foo.com",
    "*.com",
    "*.FOO.org",
    "foo.*",
    "a.foo.*",
    "a.b.*",
    "a*",
    "10.0.0.*",
];

/// A table.
pub(crate) type Table = Envoy;

/// The ports of the listeners of tables that no real socket takes part in.
pub(crate) const PORTS: [u16; 3] = [80, 8080, 9090];

/// Addresses that redirected connections were meant for.
pub(crate) const DESTINATIONS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8)),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 77)),
];

/// How many clusters have endpoints: enough for more members than APISIX's `traffic-split` takes.
pub(crate) const CLUSTERS: u16 = 26;
/// A cluster that no table defines.
const MISSING: &str = "missing";
/// A cluster without endpoints.
const EMPTY: &str = "empty";

/// The clusters of every table: cluster `cN` has the one endpoint `127.0.0.1:first_port+N`.
pub(crate) fn clusters(first_port: u16) -> BTreeMap<String, BTreeSet<String>> {
    (0..CLUSTERS)
        .map(|n| {
            (
                format!("c{n}"),
                BTreeSet::from([format!("127.0.0.1:{}", first_port + n)]),
            )
        })
        .chain([(EMPTY.to_owned(), BTreeSet::new())])
        .collect()
}

fn cluster_name() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => (0_u16..6).prop_map(|n| format!("c{n}")),
        1 => Just(MISSING.to_owned()),
        1 => Just(EMPTY.to_owned()),
    ]
}

/// As many weights as names.
fn members(
    names: impl Strategy<Value = Vec<String>> + 'static,
    weight: impl Strategy<Value = u32> + Clone + 'static,
) -> BoxedStrategy<(Vec<String>, Vec<u32>)> {
    names
        .prop_flat_map(move |names| {
            let weights = vec(weight.clone(), names.len());
            (Just(names), weights)
        })
        .boxed()
}

fn weighted_clusters() -> impl Strategy<Value = WeightedCluster> {
    let many: Vec<String> = (0..CLUSTERS).map(|n| format!("c{n}")).collect();
    let few = prop_oneof![1 => Just(0_u32), 6 => 1_u32..5, 1 => select(&[50, 100, 1000][..])];
    prop_oneof![
        // A cluster may be a member twice.
        8 => members(vec(cluster_name(), 1..5), few),
        1 => members(subsequence(many, 19..usize::from(CLUSTERS)), 0_u32..5),
    ]
    .prop_map(|(names, mut weights)| {
        // Envoy refuses weights that are all zero.
        if weights.iter().all(|weight| *weight == 0) {
            weights[0] = 1;
        }
        let clusters = names.into_iter().zip(weights).map(|(name, weight)| ClusterWeight {
            name,
            weight: Some(UInt32Value { value: weight }),
            ..ClusterWeight::default()
        });
        WeightedCluster {
            clusters: clusters.collect(),
            ..WeightedCluster::default()
        }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let cluster = prop_oneof![
        6 => cluster_name().prop_map(ClusterSpecifier::Cluster),
        1 => weighted_clusters().prop_map(ClusterSpecifier::WeightedClusters),
    ];
    let route = cluster.prop_map(|cluster| {
        Action::Route(RouteAction {
            cluster_specifier: Some(cluster),
            ..RouteAction::default()
        })
    });
    let direct = select(&[200_u32, 204, 403, 404, 503][..]).prop_map(|status| {
        Action::DirectResponse(DirectResponseAction {
            status,
            ..DirectResponseAction::default()
        })
    });
    prop_oneof![12 => route, 1 => direct]
}

fn domain(ports: [u16; 3]) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(NAMES).prop_map(str::to_owned),
        2 => (select(NAMES), select(ports.to_vec())).prop_map(|(name, port)| format!("{name}:{port}")),
        5 => select(WILDCARDS).prop_map(str::to_owned),
        1 => Just("*".to_owned()),
    ]
}

fn route_configuration(name: String, ports: [u16; 3]) -> impl Strategy<Value = RouteConfiguration> {
    let routes = prop_oneof![1 => Just(Vec::new()), 12 => vec((route_match(NAMES), action()), 1..7)];
    let hosts = vec((vec(domain(ports), 1..4), routes), 1..5);
    (hosts, any::<bool>()).prop_map(move |(hosts, ignore_port)| {
        let mut taken = HashSet::new();
        let hosts = hosts
            .into_iter()
            .enumerate()
            .filter_map(|(host, (mut domains, routes))| {
                // Envoy refuses a domain that is there twice, in whatever case.
                domains.retain(|domain| taken.insert(domain.to_ascii_lowercase()));
                let routes = routes
                    .into_iter()
                    .enumerate()
                    .map(|(index, (conditions, action))| Route {
                        name: format!("{name}.{host}.{index}"),
                        r#match: Some(conditions),
                        action: Some(action),
                        ..Route::default()
                    });
                (!domains.is_empty()).then(|| VirtualHost {
                    name: format!("{name}.{host}"),
                    domains,
                    routes: routes.collect(),
                    ..VirtualHost::default()
                })
            });
        RouteConfiguration {
            virtual_hosts: hosts.collect(),
            name: name.clone(),
            ignore_port_in_host_matching: ignore_port,
            // A static configuration with a missing cluster is refused otherwise.
            validate_clusters: Some(BoolValue { value: false }),
            ..RouteConfiguration::default()
        }
    })
}

/// Tables whose listeners are bound to any address, on different ports; `first_port` is the first of the endpoints.
pub(crate) fn by_port(ports: [u16; 3], first_port: u16) -> impl Strategy<Value = Table> {
    let any_address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let bound = subsequence(ports.to_vec(), 1..=3).prop_map(move |ports| {
        ports
            .into_iter()
            .map(|port| SocketAddr::new(any_address, port))
            .collect()
    });
    table(bound, ports, first_port)
}

/// Tables some of whose listeners are for one of the addresses only.
pub(crate) fn by_destination(ports: [u16; 3], addresses: [IpAddr; 3], first_port: u16) -> impl Strategy<Value = Table> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for port in ports {
        all.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
        all.extend(addresses.map(|ip| SocketAddr::new(ip, port)));
    }
    table(subsequence(all, 1..6), ports, first_port).prop_map(|mut table| {
        // Connections are handed to them by the listener that takes all redirected ones.
        for listener in &mut table.listeners {
            listener.bind_to_port = Some(BoolValue { value: false });
        }
        table
    })
}

/// The same tables, some with a route or two that take only a fraction of their requests.
pub(crate) fn with_fractions(tables: impl Strategy<Value = Table>) -> impl Strategy<Value = Table> {
    let fractions = prop_oneof![3 => Just(Vec::new()), 1 => vec((any::<Index>(), select(&[10, 25, 50, 90][..])), 1..3)];
    (tables, fractions).prop_map(|(mut table, fractions)| {
        for (index, percent) in fractions {
            let hosts = table.routes.iter_mut().flat_map(|routes| &mut routes.virtual_hosts);
            let mut routes: Vec<&mut Route> = hosts.flat_map(|host| &mut host.routes).collect();
            if routes.is_empty() {
                continue;
            }
            let conditions = routes.swap_remove(index.index(routes.len())).r#match.as_mut();
            conditions.expect("a route has a match").runtime_fraction = Some(RuntimeFractionalPercent {
                default_value: Some(FractionalPercent {
                    numerator: percent,
                    denominator: DenominatorType::Hundred.into(),
                }),
                runtime_key: String::new(),
            });
        }
        table
    })
}

fn table(
    bound: impl Strategy<Value = Vec<SocketAddr>>,
    ports: [u16; 3],
    first_port: u16,
) -> impl Strategy<Value = Table> {
    let configurations = (1_usize..=3).prop_flat_map(move |count| {
        (0..count)
            .map(|n| route_configuration(format!("r{n}"), ports))
            .collect::<Vec<_>>()
    });
    // Listeners may share a route configuration.
    (bound, configurations, vec(any::<Index>(), 6)).prop_map(move |(bound, routes, chosen)| {
        let listeners = bound.into_iter().zip(chosen).map(|(address, index)| {
            let routes: &RouteConfiguration = index.get(&routes);
            listener(address, &routes.name)
        });
        Table {
            listeners: listeners.collect(),
            clusters: clusters(first_port),
            routes,
        }
    })
}

/// An `Any` of a message.
pub(crate) fn packed<M: Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// The HTTP filters that every connection manager has.
pub(crate) fn http_filters() -> Vec<HttpFilter> {
    vec![HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(packed(&Router::default()))),
        ..HttpFilter::default()
    }]
}

/// A listener with one connection manager.
pub(crate) fn listener_with(address: SocketAddr, manager: &HttpConnectionManager) -> Listener {
    Listener {
        name: address.to_string().replace(':', "_"),
        address: Some(Address {
            address: Some(address::Address::SocketAddress(SocketAddress {
                address: address.ip().to_string(),
                port_specifier: Some(socket_address::PortSpecifier::PortValue(address.port().into())),
                ..SocketAddress::default()
            })),
        }),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.http_connection_manager".to_owned(),
                config_type: Some(filter::ConfigType::TypedConfig(packed(manager))),
            }],
            ..FilterChain::default()
        }],
        ..Listener::default()
    }
}

fn listener(address: SocketAddr, routes: &str) -> Listener {
    listener_with(
        address,
        &HttpConnectionManager {
            stat_prefix: address.to_string(),
            http_filters: http_filters(),
            route_specifier: Some(RouteSpecifier::Rds(Rds {
                route_config_name: routes.to_owned(),
                ..Rds::default()
            })),
            ..HttpConnectionManager::default()
        },
    )
}
