//! Circuit breakers: limits on what a cluster may have in flight.
//!
//! They stand in labels of the upstream, `amesh-limits` and `amesh-limits-high`, where the `amesh-limit` plugin of the routes
//! that lead there reads them: another limit changes one object. A cluster without limits has neither label nor plugin.

use envoy_types::pb::envoy::config::cluster::v3::CircuitBreakers;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::thresholds::RetryBudget;
use envoy_types::pb::envoy::config::core::v3::RoutingPriority;
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::UInt32Value;

use super::protocol::{Protocol, Speaks};
use crate::apisix::UpstreamLabels;
use crate::feature::{Feature, Message, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/circuit_breaker",
    summary: "Limits on requests in flight and on retries are enforced with the package; \"no limit\" needs nothing. A cluster \
              without thresholds for a priority has none, where Envoy has 1024, and 3 retries.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster",
            fields: &[unsupported("circuit_breakers", &LIMIT).amesh_exact("upstream.labels")],
        },
        Message {
            name: "envoy.config.cluster.v3.CircuitBreakers",
            fields: &[
                unsupported("thresholds", &LIMIT).amesh_exact("upstream.labels"),
                unsupported("per_host_thresholds", &LIMIT),
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
            fields: &[
                unsupported("priority", &LIMIT).amesh_exact("upstream.labels.amesh-limits-high"),
                unsupported("max_connections", &LIMIT).amesh_approximate("upstream.labels: connections", &WAITING),
                unsupported("max_pending_requests", &LIMIT).amesh_approximate("upstream.labels: pending", &WAITING),
                unsupported("max_requests", &LIMIT).amesh_exact("upstream.labels: requests"),
                unsupported("max_retries", &LIMIT).amesh_exact("upstream.labels: retries"),
                unsupported("retry_budget", &LIMIT).amesh_exact("upstream.labels: retry-percent"),
                irrelevant("track_remaining", "adds to Envoy's statistics"),
                unsupported("max_connection_pools", &LIMIT),
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget",
            fields: &[
                unsupported("budget_percent", &LIMIT).amesh_exact("upstream.labels: retry-percent"),
                unsupported("budget_interval", &LIMIT),
                unsupported("min_retry_concurrency", &LIMIT).amesh_exact("upstream.labels: retries"),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

static LIMIT: Rule = Rule {
    name: "circuit-breaker-limit",
    outcome: Outcome::LeftOut,
    summary: "a limit on connections, requests or retries of a cluster is not enforced",
    explanation: "\
Envoy answers 503 with x-envoy-overloaded when a cluster has too many connections, waiting requests, requests in flight \
or retries. An upstream of APISIX has no such limit: all requests are sent. Amesh's package limits what a cluster has in flight \
and its retries, but not the connections of each endpoint, the number of connection pools, the retries within an interval, \
nor connections of HTTP/2 that take any number of requests, as they do unless max_concurrent_streams says otherwise.

Istio writes 4294967295 where nothing is configured, which means no limit and is not reported. Where a cluster has no \
thresholds for the priority of a route, Envoy's own defaults of 1024 requests and 3 retries are not enforced, nor reported.",
    advice: "load Amesh's Lua package and limit requests in flight; or limit concurrent requests in the service itself",
};

static WAITING: Rule = Rule {
    name: "circuit-breaker-waiting",
    outcome: Outcome::Approximated,
    summary: "requests wait for their turn with the cluster, not for a connection to an endpoint",
    explanation: "\
When a cluster has as many connections as it may, Envoy lets so many requests wait for one as max_pending_requests says, and \
answers 503 to others. Amesh's package counts requests in flight in place of connections: of a cluster with HTTP/1.1 as many \
as it may have connections are sent, as many as may wait do, and others get Envoy's answer.

Envoy lets requests wait for a connection to the endpoint that was chosen for them, in the order in which they came. The package \
lets them wait for the cluster, and within a worker of nginx in that order; what becomes free in another worker is seen within \
10 ms. Envoy also counts as waiting what comes before a new connection is there; that is not counted. A worker thread of \
Envoy gives each endpoint at least one connection, whatever the limit; here each endpoint has one, as with one thread. Copies \
of requests do not wait: as many more are sent as might. A client that leaves while it waits is noticed when its turn comes. \
Limits are those of one APISIX, with all its workers.",
    advice: "none is needed",
};

/// Envoy's limits where thresholds do not say.
const UNSET: u32 = 1024;
const UNSET_RETRIES: u32 = 3;
/// Envoy's retry budget where it does not say, in percent.
const UNSET_BUDGET: f64 = 20.0;

/// The priorities of routes, for each of which a cluster has limits of its own.
pub(crate) const PRIORITIES: [RoutingPriority; 2] = [RoutingPriority::Default, RoutingPriority::High];

/// The thresholds that hold for the routes of a priority: of several Envoy takes the first.
fn thresholds_of(breakers: &CircuitBreakers, priority: RoutingPriority) -> Option<(usize, &Thresholds)> {
    let mut all = breakers.thresholds.iter().enumerate();
    all.find(|(_, thresholds)| thresholds.priority == i32::from(priority))
}

/// Whether a cluster has limits that can be enforced for the routes of a priority. May be true of one that speaks HTTP/2
/// and has none, which is harmless.
pub(crate) fn limits(breakers: Option<&CircuitBreakers>, priority: RoutingPriority) -> bool {
    breakers
        .and_then(|breakers| thresholds_of(breakers, priority))
        .is_some_and(|(_, thresholds)| label(&Limits::of(thresholds, Connections::OF_ONE)).is_some())
}

/// How many requests a connection takes at a time; `None`: any number.
#[derive(Debug, Clone, Copy)]
struct Connections(Option<u32>);

impl Connections {
    const OF_ONE: Self = Self(Some(1));

    const fn of(protocol: &Protocol) -> Self {
        match protocol.speaks {
            Speaks::Http1 => Self::OF_ONE,
            Speaks::Http2 => Self(protocol.streams),
        }
    }
}

/// What there may be at a time; `None` for any number.
#[derive(Debug)]
struct Limits {
    connections: Option<u32>,
    /// Requests on each connection.
    streams: u32,
    pending: Option<u32>,
    requests: Option<u32>,
    retries: Option<u32>,
    /// The part of the requests in flight that may be further tries, in percent, if that is more than `retries`.
    retry_percent: Option<f64>,
}

impl Limits {
    fn of(thresholds: &Thresholds, connections: Connections) -> Self {
        let Thresholds {
            priority: _,
            max_connections,
            max_pending_requests,
            max_requests,
            max_retries,
            retry_budget,
            track_remaining: _,
            max_connection_pools: _,
        } = thresholds;
        let (retries, retry_percent) = match retry_budget {
            None => (finite(max_retries.as_ref(), UNSET_RETRIES), None),
            Some(RetryBudget {
                budget_percent,
                budget_interval: _,
                min_retry_concurrency,
            }) => {
                let percent = budget_percent
                    .as_ref()
                    .map(|Percent { value }| *value)
                    .filter(|percent| percent.is_finite())
                    .unwrap_or(UNSET_BUDGET);
                let least = min_retry_concurrency
                    .as_ref()
                    .map_or(UNSET_RETRIES, |UInt32Value { value }| *value);
                (Some(least), Some(percent))
            }
        };
        Self {
            // A connection that takes any number of requests bounds none.
            connections: connections.0.and_then(|_| finite(max_connections.as_ref(), UNSET)),
            streams: connections.0.unwrap_or(1),
            pending: finite(max_pending_requests.as_ref(), UNSET),
            requests: finite(max_requests.as_ref(), UNSET),
            retries,
            retry_percent,
        }
    }
}

/// A limit; `None` for what Istio writes for none.
fn finite(limit: Option<&UInt32Value>, unset: u32) -> Option<u32> {
    let value = limit.map_or(unset, |UInt32Value { value }| *value);
    (value != u32::MAX).then_some(value)
}

/// The limits as a label has them; `None` where there is nothing to enforce.
fn label(limits: &Limits) -> Option<String> {
    let Limits {
        connections,
        streams,
        pending,
        requests,
        retries,
        retry_percent,
    } = limits;
    // What may wait matters beside connections, or where nothing may: then no first connection comes about either.
    let pending = pending.filter(|pending| connections.is_some() || *pending == 0);
    let streams = connections.and(Some(streams)).filter(|streams| **streams != 1);
    let parts: Vec<String> = [
        ("connections", connections.map(|limit| limit.to_string())),
        ("streams", streams.map(ToString::to_string)),
        ("pending", pending.map(|limit| limit.to_string())),
        ("requests", requests.map(|limit| limit.to_string())),
        ("retries", retries.map(|limit| limit.to_string())),
        ("retry-percent", retry_percent.map(|percent| percent.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, limit)| Some(format!("{name}={}", limit?)))
    .collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// The labels that tell the package's plugin the limits; `None` where there are none.
pub(crate) fn labels(
    breakers: Option<&CircuitBreakers>,
    protocol: &Protocol,
    at: Path<'_>,
    findings: &Findings,
) -> Option<UpstreamLabels> {
    let breakers = breakers?;
    let at = at.field("circuit_breakers");
    let CircuitBreakers {
        thresholds,
        per_host_thresholds,
    } = breakers;
    for (index, thresholds) in per_host_thresholds.iter().enumerate() {
        report(thresholds, at.field("per_host_thresholds").index(index), findings);
    }
    if findings.options().target != Target::Amesh {
        for (index, thresholds) in thresholds.iter().enumerate() {
            report(thresholds, at.field("thresholds").index(index), findings);
        }
        return None;
    }
    let connections = Connections::of(protocol);
    let of = |priority| {
        let (index, thresholds) = thresholds_of(breakers, priority)?;
        differences(thresholds, connections, at.field("thresholds").index(index), findings);
        label(&Limits::of(thresholds, connections))
    };
    let labels = UpstreamLabels {
        limits: of(RoutingPriority::Default),
        limits_high: of(RoutingPriority::High),
    };
    (labels != UpstreamLabels::default()).then_some(labels)
}

/// Reports what the package does not limit as Envoy does.
fn differences(thresholds: &Thresholds, connections: Connections, at: Path<'_>, findings: &Findings) {
    let set = |limit: &Option<UInt32Value>| limit.as_ref().and_then(|limit| finite(Some(limit), UNSET));
    let pending = set(&thresholds.max_pending_requests);
    if let Some(most) = set(&thresholds.max_connections) {
        let at = at.field("max_connections");
        if connections.0.is_none() {
            findings.add_with(&LIMIT, at, format!("{most}, of HTTP/2"));
        } else {
            findings.add(&WAITING, at);
        }
    }
    findings.add_if(pending.is_some(), &WAITING, at.field("max_pending_requests"));
    if let Some(most) = set(&thresholds.max_connection_pools) {
        findings.add_with(&LIMIT, at.field("max_connection_pools"), most.to_string());
    }
    if thresholds
        .retry_budget
        .as_ref()
        .is_some_and(|budget| budget.budget_interval.is_some())
    {
        let budget = at.field("retry_budget");
        findings.add_with(
            &LIMIT,
            budget.field("budget_interval"),
            "requests in flight are counted, not those of a time",
        );
    }
}

/// Reports limits that are not enforced at all.
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
