//! What holds for every upstream; each field of a cluster has its fixtures.

use super::*;
use crate::decode::ResourceType;
use crate::finding::ResourceName;
use crate::options::Options;

fn translate(cluster: &Cluster) -> Upstream {
    let options = Options::default();
    let findings = Findings::new(
        &options,
        ResourceName {
            kind: ResourceType::Cluster,
            name: cluster.name.clone(),
        },
        &[],
    );
    let of_assignment = Findings::new(
        &options,
        ResourceName {
            kind: ResourceType::ClusterLoadAssignment,
            name: String::new(),
        },
        &[],
    );
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
