//! What a case lacks before requests can be sent: listeners around route configurations, clusters that routes name, their
//! endpoints, and routes to clusters.

use std::collections::BTreeSet;

use amesh_core::{Resource, dump};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{RouteAction, RouteConfiguration};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::google::protobuf::Any;
use serde_json::{Value, json};

const ROOT: &str = "type.googleapis.com/envoy.";

/// The port of made endpoints.
pub(crate) const PORT: u16 = 9080;

fn resource(value: &Value) -> Resource {
    let document = json!({"resources": [value]}).to_string();
    let mut dump = dump::read(document.as_bytes()).expect("a dump");
    dump.resources
        .pop()
        .unwrap_or_else(|| panic!("{value}: {:?}", dump.rejected))
}

/// A listener as Istio has them, with the filters that routes configure.
pub(crate) fn listener(routes: &str) -> Resource {
    let filter = |name: &str, message: &str| {
        let config = json!({"@type": format!("{ROOT}extensions.filters.http.{message}")});
        json!({"name": format!("envoy.filters.http.{name}"), "typed_config": config})
    };
    resource(&json!({
        "@type": format!("{ROOT}config.listener.v3.Listener"),
        "name": format!("for {routes}"),
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 80}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": format!("{ROOT}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": "made",
                "rds": {"route_config_name": routes, "config_source": {"ads": {}, "resource_api_version": "V3"}},
                "normalize_path": true,
                "upgrade_configs": [{"upgrade_type": "websocket"}],
                "http_filters": [
                    filter("fault", "fault.v3.HTTPFault"),
                    filter("cors", "cors.v3.Cors"),
                    filter("router", "router.v3.Router"),
                ],
            },
        }]}],
    }))
}

/// Filters end in the one that forwards: fixtures about others leave it out.
pub(crate) fn end(filters: &mut Vec<HttpFilter>) {
    let name = "envoy.extensions.filters.http.router.v3.Router";
    let is_router = |filter: &HttpFilter| match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => any.type_url.ends_with(name),
        _ => false,
    };
    if !filters.iter().any(is_router) {
        filters.push(HttpFilter {
            name: "router".to_owned(),
            config_type: Some(ConfigType::TypedConfig(Any {
                type_url: format!("type.googleapis.com/{name}"),
                value: Vec::new(),
            })),
            ..HttpFilter::default()
        });
    }
}

/// A cluster with one endpoint.
pub(crate) fn cluster(name: &str, address: &str) -> Resource {
    resource(&json!({
        "@type": format!("{ROOT}config.cluster.v3.Cluster"),
        "name": name,
        "type": "STATIC",
        "load_assignment": assignment(name, address),
    }))
}

/// One endpoint of a cluster that is told of endpoints apart.
pub(crate) fn endpoints(name: &str, address: &str) -> Resource {
    let mut value = assignment(name, address);
    value["@type"] = json!(format!("{ROOT}config.endpoint.v3.ClusterLoadAssignment"));
    resource(&value)
}

fn assignment(name: &str, address: &str) -> Value {
    let address = json!({"socket_address": {"address": address, "port_value": PORT}});
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]})
}

/// A route for each cluster, to `/0`, `/1` and so on.
pub(crate) fn routes(clusters: &[String]) -> Resource {
    let route = |(number, name): (usize, &String)| json!({"match": {"path_separated_prefix": format!("/{number}")}, "route": {"cluster": name, "timeout": "0s"}});
    let routes: Vec<Value> = clusters.iter().enumerate().map(route).collect();
    resource(&json!({
        "@type": format!("{ROOT}config.route.v3.RouteConfiguration"),
        "name": "made",
        "virtual_hosts": [{"name": "made", "domains": ["*"], "routes": routes}],
    }))
}

/// The clusters that a route configuration names.
pub(crate) fn named(routes: &RouteConfiguration) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut note = |action: &RouteAction| {
        match &action.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => drop(names.insert(name.clone())),
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                names.extend(weighted.clusters.iter().map(|member| member.name.clone()));
            }
            _ => {}
        }
        let mirrors = &action.request_mirror_policies;
        names.extend(mirrors.iter().map(|mirror| mirror.cluster.clone()));
    };
    for route in routes.virtual_hosts.iter().flat_map(|host| &host.routes) {
        if let Some(Action::Route(action)) = &route.action {
            note(action);
        }
    }
    names.remove("");
    names
}
