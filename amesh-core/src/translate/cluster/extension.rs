//! Code that Envoy puts between a cluster and its connections: network filters, connection pools.

use envoy_types::pb::envoy::config::cluster::v3::Filter;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;

use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/extension",
    summary: "Network filters and connection pools of a cluster have no counterpart.",
    messages: &[Message {
        name: "envoy.config.cluster.v3.Cluster",
        fields: &[
            unsupported("filters", &NETWORK_FILTER),
            unsupported("upstream_config", &CONNECTION_POOL),
        ],
    }],
    extensions: &[],
    rules: &[&METADATA_EXCHANGE],
};

static NETWORK_FILTER: Rule = Rule {
    name: "upstream-network-filter",
    outcome: Outcome::FailsClosed,
    summary: "a network filter on connections to the upstream is not run, so no requests are sent there",
    explanation: "\
Envoy can run network filters on the connections that it opens to a cluster, and such a filter may change or refuse \
what passes. APISIX cannot run them. The upstream has no nodes, so requests are answered 503, unless the operator \
permits this rule: then requests are sent without the filter.",
    advice: "remove the filter, or permit this rule when the filter neither guards nor changes what is sent",
};

static METADATA_EXCHANGE: Rule = Rule {
    name: "istio-metadata-exchange",
    outcome: Outcome::Ignored,
    summary: "peers do not exchange their workload's identity for telemetry",
    explanation: "\
Istio's metadata exchange filter lets the proxies on both sides of a connection tell each other which workload they \
belong to, for the labels of metrics and logs. It only acts on connections whose ALPN says that both sides know it, and \
requests are answered alike without it.",
    advice: "none is needed; peers of this proxy show up as unknown in Istio's metrics",
};

static CONNECTION_POOL: Rule = Rule {
    name: "upstream-connection-pool",
    outcome: Outcome::LeftOut,
    summary: "a connection pool that is an extension is replaced by plain HTTP",
    explanation: "\
A cluster can name its own kind of connection pool, which sends the body of a CONNECT or POST request over a bare TCP or \
UDP connection, or speaks HTTP in a special way. APISIX sends requests as HTTP.",
    advice: "do not send CONNECT traffic through APISIX",
};

/// Istio's filter, by the name that it has always had in clusters.
const ISTIO_METADATA_EXCHANGE: &str = "istio.metadata_exchange";

/// Whether a filter that is not run must keep requests from the upstream.
pub(crate) fn refused(
    filters: &[Filter],
    upstream_config: Option<&TypedExtensionConfig>,
    at: Path<'_>,
    findings: &Findings,
) -> bool {
    let mut refused = false;
    let list = at.field("filters");
    for (index, filter) in filters.iter().enumerate() {
        let Filter {
            name,
            typed_config: _,
            config_discovery: _,
        } = filter;
        let at = list.index(index);
        if name == ISTIO_METADATA_EXCHANGE {
            findings.add(&METADATA_EXCHANGE, at);
        } else {
            refused |= !findings.permits(&NETWORK_FILTER, at, Some(name.clone()));
        }
    }
    if let Some(config) = upstream_config {
        findings.add_with(&CONNECTION_POOL, at.field("upstream_config"), config.name.as_str());
    }
    refused
}
