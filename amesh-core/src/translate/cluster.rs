//! Clusters become upstreams, one each.
//!
//! A cluster that APISIX cannot serve as Envoy would, and that would be unsafe to serve otherwise, becomes an upstream
//! without nodes: every request to it is answered 503, and a finding says why. So does a cluster without endpoints.
//!
//! Two things hold for every upstream. `retries` is 0: Envoy repeats a request only where a retry policy says so, while
//! APISIX by itself would try every node once. And an answer that Amesh cannot choose: where Envoy answers 503 because
//! no connection came about, nginx answers 502, or 504 when the time to connect ran out.

pub(crate) mod circuit_breaker;
pub(crate) mod common_lb;
pub(crate) mod connection;
pub(crate) mod discovery;
pub(crate) mod extension;
pub(crate) mod health_check;
pub(crate) mod http2;
pub(crate) mod load_balancing;
pub(crate) mod original_dst;
pub(crate) mod outlier_detection;
pub(crate) mod protocol;
pub(crate) mod slow_start;
pub(crate) mod transport_socket;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;

use self::discovery::{Discovery, Endpoints};
use self::protocol::Speaks;
use super::endpoint::{self, Chosen};
use crate::apisix::{Balancer, Id, Node, NodeMetadata, PassHost, Scheme, Upstream};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster",
    summary: "A cluster becomes an upstream of the same name.",
    messages: &[Message {
        name: "envoy.config.cluster.v3.Cluster",
        fields: &[
            exact("name", "upstream.id, upstream.name"),
            irrelevant("alt_stat_name", "names the cluster in Envoy's statistics"),
            irrelevant("stats_matcher", "chooses among Envoy's statistics"),
            irrelevant("wait_for_warm_on_init", "is about the order in which Envoy starts"),
            irrelevant(
                "cleanup_interval",
                "when Envoy forgets unused addresses of an ORIGINAL_DST cluster",
            ),
            irrelevant(
                "metadata",
                "is read by telemetry and by filters, never by the cluster itself",
            ),
            unsupported("lrs_server", &LOAD_REPORTS),
            unsupported("lrs_report_endpoint_metrics", &LOAD_REPORTS),
            irrelevant("track_timeout_budgets", "adds to Envoy's statistics"),
            irrelevant("track_cluster_stats", "adds to Envoy's statistics"),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static LOAD_REPORTS: Rule = Rule {
    name: "cluster-load-reports",
    outcome: Outcome::Ignored,
    summary: "the load on the cluster's endpoints is not reported to the control plane",
    explanation: "\
Envoy tells a load reporting service how many requests each endpoint gets, and a control plane may weight endpoints by \
it. APISIX has no such report; requests are answered as they would be without.",
    advice: "none is needed with Istio, which does not ask for load reports",
};

/// The longest name of an upstream that APISIX accepts, in characters.
const LONGEST_NAME: usize = 256;

/// Translates a cluster and, when its endpoints are discovered, the assignment that holds them.
#[expect(deprecated, reason = "a control plane may still send what Envoy still reads")]
pub(crate) fn upstream(
    cluster: &Cluster,
    assignment: Option<&ClusterLoadAssignment>,
    cluster_findings: &Findings,
    assignment_findings: &Findings,
) -> Upstream {
    let findings = cluster_findings;
    let at = Path::root();
    let Cluster {
        transport_socket_matches,
        transport_socket_matcher,
        name,
        alt_stat_name: _,
        stats_matcher: _,
        eds_cluster_config: _,
        connect_timeout,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        lb_policy,
        load_assignment,
        health_checks,
        max_requests_per_connection,
        circuit_breakers,
        upstream_http_protocol_options,
        common_http_protocol_options,
        http_protocol_options,
        http2_protocol_options,
        typed_extension_protocol_options,
        dns_refresh_rate,
        dns_jitter,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_lookup_family,
        dns_resolvers,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        wait_for_warm_on_init: _,
        outlier_detection,
        cleanup_interval: _,
        upstream_bind_config,
        lb_subset_config,
        common_lb_config,
        transport_socket,
        metadata: _,
        protocol_selection,
        upstream_connection_options,
        close_connections_on_host_health_failure,
        ignore_health_on_host_removal: _,
        filters,
        load_balancing_policy,
        lrs_server,
        lrs_report_endpoint_metrics,
        track_timeout_budgets: _,
        upstream_config,
        track_cluster_stats: _,
        preconnect_policy,
        connection_pool_per_downstream_connection,
        queuing_policies,
        cluster_discovery_type,
        lb_config,
    } = cluster;

    if lrs_server.is_some() {
        findings.add(&LOAD_REPORTS, at.field("lrs_server"));
    }
    if !lrs_report_endpoint_metrics.is_empty() {
        findings.add(&LOAD_REPORTS, at.field("lrs_report_endpoint_metrics"));
    }

    let discovery = Discovery::of(cluster_discovery_type.as_ref(), at, findings);
    if discovery.is_dns() {
        let settings = discovery::DnsSettings {
            dns_refresh_rate: dns_refresh_rate.is_some(),
            dns_jitter: dns_jitter.is_some(),
            dns_failure_refresh_rate: dns_failure_refresh_rate.is_some(),
            respect_dns_ttl: *respect_dns_ttl,
            dns_lookup_family: *dns_lookup_family != 0,
            dns_resolvers: !dns_resolvers.is_empty(),
            use_tcp_for_dns_lookups: *use_tcp_for_dns_lookups,
            dns_resolution_config: dns_resolution_config.is_some(),
            typed_dns_resolver_config: typed_dns_resolver_config.is_some(),
        };
        settings.report(at, findings);
    }
    let common = common_lb::common_lb(common_lb_config.as_ref(), at, findings);
    let balancing = load_balancing::balancing(
        load_balancing::Settings {
            lb_policy: *lb_policy,
            load_balancing_policy: load_balancing_policy.as_ref(),
            lb_config: lb_config.as_ref(),
            lb_subset_config: lb_subset_config.as_ref(),
            hash_hostnames: common.hash_hostnames,
        },
        at,
        findings,
    );
    let redirected = (discovery == Discovery::OriginalDst)
        .then(|| original_dst::balancing(lb_config.as_ref(), upstream_bind_config.is_some(), at, findings))
        .flatten();
    health_check::health_checks(health_checks, *close_connections_on_host_health_failure, at, findings);
    // Nodes that stand for nothing are not probed.
    let ejected = outlier_detection.is_some() && redirected.is_some();
    findings.add_if(ejected, &original_dst::REDIRECTED, at.field("outlier_detection"));
    let checks = outlier_detection
        .as_ref()
        .filter(|_| redirected.is_none())
        .and_then(|outlier| outlier_detection::checks(outlier, at.field("outlier_detection"), findings));
    connection::report(
        connection::Settings {
            per_connection_buffer_limit_bytes: per_connection_buffer_limit_bytes.is_some(),
            per_connection_buffer_high_watermark_timeout: per_connection_buffer_high_watermark_timeout.is_some(),
            upstream_bind_config: upstream_bind_config.is_some(),
            upstream_connection_options: upstream_connection_options.as_ref(),
            preconnect_policy: preconnect_policy.is_some(),
            connection_pool_per_downstream_connection: *connection_pool_per_downstream_connection,
            queuing_policies: queuing_policies.is_some(),
        },
        at,
        findings,
    );
    let protocol = protocol::protocol(
        protocol::Settings {
            typed_extension_protocol_options,
            max_requests_per_connection: max_requests_per_connection.as_ref(),
            common_http_protocol_options: common_http_protocol_options.as_ref(),
            upstream_http_protocol_options: upstream_http_protocol_options.as_ref(),
            http_protocol_options: http_protocol_options.as_ref(),
            http2_protocol_options: http2_protocol_options.as_ref(),
            protocol_selection: *protocol_selection,
        },
        at,
        findings,
    );
    let labels = circuit_breaker::labels(circuit_breakers.as_ref(), &protocol, at, findings);
    let refused = protocol.refused || extension::refused(filters, upstream_config.as_ref(), at, findings);

    let sockets = transport_socket::Sockets::of(
        transport_socket.as_ref(),
        transport_socket_matches,
        transport_socket_matcher.as_ref(),
    );
    let how = endpoint::Use {
        names: discovery.is_dns(),
        unique: matches!(discovery.endpoints(), Endpoints::Discovered),
        panic_threshold: common.panic_threshold,
        locality_weights: common.locality_weights,
        balances: balancing.balances,
    };
    let socket_of = |endpoint, locality| sockets.pick(endpoint, locality);
    let mut chosen: Vec<Chosen<'_>> = match discovery.endpoints() {
        Endpoints::Discovered => {
            if let Some(assignment) = assignment {
                endpoint::endpoints(assignment, how, socket_of, at, assignment_findings)
            } else {
                discovery::missing(cluster, at, findings);
                Vec::new()
            }
        }
        Endpoints::Inline => load_assignment.as_ref().map_or_else(Vec::new, |assignment| {
            endpoint::endpoints(assignment, how, socket_of, at.field("load_assignment"), findings)
        }),
        Endpoints::None if redirected.is_some() => original_dst::placeholders(socket_of(None, None)),
        Endpoints::None => Vec::new(),
    };
    let tls = sockets.admit(&mut chosen, at, findings);
    discovery.report_names(&chosen, at, findings);
    if refused {
        chosen.clear();
    }

    let balancing = redirected.unwrap_or(balancing);
    Upstream {
        id: Id::of(name),
        name: Some(short(name)).filter(|name| !name.is_empty()),
        labels,
        balancer: balancing.balancer,
        key: balancing.key,
        scheme: match (protocol.speaks, tls) {
            (Speaks::Http1, false) => Scheme::Http,
            (Speaks::Http1, true) => Scheme::Https,
            (Speaks::Http2, false) => Scheme::Grpc,
            (Speaks::Http2, true) => Scheme::Grpcs,
        },
        pass_host: PassHost::Pass,
        nodes: nodes(chosen),
        timeout: Some(connection::timeout(connect_timeout.as_ref())),
        retries: Some(0),
        keepalive_pool: protocol.keepalive_pool,
        checks,
    }
}

/// The upstream of a cluster that does not exist: every request is answered 503 until it comes.
pub(crate) fn no_nodes(name: &str) -> Upstream {
    Upstream {
        id: Id::of(name),
        name: Some(short(name)).filter(|name| !name.is_empty()),
        labels: None,
        balancer: Balancer::RoundRobin,
        key: None,
        scheme: Scheme::Http,
        pass_host: PassHost::Pass,
        nodes: Vec::new(),
        timeout: None,
        retries: None,
        keepalive_pool: None,
        checks: None,
    }
}

fn nodes(chosen: Vec<Chosen<'_>>) -> Vec<Node> {
    // In order already.
    chosen
        .into_iter()
        .map(|chosen| Node {
            host: chosen.host.into_owned(),
            port: chosen.port,
            weight: chosen.weight,
            priority: chosen.priority,
            metadata: chosen.hash_key.map(|hash_key| NodeMetadata { hash_key }),
        })
        .collect()
}

fn short(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => name.get(..end).unwrap_or_default().to_owned(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
