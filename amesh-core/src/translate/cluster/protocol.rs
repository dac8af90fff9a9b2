//! Which HTTP a cluster's endpoints are spoken to in, and how long connections are kept.
//!
//! APISIX speaks HTTP/1.1 to an upstream unless its scheme is gRPC's: then it speaks HTTP/2. Envoy decides by
//! `HttpProtocolOptions`: a version, the version of the client, or what TLS negotiates.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{
    self as core, Http1ProtocolOptions, Http2ProtocolOptions, UpstreamHttpProtocolOptions,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::google::protobuf::{Any, UInt32Value};

use super::connection::LIFETIME;
use super::http2;
use crate::apisix::KeepalivePool;
use crate::decode::extension;
use crate::feature::{Feature, Message, approximate, exact, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::translate::value::duration;

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/protocol",
    summary: "HTTP/1.1 is kept, HTTP/2 becomes the gRPC scheme, idle connections are kept as long.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster",
            fields: &[
                exact("max_requests_per_connection", "upstream.keepalive_pool.requests"),
                unsupported("upstream_http_protocol_options", &AUTO_SNI),
                exact("common_http_protocol_options", "upstream.keepalive_pool"),
                unsupported("http_protocol_options", &HTTP1_OPTIONS),
                approximate("http2_protocol_options", "upstream.scheme", &http2::HTTP2),
                exact(
                    "typed_extension_protocol_options",
                    "upstream.scheme, upstream.keepalive_pool",
                ),
                unsupported("protocol_selection", &CLIENTS_PROTOCOL),
            ],
        },
        Message {
            name: "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            fields: &[
                exact("common_http_protocol_options", "upstream.keepalive_pool"),
                unsupported("upstream_http_protocol_options", &AUTO_SNI),
                exact("explicit_http_config", "upstream.scheme"),
                unsupported("use_downstream_protocol_config", &CLIENTS_PROTOCOL),
                unsupported("auto_config", &NEGOTIATED),
                unsupported("http_filters", &HTTP_FILTER),
                unsupported("header_validation_config", &HEADER_VALIDATION),
                unsupported("outlier_detection", &ERROR_MATCHER),
                unsupported("request_mirror_policies", &ROUTE_POLICY),
                unsupported("hash_policy", &ROUTE_POLICY),
                unsupported("retry_policy", &ROUTE_POLICY),
            ],
        },
        Message {
            name: "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig",
            fields: &[
                unsupported("http_protocol_options", &HTTP1_OPTIONS),
                approximate("http2_protocol_options", "upstream.scheme", &http2::HTTP2),
                unsupported("http3_protocol_options", &HTTP3),
            ],
        },
        Message {
            name: "envoy.config.core.v3.HttpProtocolOptions",
            fields: &[
                exact("idle_timeout", "upstream.keepalive_pool.idle_timeout"),
                unsupported("max_connection_duration", &LIFETIME),
                unsupported("max_connection_duration_jitter", &LIFETIME),
                unsupported("max_headers_count", &HEADER_LIMITS),
                unsupported("max_response_headers_kb", &HEADER_LIMITS),
                unsupported("max_stream_duration", &STREAM_DURATION),
                unsupported("headers_with_underscores_action", &HEADER_LIMITS),
                exact("max_requests_per_connection", "upstream.keepalive_pool.requests"),
            ],
        },
    ],
    extensions: &[],
    rules: &[&OTHER_PROTOCOL],
};

static AUTO_SNI: Rule = Rule {
    name: "upstream-auto-sni",
    outcome: Outcome::LeftOut,
    summary: "the certificate of an endpoint is not compared with the request's host",
    explanation: "\
With auto_sni, Envoy asks for the certificate of the request's host, and with auto_san_validation it checks that it got \
one. Both matter only when the endpoints are spoken to over TLS, which fails closed by itself because APISIX does not \
verify certificates (upstream-tls-unverified). When that is permitted, APISIX asks for the certificate of the request's \
host and accepts any.",
    advice: "see upstream-tls-unverified",
};

static HTTP1_OPTIONS: Rule = Rule {
    name: "upstream-http1-options",
    outcome: Outcome::Ignored,
    summary: "details of HTTP/1.1, such as the case of header names, are nginx's",
    explanation: "\
Envoy sends header names in lower case unless told to keep or restore their case; nginx passes names on as the client \
wrote them. Trailers, chunked bodies with a length, and full URLs in request lines are nginx's to decide.",
    advice: "none is needed",
};

