//! Circuit breakers: limits on what a cluster may have in flight.

use envoy_types::pb::envoy::config::cluster::v3::CircuitBreakers;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::core::v3::RoutingPriority;
use envoy_types::pb::google::protobuf::UInt32Value;

use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/circuit_breaker",
    summary: "Limits on connections and requests in flight are not enforced; \"no limit\" needs nothing.",
    messages: &[Message {
        name: "envoy.config.cluster.v3.Cluster",
        fields: &[unsupported("circuit_breakers", &LIMIT)],
    }],
    extensions: &[],
    rules: &[],
};

static LIMIT: Rule = Rule {
    name: "circuit-breaker-limit",
    outcome: Outcome::LeftOut,
    summary: "a limit on connections, requests or retries of a cluster is not enforced",
    explanation: "\
Envoy answers 503 with x-envoy-overloaded when a cluster has too many connections, waiting requests, requests in flight \
or retries. An upstream of APISIX has no such limit: all requests are sent. Istio writes 4294967295 where nothing is \
configured, which means no limit and is not reported.",
    advice: "limit concurrent requests with APISIX's limit-conn plugin, or in the service itself",
};

pub(crate) fn circuit_breakers(breakers: Option<&CircuitBreakers>, at: Path<'_>, findings: &Findings) {
    let Some(breakers) = breakers else {
        return;
    };
    let at = at.field("circuit_breakers");
    let CircuitBreakers {
        thresholds,
        per_host_thresholds,
    } = breakers;
    for (field, list) in [("thresholds", thresholds), ("per_host_thresholds", per_host_thresholds)] {
        let at = at.field(field);
        for (index, thresholds) in list.iter().enumerate() {
            report(thresholds, at.index(index), findings);
        }
    }
}

fn report(thresholds: &Thresholds, at: Path<'_>, findings: &Findings) {
    let Thresholds {
        priority,
        max_connections,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
        // Statistics only.
        track_remaining: _,
        max_connection_pools,
    } = thresholds;
    let high = if *priority == i32::from(RoutingPriority::High) {
        " for requests of routes with priority HIGH"
    } else {
        ""
    };
    let limits = [
        ("max_connections", max_connections),
        ("max_pending_requests", max_pending_requests),
        ("max_requests", max_requests),
        ("max_retries", max_retries),
        ("max_connection_pools", max_connection_pools),
    ];
    for (field, limit) in limits {
        if let Some(UInt32Value { value }) = limit
            && *value != u32::MAX
        {
            findings.add_with(&LIMIT, at.field(field), format!("{value}{high}"));
        }
    }
    if retry_budget.is_some() {
        findings.add_with(
            &LIMIT,
            at.field("retry_budget"),
            format!("a share of the requests{high}"),
        );
    }
}
