//! Clusters without endpoints of their own, whose requests go where the client's redirected connection was meant for.
//!
//! Istio uses them for traffic to unknown hosts (`PassthroughCluster`), for headless services, and for what a sidecar hands
//! to its own workload. A stock APISIX has no such upstream. Amesh's package has a balancer that reads the address of the
//! connection; APISIX asks a balancer only where there are nodes to choose from, so the upstream has two that nobody has.

use envoy_types::pb::envoy::config::cluster::v3::cluster::{LbConfig, OriginalDstLbConfig};

use crate::apisix::Balancer;
use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::endpoint::Chosen;

use super::load_balancing::Balancing;

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/original_dst",
    summary: "With the package, requests are sent on to where the client's redirected connection was meant for.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster",
            fields: &[unsupported("original_dst_lb_config", &ORIGINAL_DST).amesh_exact("upstream.key")],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig",
            fields: &[
                unsupported("use_http_header", &ORIGINAL_DST),
                unsupported("http_header_name", &ORIGINAL_DST),
                unsupported("upstream_port_override", &ORIGINAL_DST).amesh_exact("upstream.key"),
                unsupported("metadata_key", &ORIGINAL_DST),
            ],
        },
    ],
    extensions: &[],
    rules: &[&REDIRECTED],
};

static ORIGINAL_DST: Rule = Rule {
    name: "cluster-original-dst",
    outcome: Outcome::LeftOut,
    summary: "requests are not sent on to where the client connected: they are answered 503",
    explanation: "\
An ORIGINAL_DST cluster has no endpoints of its own: Envoy sends a request to the address that the client's redirected \
connection was meant for, or that a header or metadata names. Istio uses such clusters for traffic to unknown hosts \
(PassthroughCluster), for headless services, and for what a sidecar hands to its own workload. An APISIX upstream is a list \
of nodes and cannot say that; it stays empty, and requests to it are answered 503. So are those of clusters whose \
connections must come from an address of their own (what a sidecar hands to its workload), also with Amesh's package: from \
another address they would be redirected to the proxy again.",
    advice: "load Amesh's Lua package, which sends requests to where a redirected connection was meant for; or name the hosts in \
             ServiceEntry resources with resolution STATIC or DNS",
};

pub(super) static REDIRECTED: Rule = Rule {
    name: "cluster-original-dst-redirected",
    outcome: Outcome::Approximated,
    summary: "requests go where the client connected if their connection was redirected, and are answered 503 if not",
    explanation: "\
Amesh's balancer sends a request to the address that iptables redirected the client's connection from. Where nothing was \
redirected, or the client meant APISIX itself, there is no such address, and the answer is 503 as with Envoy. So it is for \
connections over IPv6, whose address nginx does not know. Outlier detection of such a cluster is left out: no address is known \
before it is asked for.",
    advice: "nothing behind iptables; elsewhere name the hosts in ServiceEntry resources with resolution STATIC or DNS",
};

/// The balancer for the requests of such a cluster; nothing where they cannot be sent on. `bound`: whether its connections must
/// come from an address that the cluster names.
pub(super) fn balancing(
    config: Option<&LbConfig>,
    bound: bool,
    at: Path<'_>,
    findings: &Findings,
) -> Option<Balancing> {
    let default = OriginalDstLbConfig::default();
    let (config, set) = match config {
        Some(LbConfig::OriginalDstLbConfig(config)) => (config, true),
        _ => (&default, false),
    };
    let OriginalDstLbConfig {
        use_http_header,
        http_header_name,
        upstream_port_override,
        metadata_key,
    } = config;
    let within = at.field("original_dst_lb_config");
    if findings.options().target == Target::Native {
        findings.add(&ORIGINAL_DST, at.field("type"));
        findings.add_if(set, &ORIGINAL_DST, within);
        return None;
    }
    let elsewhere = [
        ("use_http_header", *use_http_header),
        ("http_header_name", !http_header_name.is_empty()),
        ("metadata_key", metadata_key.is_some()),
    ];
    for (field, _) in elsewhere.iter().filter(|(_, set)| *set) {
        findings.add(&ORIGINAL_DST, within.field(field));
    }
    // A sidecar's rules for its own workload let through what comes from that address. From another one it would be redirected
    // again, without end.
    findings.add_if(bound, &ORIGINAL_DST, at.field("type"));
    // A name of a header alone is not read.
    if bound || *use_http_header || metadata_key.is_some() {
        return None;
    }
    findings.add(&REDIRECTED, at.field("type"));
    Some(Balancing {
        key: upstream_port_override.as_ref().map(|port| port.value.to_string()),
        ..Balancing::by(Balancer::OriginalDst)
    })
}

/// Nodes that are never chosen: of two APISIX asks the balancer. Their address belongs to nobody.
pub(super) fn placeholders(socket: usize) -> Vec<Chosen<'static>> {
    let node = |port| Chosen {
        host: "192.0.2.1".into(),
        port,
        weight: 1,
        priority: 0,
        name: false,
        socket,
        hash_key: None,
        place: 0,
    };
    vec![node(1), node(2)]
}