static HTTP3: Rule = Rule {
    name: "upstream-http3",
    outcome: Outcome::LeftOut,
    summary: "endpoints are spoken to in HTTP/1.1 instead of HTTP/3",
    explanation: "\
APISIX does not speak HTTP/3 to upstreams. Requests are sent as HTTP/1.1 over TCP, which an endpoint that only knows \
HTTP/3 does not take.",
    advice: "serve HTTP/1.1 or HTTP/2 beside HTTP/3",
};

static CLIENTS_PROTOCOL: Rule = Rule {
    name: "upstream-clients-protocol",
    outcome: Outcome::Approximated,
    summary: "requests go to the endpoints as HTTP/1.1, also when they came as HTTP/2",
    explanation: "\
Envoy speaks to these endpoints the HTTP version that the client spoke. Istio asks for that on ports whose protocol it \
does not know. APISIX sends HTTP/1.1 whatever the client spoke, which every HTTP server understands, but gRPC does not \
work over it.",
    advice: "name the port's protocol (name: grpc-..., or appProtocol: grpc) where it is gRPC",
};

static NEGOTIATED: Rule = Rule {
    name: "upstream-negotiated-protocol",
    outcome: Outcome::Approximated,
    summary: "requests go to the endpoints as HTTP/1.1, also where HTTP/2 could be negotiated",
    explanation: "\
Envoy lets TLS negotiate the HTTP version with each endpoint. APISIX sends HTTP/1.1, which every HTTP server understands, \
but gRPC does not work over it.",
    advice: "configure HTTP/2 explicitly where the service is gRPC",
};

static HTTP_FILTER: Rule = Rule {
    name: "upstream-http-filter",
    outcome: Outcome::FailsClosed,
    summary: "an HTTP filter of the cluster is not run, so no requests are sent there",
    explanation: "\
Envoy can run HTTP filters after it has chosen a cluster, and such a filter may change, authorize or refuse requests. \
APISIX does not run them. The upstream has no nodes, so requests are answered 503, unless the operator permits this rule: \
then requests are sent without the filter.",
    advice: "remove the filter, or permit this rule when the filter neither guards nor changes what is sent",
};

static HEADER_VALIDATION: Rule = Rule {
    name: "upstream-header-validation",
    outcome: Outcome::LeftOut,
    summary: "headers of responses are checked by nginx's rules",
    explanation: "\
Envoy can load its own checks of header names and values. nginx has its own, which cannot be replaced.",
    advice: "none is needed",
};

static ERROR_MATCHER: Rule = Rule {
    name: "outlier-error-matcher",
    outcome: Outcome::LeftOut,
    summary: "what counts as an error for outlier detection cannot be chosen: 5xx answers do",
    explanation: "\
Envoy can be told which answers count as errors when it looks for outliers. The health checks that stand for outlier \
detection in APISIX count 5xx answers, or gateway errors alone.",
    advice: "none is needed unless other statuses than 5xx mean trouble",
};

static ROUTE_POLICY: Rule = Rule {
    name: "cluster-route-policy",
    outcome: Outcome::LeftOut,
    summary: "retries, mirrors and hash policies that a cluster sets for its routes are not carried over",
    explanation: "\
A cluster can bring a retry policy, mirrors and a hash policy for all routes that lead to it. APISIX keeps such things in \
routes, so that requests are sent once, to this cluster only, and without affinity.",
    advice: "set them on the routes",
};

static HEADER_LIMITS: Rule = Rule {
    name: "http-header-limits",
    outcome: Outcome::LeftOut,
    summary: "limits on headers are nginx's",
    explanation: "\
Envoy limits how many headers a response may have and how large they may be, and can refuse names with underscores. \
nginx limits their size by its buffers (proxy_buffer_size, 4 or 8 kB unless set) and answers 502 above.",
    advice: "raise proxy_buffer_size where responses have large headers",
};

static STREAM_DURATION: Rule = Rule {
    name: "http-stream-duration",
    outcome: Outcome::LeftOut,
    summary: "the total time of a request is not limited",
    explanation: "\
Envoy ends a request that takes longer than max_stream_duration as a whole. APISIX limits the time between two pieces of \
a request or response, not the total.",
    advice: "limit the time in the service",
};

static OTHER_PROTOCOL: Rule = Rule {
    name: "cluster-protocol-options",
    outcome: Outcome::LeftOut,
    summary: "options of a protocol that Amesh does not know are left out",
    explanation: "\
A cluster can hold options for each protocol that filters speak to it: TCP, Redis, Thrift and others. Only those of HTTP \
are read.",
    advice: "none is needed for HTTP",
};

