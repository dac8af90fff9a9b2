//! What holds for every upstream; each field of a cluster has its fixtures.

use envoy_types::pb::envoy::config::cluster::v3::LoadBalancingPolicy;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::google::protobuf::Duration;

use super::*;
use crate::decode::ResourceType;
use crate::translate::Options;

fn translate(cluster: &Cluster) -> Upstream {
    let options = Options::default();
    let findings = Findings::new(&options, ResourceType::Cluster, cluster.name.clone());
    let of_assignment = Findings::new(&options, ResourceType::ClusterLoadAssignment, "");
    upstream(cluster, None, &findings, &of_assignment)
}

#[test]
fn requests_are_sent_once_and_not_timed() {
    let upstream = translate(&Cluster::default());
    assert_eq!(upstream.retries, Some(0));
    let timeout = upstream.timeout.unwrap();
    assert!((timeout.connect - 5.0).abs() < f64::EPSILON);
    assert!((timeout.read - 86_400.0).abs() < f64::EPSILON && (timeout.send - 86_400.0).abs() < f64::EPSILON);
    assert_eq!(upstream.nodes, []);
}

#[test]
fn a_name_longer_than_apisix_takes_is_cut_between_characters() {
    let named = |name: String| {
        translate(&Cluster {
            name,
            ..Cluster::default()
        })
    };
    let upstream = named("é".repeat(300));
    assert_eq!(upstream.name.unwrap().chars().count(), LONGEST_NAME);
    assert_ne!(upstream.id, named("é".repeat(301)).id);
    assert_eq!(named("x".repeat(LONGEST_NAME)).name.unwrap().len(), LONGEST_NAME);
}

#[test]
fn a_route_learns_the_connect_timeout_and_whether_hashes_count() {
    let mut cluster = Cluster {
        connect_timeout: Some(Duration { seconds: 10, nanos: 0 }),
        lb_policy: LbPolicy::Maglev.into(),
        ..Cluster::default()
    };
    let expected = ClusterSummary {
        connect_timeout: 10.0,
        consistent_hash: true,
    };
    assert_eq!(summary(&cluster), expected);
    cluster.load_balancing_policy = Some(LoadBalancingPolicy::default());
    assert!(!summary(&cluster).consistent_hash);
}

#[test]
fn only_discovered_endpoints_have_a_name() {
    let mut cluster = Cluster {
        name: "reviews".to_owned(),
        eds_cluster_config: Some(EdsClusterConfig::default()),
        ..Cluster::default()
    };
    assert_eq!(assignment_name(&cluster), None);
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
    assert_eq!(assignment_name(&cluster), Some("reviews"));
    cluster.eds_cluster_config.as_mut().unwrap().service_name = "elsewhere".to_owned();
    assert_eq!(assignment_name(&cluster), Some("elsewhere"));
}
