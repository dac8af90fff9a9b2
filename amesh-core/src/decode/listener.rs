//! What Envoy refuses of a listener, and of the HTTP connection managers in it.

use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_filter,
};
use prost::Name as _;

use super::check::{Checked, address, at_most, cidr, not_empty, not_negative, refuse};
use super::{extension, route};
use crate::field_path::Path;

pub(super) fn check(listener: &Listener) -> Checked {
    let at = Path::root();
    if let Some(main) = &listener.address {
        address(main, true, at.field("address"))?;
    }
    let additional = at.field("additional_addresses");
    for (index, other) in listener.additional_addresses.iter().enumerate() {
        if let Some(other) = &other.address {
            address(other, true, additional.index(index).field("address"))?;
        }
    }
    not_negative(
        listener.listener_filters_timeout.as_ref(),
        at.field("listener_filters_timeout"),
    )?;
    let chains = at.field("filter_chains");
    for (index, chain) in listener.filter_chains.iter().enumerate() {
        check_chain(chain, chains.index(index))?;
    }
    match &listener.default_filter_chain {
        Some(chain) => check_chain(chain, at.field("default_filter_chain")),
        None => Ok(()),
    }
}

fn check_chain(chain: &FilterChain, at: Path<'_>) -> Checked {
    if let Some(condition) = &chain.filter_chain_match {
        check_match(condition, at.field("filter_chain_match"))?;
    }
    let filters = at.field("filters");
    for (index, filter) in chain.filters.iter().enumerate() {
        let at = filters.index(index);
        not_empty(&filter.name, at.field("name"))?;
        let Some(ConfigType::TypedConfig(config)) = &filter.config_type else {
            continue;
        };
        // One that is malformed is found with what is unknown.
        if let Some(Ok(manager)) = extension::http_connection_manager(config) {
            check_manager(&manager, at.field("typed_config"))?;
        }
    }
    Ok(())
}

fn check_match(condition: &FilterChainMatch, at: Path<'_>) -> Checked {
    let port = at.field("destination_port");
    at_most(condition.destination_port.as_ref(), 65_535, port)?;
    if condition.destination_port.as_ref().is_some_and(|port| port.value == 0) {
        return refuse(port, "0 is not a port");
    }
    for (ranges, field) in [
        (&condition.prefix_ranges, "prefix_ranges"),
        (&condition.direct_source_prefix_ranges, "direct_source_prefix_ranges"),
        (&condition.source_prefix_ranges, "source_prefix_ranges"),
    ] {
        let at = at.field(field);
        for (index, range) in ranges.iter().enumerate() {
            cidr(range, at.index(index))?;
        }
    }
    let names = at.field("server_names");
    for (index, name) in condition.server_names.iter().enumerate() {
        let rest = name.strip_prefix("*.").unwrap_or(name);
        if rest.contains('*') {
            return refuse(names.index(index), format!("{name:?} has a wildcard inside"));
        }
    }
    Ok(())
}

fn check_manager(manager: &HttpConnectionManager, at: Path<'_>) -> Checked {
    not_empty(&manager.stat_prefix, at.field("stat_prefix"))?;
    for (duration, field) in [
        (&manager.stream_idle_timeout, "stream_idle_timeout"),
        (&manager.request_timeout, "request_timeout"),
        (&manager.request_headers_timeout, "request_headers_timeout"),
        (&manager.drain_timeout, "drain_timeout"),
        (&manager.delayed_close_timeout, "delayed_close_timeout"),
    ] {
        not_negative(duration.as_ref(), at.field(field))?;
    }
    let filters = at.field("http_filters");
    for (index, filter) in manager.http_filters.iter().enumerate() {
        not_empty(&filter.name, filters.index(index).field("name"))?;
        let is_router = matches!(
            &filter.config_type,
            Some(http_filter::ConfigType::TypedConfig(config)) if extension::message_name(config) == Router::full_name()
        );
        if is_router && index + 1 < manager.http_filters.len() {
            return refuse(filters.index(index), "the router must be the last filter");
        }
    }
    match &manager.route_specifier {
        Some(RouteSpecifier::RouteConfig(config)) => route::check(config, at.field("route_config")),
        Some(RouteSpecifier::Rds(_) | RouteSpecifier::ScopedRoutes(_)) => Ok(()),
        None => refuse(at, "no routes"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ResourceType;
    use super::super::check::tests::refused;

    fn chain(text: &str) -> Option<String> {
        refused(
            ResourceType::Listener,
            &format!("name: a\nfilter_chains:\n- {{{text}}}"),
        )
    }

    fn manager(text: &str) -> Option<String> {
        chain(&format!(
            "filters: [{{name: http, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.network.\
             http_connection_manager.v3.HttpConnectionManager, {text}}}}}]"
        ))
    }

    const ROUTER: &str = "{name: r, typed_config: {\"@type\": \
                          type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}";

    #[test]
    fn what_envoy_refuses() {
        for (text, path) in [
            (
                "filter_chain_match: {destination_port: 0}",
                "filter_chains[0].filter_chain_match.destination_port: ",
            ),
            (
                "filter_chain_match: {prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 129}]}",
                "filter_chains[0].filter_chain_match.prefix_ranges[0].prefix_len: ",
            ),
            (
                "filter_chain_match: {server_names: ['a.*.example']}",
                "filter_chains[0].filter_chain_match.server_names[0]: ",
            ),
            ("filters: [{}]", "filter_chains[0].filters[0].name: "),
        ] {
            let refused = chain(text).unwrap_or_else(|| panic!("{text} is taken"));
            assert!(refused.starts_with(path), "{text}: {refused}");
        }
        for (text, path) in [
            ("rds: {}", "stat_prefix: "),
            ("stat_prefix: a", ": no routes"),
            ("stat_prefix: a, rds: {}, request_timeout: -1s", "request_timeout: "),
            (
                &format!("stat_prefix: a, rds: {{}}, http_filters: [{ROUTER}, {ROUTER}]"),
                "http_filters[0]: ",
            ),
            (
                "stat_prefix: a, route_config: {virtual_hosts: [{name: v}]}",
                "route_config.virtual_hosts[0].domains: ",
            ),
        ] {
            let refused = manager(text).unwrap_or_else(|| panic!("{text} is taken"));
            let inner = refused
                .strip_prefix("filter_chains[0].filters[0].typed_config")
                .unwrap_or_else(|| panic!("{text}: {refused}"));
            assert!(inner.trim_start_matches('.').starts_with(path), "{text}: {refused}");
        }
        let address = refused(
            ResourceType::Listener,
            "name: a\naddress: {socket_address: {address: a.example, port_value: 80}}",
        );
        assert!(address.unwrap().starts_with("address.socket_address.address: "));
    }

    #[test]
    fn what_envoy_takes() {
        assert_eq!(manager("stat_prefix: a, rds: {route_config_name: r}"), None);
        assert_eq!(
            manager(&format!("stat_prefix: a, rds: {{}}, http_filters: [{ROUTER}]")),
            None
        );
        assert_eq!(
            chain("filter_chain_match: {server_names: ['*.a.example', b.example]}"),
            None
        );
    }
}
