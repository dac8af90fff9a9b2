//! Clusters become upstreams.
use crate::apisix::*;
use crate::finding::Findings;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
pub(crate) fn upstream(
    cluster: &Cluster,
    _assignment: Option<&ClusterLoadAssignment>,
    _c: &Findings,
    _a: &Findings,
) -> Upstream {
    no_nodes(&cluster.name)
}
pub(crate) fn no_nodes(name: &str) -> Upstream {
    Upstream {
        id: Id::of(name),
        name: Some(name.chars().take(256).collect()),
        balancer: Balancer::RoundRobin,
        scheme: Scheme::Http,
        pass_host: PassHost::Pass,
        nodes: Vec::new(),
        timeout: None,
        retries: None,
        keepalive_pool: None,
        checks: None,
    }
}
