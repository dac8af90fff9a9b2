//! Which secrets and extensions a resource takes, and from where.

use std::collections::BTreeSet;

use amesh_core::ResourceType;
use amesh_core::decode::Body;
use amesh_core::finding::ResourceName;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::grpc_service::TargetSpecifier;
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

/// Where a secret or extension is taken from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// The control plane that the resource itself came from.
    ControlPlane,
    /// A server of SDS, by the name of its cluster.
    Sds(String),
}

/// A secret or extension that a resource takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) source: Source,
    pub(super) name: ResourceName,
}

/// The names found so far, and the servers of SDS that are of interest.
struct Names<'a> {
    sds: &'a BTreeSet<String>,
    found: BTreeSet<Reference>,
}

/// What a resource takes from the control plane and from these servers of SDS. What cannot be read takes nothing.
pub(super) fn of(body: &Body, sds: &BTreeSet<String>) -> BTreeSet<Reference> {
    let mut names = Names {
        sds,
        found: BTreeSet::new(),
    };
    match body {
        Body::Listener(listener) => of_listener(listener, &mut names),
        Body::Cluster(cluster) => of_cluster(cluster, &mut names),
        Body::RouteConfiguration(_)
        | Body::ClusterLoadAssignment(_)
        | Body::Secret(_)
        | Body::TypedExtensionConfig(_) => {}
    }
    names.found
}

fn of_cluster(cluster: &Cluster, names: &mut Names<'_>) {
    let matches = cluster.transport_socket_matches.iter();
    let sockets = matches.filter_map(|entry| entry.transport_socket.as_ref());
    for socket in sockets.chain(&cluster.transport_socket) {
        of_socket(socket, names);
    }
}

fn of_listener(listener: &Listener, names: &mut Names<'_>) {
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

fn of_socket(socket: &TransportSocket, names: &mut Names<'_>) {
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

fn of_tls(context: Option<&CommonTlsContext>, names: &mut Names<'_>) {
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

fn secret(config: &SdsSecretConfig, names: &mut Names<'_>) {
    let source = config
        .sds_config
        .as_ref()
        .and_then(|source| source_of(source, names.sds));
    if let Some(source) = source {
        names.found.insert(Reference {
            source,
            name: ResourceName {
                kind: ResourceType::Secret,
                name: config.name.clone(),
            },
        });
    }
}

fn extension(name: &str, config: &ExtensionConfigSource, names: &mut Names<'_>) {
    let source = config.config_source.as_ref();
    if let Some(source @ Source::ControlPlane) = source.and_then(|source| source_of(source, names.sds)) {
        names.found.insert(Reference {
            source,
            name: ResourceName {
                kind: ResourceType::TypedExtensionConfig,
                name: name.to_owned(),
            },
        });
    }
}

fn source_of(source: &ConfigSource, sds: &BTreeSet<String>) -> Option<Source> {
    match &source.config_source_specifier {
        Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)) => Some(Source::ControlPlane),
        Some(ConfigSourceSpecifier::ApiConfigSource(api)) if !sds.is_empty() => {
            let clusters = api
                .grpc_services
                .iter()
                .filter_map(|service| match &service.target_specifier {
                    Some(TargetSpecifier::EnvoyGrpc(envoy)) => Some(&envoy.cluster_name),
                    _ => None,
                });
            let mut known = clusters.filter(|cluster| sds.contains(*cluster));
            known.next().cloned().map(Source::Sds)
        }
        _ => None,
    }
}

fn read<T: Message + Name + Default>(config: &Any) -> Option<T> {
    let is_it = config.type_url.rsplit('/').next() == Some(T::full_name().as_str());
    is_it.then(|| T::decode(config.value.as_slice()).ok()).flatten()
}
