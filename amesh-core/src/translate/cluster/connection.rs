//! Connections to endpoints: how long to wait for one, where it comes from, how it is kept.

use envoy_types::pb::envoy::config::cluster::v3::UpstreamConnectionOptions;
use envoy_types::pb::google::protobuf::Duration;

use crate::apisix::Timeout;
use crate::feature::{Feature, Message, exact, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::translate::value::duration;

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/connection",
    summary: "The connect timeout is kept; the operating system decides the rest of how connections are made.",
    messages: &[Message {
        name: "envoy.config.cluster.v3.Cluster",
        fields: &[
            exact("connect_timeout", "upstream.timeout.connect"),
            unsupported("per_connection_buffer_limit_bytes", &BUFFER),
            unsupported("per_connection_buffer_high_watermark_timeout", &LIFETIME),
            unsupported("upstream_bind_config", &SOURCE_ADDRESS),
            unsupported("upstream_connection_options", &TCP_OPTIONS),
            unsupported("preconnect_policy", &PRECONNECT),
            unsupported("connection_pool_per_downstream_connection", &SHARED_POOL),
            unsupported("queuing_policies", &QUEUING),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static BUFFER: Rule = Rule {
    name: "upstream-buffer-limit",
    outcome: Outcome::Ignored,
    summary: "the size of a connection's buffers is nginx's",
    explanation: "\
Envoy stops reading from one side of a connection while more than this limit waits to be written to the other. nginx \
does the same with buffers whose sizes are set for the whole instance.",
    advice: "set nginx's proxy_buffers where large responses need them",
};

pub(crate) static LIFETIME: Rule = Rule {
    name: "upstream-connection-lifetime",
    outcome: Outcome::LeftOut,
    summary: "a connection is not closed because of its age or because its buffers stay full",
    explanation: "\
Envoy can close a connection to an endpoint once it is a certain time old, or when what is waiting to be written has \
not moved for a certain time. nginx closes a kept connection when it has been idle for a while or has carried a number of \
requests, and has no such limits.",
    advice: "limit the requests per connection instead (maxRequestsPerConnection), which is carried over",
};

static SOURCE_ADDRESS: Rule = Rule {
    name: "upstream-source-address",
    outcome: Outcome::LeftOut,
    summary: "connections come from the address that the operating system picks",
    explanation: "\
Envoy can bind its connections to a source address or set socket options on them. Istio does so where a sidecar hands \
requests to its own workload, so that iptables does not redirect them again. APISIX connects from the address that the \
operating system picks.",
    advice: "exclude APISIX's own connections from redirection by its user id",
};

static TCP_OPTIONS: Rule = Rule {
    name: "upstream-tcp-options",
    outcome: Outcome::LeftOut,
    summary: "TCP keepalive and the like are the operating system's",
    explanation: "\
Envoy can set TCP keepalive for the connections of a cluster, prefer an IP family when it tries several addresses, and \
look up the local interface. nginx can only turn TCP keepalive on for all connections (proxy_socket_keepalive), with the \
operating system's times.",
    advice: "turn on proxy_socket_keepalive where idle connections are cut by something in between",
};

static PRECONNECT: Rule = Rule {
    name: "upstream-preconnect",
    outcome: Outcome::Ignored,
    summary: "connections are opened when a request needs one, not before",
    explanation: "\
Envoy can open connections ahead of the requests that will need them. nginx opens one when no kept connection is free, so \
some requests wait a round trip longer.",
    advice: "none is needed",
};

static SHARED_POOL: Rule = Rule {
    name: "upstream-shared-pool",
    outcome: Outcome::LeftOut,
    summary: "clients share the connections to an endpoint",
    explanation: "\
With connection_pool_per_downstream_connection, each client connection has connections of its own to the endpoints, for \
protocols that tie a user to a connection (NTLM). nginx keeps one pool per worker for all clients.",
    advice: "do not send requests with connection-bound authentication through APISIX",
};

static QUEUING: Rule = Rule {
    name: "upstream-request-queue",
    outcome: Outcome::LeftOut,
    summary: "requests that wait for a connection are not queued by a policy",
    explanation: "\
Envoy can be told how requests wait while a cluster has no free connection. nginx opens a connection for each request \
that finds none free, so nothing waits.",
    advice: "none is needed",
};

/// Envoy's connect timeout when the cluster sets none, in seconds.
const CONNECT_TIMEOUT: f64 = 5.0;

/// The shortest connect timeout that nginx can keep, in seconds.
const SHORTEST: f64 = 0.001;

/// Seconds until a connection must be established.
pub(crate) fn connect_timeout(timeout: Option<&Duration>) -> f64 {
    timeout.map_or(CONNECT_TIMEOUT, |timeout| duration::seconds(timeout).max(SHORTEST))
}

/// The upstream's timeouts. A cluster of Envoy knows only the first; how long a request may take is up to its route,
/// whose own timeouts replace these. So the other two, which APISIX demands, are as good as none.
pub(crate) fn timeout(connect: Option<&Duration>) -> Timeout {
    Timeout {
        connect: connect_timeout(connect),
        send: duration::NO_LIMIT,
        read: duration::NO_LIMIT,
    }
}

/// Settings of connections that have no counterpart, and whether the cluster has them.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one for each field of the message")]
pub(crate) struct Settings<'c> {
    pub(crate) per_connection_buffer_limit_bytes: bool,
    pub(crate) per_connection_buffer_high_watermark_timeout: bool,
    pub(crate) upstream_bind_config: bool,
    pub(crate) upstream_connection_options: Option<&'c UpstreamConnectionOptions>,
    pub(crate) preconnect_policy: bool,
    pub(crate) connection_pool_per_downstream_connection: bool,
    pub(crate) queuing_policies: bool,
}

pub(crate) fn report(settings: Settings<'_>, at: Path<'_>, findings: &Findings) {
    let Settings {
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        upstream_bind_config,
        upstream_connection_options,
        preconnect_policy,
        connection_pool_per_downstream_connection,
        queuing_policies,
    } = settings;
    let tcp_options =
        upstream_connection_options.is_some_and(|options| *options != UpstreamConnectionOptions::default());
    let rows = [
        (
            &BUFFER,
            "per_connection_buffer_limit_bytes",
            per_connection_buffer_limit_bytes,
        ),
        (
            &LIFETIME,
            "per_connection_buffer_high_watermark_timeout",
            per_connection_buffer_high_watermark_timeout,
        ),
        (&SOURCE_ADDRESS, "upstream_bind_config", upstream_bind_config),
        (&TCP_OPTIONS, "upstream_connection_options", tcp_options),
        (&PRECONNECT, "preconnect_policy", preconnect_policy),
        (
            &SHARED_POOL,
            "connection_pool_per_downstream_connection",
            connection_pool_per_downstream_connection,
        ),
        (&QUEUING, "queuing_policies", queuing_policies),
    ];
    for (rule, field, _) in rows.into_iter().filter(|(_, _, set)| *set) {
        findings.add(rule, at.field(field));
    }
}