/// The key of HTTP's options.
const HTTP: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The filter that ends every chain of HTTP filters of a cluster.
const UPSTREAM_CODEC: &str = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";

/// What APISIX keeps when an upstream has no pool of its own; a pool has to name all three.
const DEFAULT_POOL: KeepalivePool = KeepalivePool {
    size: 320,
    idle_timeout: 60.0,
    requests: 1000,
};

/// The HTTP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// What a cluster says about HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings<'c> {
    pub(crate) typed_extension_protocol_options: &'c HashMap<String, Any>,
    pub(crate) max_requests_per_connection: Option<&'c UInt32Value>,
    pub(crate) common_http_protocol_options: Option<&'c core::HttpProtocolOptions>,
    pub(crate) upstream_http_protocol_options: Option<&'c UpstreamHttpProtocolOptions>,
    pub(crate) http_protocol_options: Option<&'c Http1ProtocolOptions>,
    pub(crate) http2_protocol_options: Option<&'c Http2ProtocolOptions>,
    pub(crate) protocol_selection: i32,
}

/// How an upstream is spoken to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Protocol {
    pub(crate) speaks: Speaks,
    /// How many requests Envoy would send at a time on a connection of HTTP/2; `None`: any number.
    pub(crate) streams: Option<u32>,
    pub(crate) keepalive_pool: Option<KeepalivePool>,
    /// A filter that is not run must keep requests from the upstream.
    pub(crate) refused: bool,
}

pub(crate) fn protocol(settings: Settings<'_>, at: Path<'_>, findings: &Findings) -> Protocol {
    let Settings {
        typed_extension_protocol_options,
        max_requests_per_connection,
        common_http_protocol_options,
        upstream_http_protocol_options,
        http_protocol_options,
        http2_protocol_options,
        protocol_selection,
    } = settings;
    let mut protocol = Protocol {
        speaks: Speaks::Http1,
        streams: None,
        keepalive_pool: None,
        refused: false,
    };

    // The deprecated fields of the cluster itself, which Envoy reads when there are no options of the newer kind.
    if let Some(requests) = max_requests_per_connection {
        requests_per_connection(&mut protocol, requests.value);
    }
    if let Some(common) = common_http_protocol_options {
        common_options(
            &mut protocol,
            common,
            at.field("common_http_protocol_options"),
            findings,
        );
    }
    if upstream_http_protocol_options.is_some() {
        findings.add(&AUTO_SNI, at.field("upstream_http_protocol_options"));
    }
    if let Some(options) = http_protocol_options {
        http1_options(options, at.field("http_protocol_options"), findings);
    }
    if let Some(options) = http2_protocol_options {
        protocol.speaks = Speaks::Http2;
        protocol.streams = http2::http2(options, at.field("http2_protocol_options"), findings);
    }
    if protocol_selection != 0 {
        protocol.speaks = Speaks::Http1;
        findings.add(&CLIENTS_PROTOCOL, at.field("protocol_selection"));
    }

    let map = at.field("typed_extension_protocol_options");
    for (name, any) in typed_extension_protocol_options {
        let at = map.key(name);
        if name != HTTP {
            findings.add(&OTHER_PROTOCOL, at);
            continue;
        }
        match extension::http_protocol_options(any) {
            Some(Ok(options)) => http_options(&mut protocol, &options, at, findings),
            Some(Err(error)) => findings.add_with(&OTHER_PROTOCOL, at, error.to_string()),
            None => findings.add_with(&OTHER_PROTOCOL, at, extension::message_name(any)),
        }
    }
    protocol
}

