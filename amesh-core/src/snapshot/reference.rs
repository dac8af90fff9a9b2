//! Which resources a resource refers to by name.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;

use crate::decode::{Body, ResourceType, extension};
use crate::finding::ResourceName;

/// The names that a resource mentions.
pub(super) fn of(body: &Body) -> BTreeSet<ResourceName> {
    let mut names = BTreeSet::new();
    match body {
        Body::Listener(listener) => of_listener(listener, &mut names),
        Body::RouteConfiguration(config) => of_routes(config, &mut names),
        Body::Cluster(cluster) => names.extend(assignment_of(cluster).map(|name| ResourceName {
            kind: ResourceType::ClusterLoadAssignment,
            name: name.to_owned(),
        })),
        Body::ClusterLoadAssignment(_) | Body::Secret(_) | Body::TypedExtensionConfig(_) => {}
    }
    names
}

/// The name of the load assignment that a cluster discovers its endpoints by.
pub(crate) fn assignment_of(cluster: &Cluster) -> Option<&str> {
    let by_discovery = match &cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => *kind == i32::from(DiscoveryType::Eds),
        Some(ClusterDiscoveryType::ClusterType(_)) | None => false,
    };
    by_discovery.then_some(match &cluster.eds_cluster_config {
        Some(eds) if !eds.service_name.is_empty() => eds.service_name.as_str(),
        _ => cluster.name.as_str(),
    })
}

fn of_listener(listener: &Listener, names: &mut BTreeSet<ResourceName>) {
    let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
    for filter in chains.flat_map(|chain| &chain.filters) {
        let Some(ConfigType::TypedConfig(config)) = &filter.config_type else {
            continue;
        };
        let Some(Ok(manager)) = extension::http_connection_manager(config) else {
            continue;
        };
        match manager.route_specifier {
            Some(RouteSpecifier::Rds(rds)) => {
                names.insert(ResourceName {
                    kind: ResourceType::RouteConfiguration,
                    name: rds.route_config_name,
                });
            }
            Some(RouteSpecifier::RouteConfig(config)) => of_routes(&config, names),
            Some(RouteSpecifier::ScopedRoutes(_)) | None => {}
        }
    }
}

fn of_routes(config: &RouteConfiguration, names: &mut BTreeSet<ResourceName>) {
    let hosts = config.virtual_hosts.iter().map(|host| &host.request_mirror_policies);
    let routes = config.virtual_hosts.iter().flat_map(|host| &host.routes);
    let actions = routes.filter_map(|route| match &route.action {
        Some(Action::Route(action)) => Some(&action.request_mirror_policies),
        _ => None,
    });
    let mirrors = hosts.chain(actions).flatten().chain(&config.request_mirror_policies);
    names.extend(
        mirrors
            .filter(|mirror| !mirror.cluster.is_empty())
            .map(|mirror| ResourceName {
                kind: ResourceType::Cluster,
                name: mirror.cluster.clone(),
            }),
    );
    for route in config.virtual_hosts.iter().flat_map(|host| &host.routes) {
        let Some(Action::Route(action)) = &route.action else {
            continue;
        };
        let mut add = |name: &str| {
            names.insert(ResourceName {
                kind: ResourceType::Cluster,
                name: name.to_owned(),
            });
        };
        match &action.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => add(name),
            Some(ClusterSpecifier::WeightedClusters(list)) => {
                // Members of weight zero get no requests.
                let used = list
                    .clusters
                    .iter()
                    .filter(|member| member.weight.is_some_and(|weight| weight.value > 0));
                used.filter(|member| !member.name.is_empty())
                    .for_each(|member| add(&member.name));
            }
            Some(
                ClusterSpecifier::ClusterHeader(_)
                | ClusterSpecifier::ClusterSpecifierPlugin(_)
                | ClusterSpecifier::InlineClusterSpecifierPlugin(_),
            )
            | None => {}
        }
    }
}
