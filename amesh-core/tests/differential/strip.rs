//! Makes of a listener something that an Envoy without Istio's own extensions takes on a port of this machine.

use envoy_types::pb::envoy::config::core::v3::{
    Address, HeaderValue, HeaderValueOption, SocketAddress, address::Address as Place, socket_address::PortSpecifier,
};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier, http_filter,
};
use envoy_types::pb::google::protobuf::{Any, BoolValue};
use prost::Message as _;

/// The header in Envoy's answers that names the route: `virtual_hosts` index and `routes` index.
pub(crate) const ROUTE: &str = "x-differential-route";

/// Envoy's own extensions, as opposed to those that only Istio's build of it has.
pub(crate) fn is_envoys(any: Option<&Any>) -> bool {
    any.is_some_and(|any| {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        name.starts_with("envoy.")
    })
}

pub(crate) fn at(address: &str, port: u16) -> Address {
    Address {
        address: Some(Place::SocketAddress(SocketAddress {
            address: address.to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(port.into())),
            ..SocketAddress::default()
        })),
    }
}

/// A listener for plain HTTP on all addresses, without what only Istio's Envoy has, and where its routes are.
pub(crate) fn listener(mut listener: Listener) -> Option<(Listener, RouteSpecifier)> {
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
    for chain in listener
        .filter_chains
        .iter_mut()
        .chain(&mut listener.default_filter_chain)
    {
        if chain.transport_socket.is_some() {
            return None;
        }
        chain.filters.retain(|filter| match &filter.config_type {
            Some(ConfigType::TypedConfig(any)) => is_envoys(Some(any)),
            _ => false,
        });
    }
    let mut routes = None;
    managers(&mut listener, |manager| {
        manager.http_filters.retain(|filter| match &filter.config_type {
            Some(http_filter::ConfigType::TypedConfig(any)) => is_envoys(Some(any)),
            _ => false,
        });
        if routes.is_none() {
            routes.clone_from(&manager.route_specifier);
        }
    });
    Some((listener, routes?))
}

/// Whether the filter chains of a listener have more than one list of routes. Which one serves depends on where a connection
/// was redirected from, and none is here.
pub(crate) fn has_many_lists(listener: &mut Listener) -> bool {
    let mut lists: Vec<Option<RouteSpecifier>> = Vec::new();
    managers(listener, |manager| {
        if !lists.contains(&manager.route_specifier) {
            lists.push(manager.route_specifier.clone());
        }
    });
    lists.len() > 1
}

/// Changes each connection manager of a listener.
pub(crate) fn managers(listener: &mut Listener, mut change: impl FnMut(&mut HttpConnectionManager)) {
    let chains = listener
        .filter_chains
        .iter_mut()
        .chain(&mut listener.default_filter_chain);
    for filter in chains.flat_map(|chain| &mut chain.filters) {
        let Some(ConfigType::TypedConfig(any)) = &mut filter.config_type else {
            continue;
        };
        if any.type_url.ends_with(".HttpConnectionManager") {
            let mut manager = HttpConnectionManager::decode(any.value.as_slice()).expect("a connection manager");
            change(&mut manager);
            any.value = manager.encode_to_vec();
        }
    }
}

/// The port that a listener says.
pub(crate) fn bound_to(listener: &Listener) -> u16 {
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

pub(crate) fn bind(listener: &mut Listener, address: &str, port: u16) {
    listener.address = Some(at(address, port));
    // The listeners of a sidecar are not bound: connections are handed over to them.
    #[expect(deprecated, reason = "Istio sends it")]
    {
        listener.deprecated_v1 = None;
    }
    listener.bind_to_port = Some(BoolValue { value: true });
}

/// The same routes, each of which names itself in its answers.
pub(crate) fn marked(routes: &RouteConfiguration) -> RouteConfiguration {
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
