//! Which secrets and extensions a resource takes from the control plane that it came from.
//!
//! What names another source, as the workload certificates that Istio's agent serves do, is not asked for here.

use std::collections::BTreeSet;

use amesh_core::ResourceType;
use amesh_core::decode::Body;
use amesh_core::finding::ResourceName;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType as SocketConfig;
use envoy_types::pb::envoy::config::core::v3::{ConfigSource, ExtensionConfigSource, TransportSocket};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::config::listener::v3::listener_filter::ConfigType as ListenerFilterConfig;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as HttpFilterConfig;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::SessionTicketKeysType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, UpstreamTlsContext,
};
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

/// The names that a resource mentions. What cannot be read mentions nothing.
pub(super) fn of(body: &Body) -> BTreeSet<ResourceName> {
    let mut names = BTreeSet::new();
    match body {
        Body::Listener(listener) => of_listener(listener, &mut names),
        Body::Cluster(cluster) => of_cluster(cluster, &mut names),
        Body::RouteConfiguration(_)
        | Body::ClusterLoadAssignment(_)
        | Body::Secret(_)
        | Body::TypedExtensionConfig(_) => {}
    }
    names
}

fn of_cluster(cluster: &Cluster, names: &mut BTreeSet<ResourceName>) {
    let matches = cluster.transport_socket_matches.iter();
    let sockets = matches.filter_map(|entry| entry.transport_socket.as_ref());
    for socket in sockets.chain(&cluster.transport_socket) {
        of_socket(socket, names);
    }
}

fn of_listener(listener: &Listener, names: &mut BTreeSet<ResourceName>) {
    for filter in &listener.listener_filters {
        if let Some(ListenerFilterConfig::ConfigDiscovery(source)) = &filter.config_type {
            extension(&filter.name, source, names);
        }
    }
    for chain in listener.filter_chains.iter().chain(&listener.default_filter_chain) {
        if let Some(socket) = &chain.transport_socket {
            of_socket(socket, names);
        }
        for filter in &chain.filters {
            match &filter.config_type {
                Some(FilterConfig::ConfigDiscovery(source)) => extension(&filter.name, source, names),
                Some(FilterConfig::TypedConfig(config)) => {
                    for filter in read::<HttpConnectionManager>(config)
                        .iter()
                        .flat_map(|manager| &manager.http_filters)
                    {
                        if let Some(HttpFilterConfig::ConfigDiscovery(source)) = &filter.config_type {
                            extension(&filter.name, source, names);
                        }
                    }
                }
                None => {}
            }
        }
    }
}

fn of_socket(socket: &TransportSocket, names: &mut BTreeSet<ResourceName>) {
    let Some(SocketConfig::TypedConfig(config)) = &socket.config_type else {
        return;
    };
    if let Some(context) = read::<UpstreamTlsContext>(config) {
        of_tls(context.common_tls_context.as_ref(), names);
    }
    if let Some(context) = read::<DownstreamTlsContext>(config) {
        of_tls(context.common_tls_context.as_ref(), names);
        if let Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(keys)) = &context.session_ticket_keys_type {
            secret(keys, names);
        }
    }
}

fn of_tls(context: Option<&CommonTlsContext>, names: &mut BTreeSet<ResourceName>) {
    let Some(context) = context else { return };
    for config in &context.tls_certificate_sds_secret_configs {
        secret(config, names);
    }
    match &context.validation_context_type {
        Some(ValidationContextType::ValidationContextSdsSecretConfig(config)) => secret(config, names),
        Some(ValidationContextType::CombinedValidationContext(both)) => {
            if let Some(config) = &both.validation_context_sds_secret_config {
                secret(config, names);
            }
        }
        _ => {}
    }
}

fn secret(config: &SdsSecretConfig, names: &mut BTreeSet<ResourceName>) {
    if config.sds_config.as_ref().is_some_and(is_from_here) {
        names.insert(ResourceName {
            kind: ResourceType::Secret,
            name: config.name.clone(),
        });
    }
}

fn extension(name: &str, source: &ExtensionConfigSource, names: &mut BTreeSet<ResourceName>) {
    if source.config_source.as_ref().is_some_and(is_from_here) {
        names.insert(ResourceName {
            kind: ResourceType::TypedExtensionConfig,
            name: name.to_owned(),
        });
    }
}

fn is_from_here(source: &ConfigSource) -> bool {
    matches!(
        source.config_source_specifier,
        Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_))
    )
}

fn read<T: Message + Name + Default>(config: &Any) -> Option<T> {
    let is_it = config.type_url.rsplit('/').next() == Some(T::full_name().as_str());
    is_it.then(|| T::decode(config.value.as_slice()).ok()).flatten()
}