fn http_options(protocol: &mut Protocol, options: &HttpProtocolOptions, at: Path<'_>, findings: &Findings) {
    let HttpProtocolOptions {
        common_http_protocol_options,
        upstream_http_protocol_options,
        http_filters,
        header_validation_config,
        outlier_detection,
        request_mirror_policies,
        hash_policy,
        retry_policy,
        upstream_protocol_options,
    } = options;
    if let Some(common) = common_http_protocol_options {
        common_options(protocol, common, at.field("common_http_protocol_options"), findings);
    }
    (protocol.speaks, protocol.streams) = (Speaks::Http1, None);
    match upstream_protocol_options {
        None => {}
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(config)) => {
            (protocol.speaks, protocol.streams) = explicit(config, at.field("explicit_http_config"), findings);
        }
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_)) => {
            findings.add(&CLIENTS_PROTOCOL, at.field("use_downstream_protocol_config"));
        }
        Some(UpstreamProtocolOptions::AutoConfig(_)) => findings.add(&NEGOTIATED, at.field("auto_config")),
    }
    let list = at.field("http_filters");
    for (index, filter) in http_filters.iter().enumerate() {
        protocol.refused |=
            !is_codec(filter) && !findings.permits(&HTTP_FILTER, list.index(index), Some(filter.name.clone()));
    }
    let set = [
        (
            &AUTO_SNI,
            "upstream_http_protocol_options",
            upstream_http_protocol_options.is_some(),
        ),
        (
            &HEADER_VALIDATION,
            "header_validation_config",
            header_validation_config.is_some(),
        ),
        (&ERROR_MATCHER, "outlier_detection", outlier_detection.is_some()),
        (
            &ROUTE_POLICY,
            "request_mirror_policies",
            !request_mirror_policies.is_empty(),
        ),
        (&ROUTE_POLICY, "hash_policy", !hash_policy.is_empty()),
        (&ROUTE_POLICY, "retry_policy", retry_policy.is_some()),
    ];
    for (rule, field, _) in set.into_iter().filter(|(_, _, set)| *set) {
        findings.add(rule, at.field(field));
    }
}

fn is_codec(filter: &HttpFilter) -> bool {
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => extension::message_name(any) == UPSTREAM_CODEC,
        Some(ConfigType::ConfigDiscovery(_)) | None => false,
    }
}

/// The version, and how many requests a connection of HTTP/2 takes at a time.
fn explicit(config: &ExplicitHttpConfig, at: Path<'_>, findings: &Findings) -> (Speaks, Option<u32>) {
    let ExplicitHttpConfig { protocol_config } = config;
    match protocol_config {
        None => (Speaks::Http1, None),
        Some(ProtocolConfig::HttpProtocolOptions(options)) => {
            http1_options(options, at.field("http_protocol_options"), findings);
            (Speaks::Http1, None)
        }
        Some(ProtocolConfig::Http2ProtocolOptions(options)) => {
            let streams = http2::http2(options, at.field("http2_protocol_options"), findings);
            (Speaks::Http2, streams)
        }
        Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
            findings.add(&HTTP3, at.field("http3_protocol_options"));
            (Speaks::Http1, None)
        }
    }
}

fn http1_options(options: &Http1ProtocolOptions, at: Path<'_>, findings: &Findings) {
    if *options != Http1ProtocolOptions::default() {
        findings.add(&HTTP1_OPTIONS, at);
    }
}

fn common_options(protocol: &mut Protocol, options: &core::HttpProtocolOptions, at: Path<'_>, findings: &Findings) {
    let core::HttpProtocolOptions {
        idle_timeout,
        max_connection_duration,
        max_connection_duration_jitter,
        max_headers_count,
        max_response_headers_kb,
        max_stream_duration,
        headers_with_underscores_action,
        max_requests_per_connection,
    } = options;
    if let Some(timeout) = idle_timeout {
        // 0 means the same to both: an idle connection is not closed.
        protocol.keepalive_pool.get_or_insert(DEFAULT_POOL).idle_timeout = duration::seconds(timeout);
    }
    if let Some(requests) = max_requests_per_connection {
        requests_per_connection(protocol, requests.value);
    }
    let set = [
        (&LIFETIME, "max_connection_duration", max_connection_duration.is_some()),
        (
            &LIFETIME,
            "max_connection_duration_jitter",
            max_connection_duration_jitter.is_some(),
        ),
        (&HEADER_LIMITS, "max_headers_count", max_headers_count.is_some()),
        (
            &HEADER_LIMITS,
            "max_response_headers_kb",
            max_response_headers_kb.is_some(),
        ),
        (&STREAM_DURATION, "max_stream_duration", max_stream_duration.is_some()),
        (
            &HEADER_LIMITS,
            "headers_with_underscores_action",
            *headers_with_underscores_action != 0,
        ),
    ];
    for (rule, field, _) in set.into_iter().filter(|(_, _, set)| *set) {
        findings.add(rule, at.field(field));
    }
}

fn requests_per_connection(protocol: &mut Protocol, requests: u32) {
    // 0 means no limit to Envoy. APISIX demands one, and its own closes a connection now and then, which no request
    // notices.
    if requests > 0 {
        protocol.keepalive_pool.get_or_insert(DEFAULT_POOL).requests = requests;
    }
}
