//! Which secrets are taken from where, and one replica for all that comes.

use std::collections::BTreeSet;

use amesh_core::decode::Body;
use amesh_core::finding::ResourceName;
use amesh_core::{Resource, ResourceType, Update, decode};
use amesh_xds::Replica;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::api_config_source::ApiType;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{
    AggregatedConfigSource, ApiConfigSource, ConfigSource, GrpcService, TransportSocket,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, SdsSecretConfig, Secret, UpstreamTlsContext,
};
use envoy_types::pb::google::protobuf::Any;
use prost::{Message as _, Name as _};

/// A server of SDS, or the control plane itself.
fn source(cluster: Option<&str>) -> ConfigSource {
    let specifier = match cluster {
        None => ConfigSourceSpecifier::Ads(AggregatedConfigSource::default()),
        Some(cluster) => ConfigSourceSpecifier::ApiConfigSource(ApiConfigSource {
            api_type: ApiType::Grpc.into(),
            grpc_services: vec![GrpcService {
                target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                    cluster_name: cluster.to_owned(),
                    ..EnvoyGrpc::default()
                })),
                ..GrpcService::default()
            }],
            ..ApiConfigSource::default()
        }),
    };
    ConfigSource {
        config_source_specifier: Some(specifier),
        ..ConfigSource::default()
    }
}

fn take(name: &str, from: Option<&str>) -> SdsSecretConfig {
    SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(source(from)),
    }
}

/// A cluster with Istio's mutual TLS.
fn cluster(name: &str, certificate: SdsSecretConfig, roots: SdsSecretConfig) -> Resource {
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: vec![certificate],
            validation_context_type: Some(ValidationContextType::CombinedValidationContext(
                CombinedCertificateValidationContext {
                    validation_context_sds_secret_config: Some(roots),
                    ..CombinedCertificateValidationContext::default()
                },
            )),
            ..CommonTlsContext::default()
        }),
        ..UpstreamTlsContext::default()
    };
    let cluster = Cluster {
        name: name.to_owned(),
        transport_socket: Some(TransportSocket {
            name: "envoy.transport_sockets.tls".to_owned(),
            config_type: Some(ConfigType::TypedConfig(Any {
                type_url: UpstreamTlsContext::type_url(),
                value: context.encode_to_vec(),
            })),
        }),
        ..Cluster::default()
    };
    decode(&Cluster::type_url(), &cluster.encode_to_vec()).expect("a cluster")
}

fn secret(name: &str) -> Resource {
    let secret = Secret {
        name: name.to_owned(),
        ..Secret::default()
    };
    decode(&Secret::type_url(), &secret.encode_to_vec()).expect("a secret")
}

fn put(put: Vec<Resource>) -> Update {
    Update {
        put,
        removed: Vec::new(),
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn named(kind: ResourceType, name: &str) -> ResourceName {
    ResourceName {
        kind,
        name: name.to_owned(),
    }
}

#[test]
fn secrets_of_a_server_of_sds_are_named_and_not_asked_of_the_control_plane() {
    let mut replica = Replica::with_sds(["sds-grpc"]);
    let agent = Some("sds-grpc");
    let (_, verdict) = replica.apply(put(vec![
        cluster("a", take("default", agent), take("ROOTCA", agent)),
        cluster("b", take("default", agent), take("file-root:system", agent)),
        cluster(
            "c",
            take("kubernetes://c", None),
            take("elsewhere", Some("another-server")),
        ),
    ]));
    assert_eq!(
        replica.secrets_from("sds-grpc"),
        set(&["default", "ROOTCA", "file-root:system"])
    );
    assert_eq!(replica.secrets_from("another-server"), set(&[]));
    assert_eq!(
        verdict.changes.wanted,
        [named(ResourceType::Secret, "kubernetes://c")].into()
    );

    // The last one that takes it counts.
    let removed = vec![named(ResourceType::Cluster, "b")];
    let (_, verdict) = replica.apply(Update {
        put: Vec::new(),
        removed,
    });
    assert_eq!(replica.secrets_from("sds-grpc"), set(&["default", "ROOTCA"]));
    assert!(verdict.changes.unwanted.is_empty());
}

#[test]
fn nothing_is_noted_of_servers_that_nobody_follows() {
    let mut replica = Replica::new();
    let agent = Some("sds-grpc");
    let (_, verdict) = replica.apply(put(vec![cluster("a", take("default", agent), take("ROOTCA", agent))]));
    assert_eq!(replica.secrets_from("sds-grpc"), set(&[]));
    assert!(verdict.changes.wanted.is_empty());
}

#[test]
fn what_comes_from_elsewhere_stays_whatever_the_control_plane_does() {
    let mut replica = Replica::with_sds(["sds-grpc"]);
    let agent = Some("sds-grpc");
    // The certificate may come first or last.
    let (dirty, verdict) = replica.apply(put(vec![secret("default")]));
    assert_eq!(dirty.changed, [named(ResourceType::Secret, "default")].into());
    assert_eq!(verdict, amesh_xds::session::Verdict::default());
    replica.apply(put(vec![cluster("a", take("default", agent), take("ROOTCA", agent))]));
    replica.apply(put(vec![secret("ROOTCA")]));
    let removed = vec![named(ResourceType::Cluster, "a")];
    replica.apply(Update {
        put: Vec::new(),
        removed,
    });
    let held: Vec<_> = replica.snapshot().resources(ResourceType::Secret).collect();
    assert!(held.iter().all(|held| matches!(held.body, Body::Secret(_))) && held.len() == 2);
}
