//! `HttpConnectionManager`: from a connection to requests, filters and routes.

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    CodecType, RouteSpecifier, StripPortMode,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, Rds};
use envoy_types::pb::google::protobuf::Duration;

use super::client_certificate::{self, Forwarding};
use super::nginx::{self, PATH, SLASHES};
use super::upgrade;
use crate::feature::{Feature, Message, approximate, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::translate::http_filter::{Configs, http_filters};
use crate::translate::route::Serving;

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/http_connection_manager",
    summary: "A connection manager's routes apply to the requests of its filter chain, unless a filter refuses them.",
    messages: &[
        Message {
            name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            fields: &[
                unsupported("codec_type", &CODEC),
                irrelevant("stat_prefix", "only feeds Envoy's own statistics"),
                exact("rds", "route"),
                exact("route_config", "route"),
                unsupported("scoped_routes", &SCOPED),
                exact("http_filters", "decides whether requests are served"),
                unsupported("add_user_agent", &HEADERS),
                unsupported("tracing", &TRACING),
                unsupported("common_http_protocol_options", &PROTOCOL),
                irrelevant(
                    "http1_safe_max_connection_duration",
                    "says how a connection is closed that is too old",
                ),
                unsupported("http_protocol_options", &PROTOCOL),
                unsupported("http2_protocol_options", &PROTOCOL),
                unsupported("http3_protocol_options", &PROTOCOL),
                unsupported("server_name", &SERVER),
                unsupported("server_header_transformation", &SERVER),
                unsupported("scheme_header_transformation", &HEADERS),
                unsupported("max_request_headers_kb", &PROTOCOL),
                unsupported("stream_idle_timeout", &TIMEOUT),
                unsupported("stream_flush_timeout", &TIMEOUT),
                unsupported("request_timeout", &TIMEOUT),
                unsupported("request_headers_timeout", &TIMEOUT),
                irrelevant(
                    "drain_timeout",
                    "says how long Envoy lets connections go on that it wants to close",
                ),
                irrelevant(
                    "drain_timeout_jitter",
                    "says how long Envoy lets connections go on that it wants to close",
                ),
                irrelevant(
                    "delayed_close_timeout",
                    "says how Envoy closes a connection that the client still writes to",
                ),
                unsupported("access_log", &ACCESS_LOG),
                irrelevant(
                    "access_log_flush_interval",
                    "times access logs, which are reported where they are configured",
                ),
                irrelevant(
                    "flush_access_log_on_new_request",
                    "times access logs, which are reported where they are configured",
                ),
                irrelevant(
                    "access_log_options",
                    "times access logs, which are reported where they are configured",
                ),
                unsupported("use_remote_address", &CLIENT_ADDRESS),
                unsupported("xff_num_trusted_hops", &CLIENT_ADDRESS),
                unsupported("original_ip_detection_extensions", &CLIENT_ADDRESS),
                unsupported("early_header_mutation_extensions", &HEADERS),
                irrelevant(
                    "internal_address_config",
                    "says whose x-envoy headers Envoy obeys; APISIX obeys nobody's",
                ),
                unsupported("skip_xff_append", &CLIENT_ADDRESS),
                unsupported("via", &HEADERS),
                unsupported("generate_request_id", &REQUEST_ID),
                irrelevant(
                    "preserve_external_request_id",
                    "says which request ids Envoy replaces; APISIX replaces none",
                ),
                unsupported("always_set_request_id_in_response", &HEADERS),
                unsupported("proxy_100_continue", &EXPECT),
                irrelevant(
                    "represent_ipv4_remote_address_as_ipv4_mapped_ipv6",
                    "says how an address is written in headers and logs",
                ),
                approximate("normalize_path", "nginx normalizes every path", &PATH)
                    .amesh_exact("amesh-forward.path.normalize, amesh_path_normalized in route.vars[]"),
                approximate("merge_slashes", "nginx merges slashes in every path", &PATH)
                    .amesh_exact("amesh-forward.path.merge_slashes, amesh_path_merged in route.vars[]"),
                approximate("path_with_escaped_slashes_action", "nginx decodes every path", &PATH)
                    .amesh_approximate("amesh-forward.path.escaped_slashes", &SLASHES),
                irrelevant(
                    "request_id_extension",
                    "makes request ids, which are not carried over, and packs trace sampling into them",
                ),
                unsupported("local_reply_config", &LOCAL_REPLY),
                unsupported("strip_matching_host_port", &STRIP_HOST),
                unsupported("strip_any_host_port", &STRIP_HOST),
                irrelevant(
                    "stream_error_on_invalid_http_message",
                    "says how a connection goes on after a request that nginx refuses with 400",
                ),
                irrelevant("path_normalization_options", "Envoy does not implement it"),
                unsupported("strip_trailing_host_dot", &STRIP_HOST),
                unsupported("proxy_status_config", &HEADERS),
                irrelevant(
                    "typed_header_validation_config",
                    "chooses a validator of headers; nginx has its own",
                ),
                unsupported("append_x_forwarded_port", &HEADERS),
                irrelevant(
                    "append_local_overload",
                    "adds a header to answers that only an overloaded Envoy gives",
                ),
                irrelevant(
                    "add_proxy_protocol_connection_state",
                    "makes the PROXY protocol visible to Envoy's own filters",
                ),
                unsupported("forward_proto_config", &HEADERS),
            ],
        },
        Message {
            name: "envoy.extensions.filters.network.http_connection_manager.v3.Rds",
            fields: &[
                irrelevant("config_source", "says where the route configuration is fetched from"),
                exact("route_config_name", "chooses the route configuration"),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

static CODEC: Rule = Rule::new(
    "http-version-fixed",
    Outcome::Approximated,
    "a listener speaks the versions of HTTP that APISIX's own configuration allows",
    "Envoy can be told to speak one version of HTTP. APISIX speaks HTTP/1.1 on every port, and HTTP/2 and HTTP/3 where \
     its configuration enables them.",
    "enable or disable HTTP/2 for the port in APISIX",
);

static SCOPED: Rule = Rule::new(
    "scoped-routes",
    Outcome::FailsClosed,
    "the route configuration is chosen for each request by its headers",
    "Envoy can choose among route configurations by parts of a request (SRDS). That is not carried over, so every request \
     for the filter chain is answered 503.",
    "use one route configuration, or permit the rule to leave the filter chain out",
);

static HEADERS: Rule = Rule::new(
    "connection-manager-headers",
    Outcome::Ignored,
    "headers that Envoy adds to every request or response are not added",
    "A connection manager can add headers about itself (Via, Proxy-Status, X-Forwarded-Port and others). APISIX adds \
     X-Real-IP and X-Forwarded-For, -Proto, -Host and -Port of its own.",
    "nothing, unless an application reads the header",
);

static TRACING: Rule = Rule::new(
    "tracing",
    Outcome::Ignored,
    "requests are not traced",
    "Envoy starts spans and passes trace headers on with its own. APISIX passes the headers on as they come.",
    "use APISIX's opentelemetry or zipkin plugin",
);

static PROTOCOL: Rule = Rule::new(
    "http-protocol-options",
    Outcome::LeftOut,
    "limits and options of the HTTP protocol are APISIX's own",
    "Envoy bounds connections, streams, headers and idle times for each connection manager. nginx has such settings for \
     all listeners together, in APISIX's own configuration.",
    "set the limits under `nginx_config` in APISIX",
);

static SERVER: Rule = Rule::new(
    "server-header",
    Outcome::Ignored,
    "the Server header is APISIX's own",
    "Envoy names itself in the Server header, as configured. APISIX answers `Server: APISIX/…`.",
    "nothing, unless a client reads the header",
);

static TIMEOUT: Rule = Rule::new(
    "connection-manager-timeout",
    Outcome::LeftOut,
    "timeouts of the downstream side are APISIX's own",
    "Envoy ends streams that idle, and requests that take too long to arrive, as each connection manager says (five \
     minutes of idling where it says nothing). nginx has such settings for all listeners together.",
    "set `client_header_timeout`, `client_body_timeout` and `send_timeout` under `nginx_config` in APISIX",
);

static ACCESS_LOG: Rule = Rule::new(
    "access-log",
    Outcome::Ignored,
    "access logs are not written as configured",
    "Envoy writes the access logs that Istio's mesh configuration and Telemetry ask for. APISIX writes its own.",
    "use APISIX's file-logger or http-logger plugin",
);

static CLIENT_ADDRESS: Rule = Rule::new(
    "client-address",
    Outcome::LeftOut,
    "the client's address is what APISIX takes for it",
    "Envoy decides by its own settings whether to believe X-Forwarded-For and by how many hops. APISIX takes the address \
     of the connection, or believes the proxies that `real_ip_from` in its configuration names, and appends to the \
     header.",
    "set `nginx_config.http.real_ip_from` and `real_ip_header` in APISIX",
);

static REQUEST_ID: Rule = Rule::new(
    "request-id",
    Outcome::Ignored,
    "requests get no x-request-id",
    "Envoy gives every request an id and passes it on. APISIX passes on what a client sends.",
    "use APISIX's request-id plugin",
);

static EXPECT: Rule = Rule::new(
    "expect-continue",
    Outcome::Ignored,
    "nginx answers `Expect: 100-continue` itself",
    "Envoy can leave the answer to the upstream. nginx always answers 100 itself and then forwards the request.",
    "nothing",
);

static LOCAL_REPLY: Rule = Rule::new(
    "local-reply",
    Outcome::LeftOut,
    "answers that no upstream gave are not rewritten",
    "Envoy can change the status, body and format of its own answers. APISIX gives its own.",
    "nothing, unless a client reads such bodies",
);

static STRIP_HOST: Rule = Rule::new(
    "host-normalization",
    Outcome::FailsClosed,
    "the Host header is not changed before virtual hosts are looked for",
    "Envoy can cut the port or a trailing dot off the Host header before it looks for a virtual host, and before it \
     forwards the request. APISIX does not, so other routes could win; every request for the filter chain is answered \
     503.",
    "use ignore_port_in_host_matching in the route configuration; or permit the rule to use the header as it is",
);

/// The routes of a connection manager.
#[derive(Debug)]
pub(super) enum Routes {
    /// A route configuration by name.
    Named(String),
    /// A route configuration of its own.
    Inline(Box<RouteConfiguration>),
    /// Every request is answered with this status.
    Refused(u32),
    /// No request is served, by the operator's leave.
    LeftOut,
}

/// What a connection manager makes of requests.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) routes: Routes,
    pub(super) serving: Serving,
    pub(super) filters: Configs,
}

/// Reads a connection manager; `tls`: its filter chain terminates TLS.
pub(super) fn http_connection_manager(
    manager: HttpConnectionManager,
    tls: bool,
    at: Path<'_>,
    findings: &Findings,
) -> Managed {
    nginx::report(&manager, at, findings);
    let (path, client_hop) = (nginx::path_form(&manager), nginx::client_hop(&manager));
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let HttpConnectionManager {
        codec_type,
        stat_prefix: _,
        http_filters: filters,
        add_user_agent,
        tracing,
        common_http_protocol_options,
        http1_safe_max_connection_duration: _,
        http_protocol_options,
        http2_protocol_options,
        http3_protocol_options,
        server_name,
        server_header_transformation,
        scheme_header_transformation,
        max_request_headers_kb,
        stream_idle_timeout,
        stream_flush_timeout,
        request_timeout,
        request_headers_timeout,
        drain_timeout: _,
        drain_timeout_jitter: _,
        delayed_close_timeout: _,
        access_log,
        access_log_flush_interval: _,
        flush_access_log_on_new_request: _,
        access_log_options: _,
        use_remote_address,
        xff_num_trusted_hops,
        original_ip_detection_extensions,
        early_header_mutation_extensions,
        internal_address_config: _,
        skip_xff_append,
        via,
        generate_request_id,
        preserve_external_request_id: _,
        always_set_request_id_in_response,
        forward_client_cert_details,
        set_current_client_cert_details,
        forward_client_cert_matcher,
        proxy_100_continue,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6: _,
        upgrade_configs,
        normalize_path: _,
        merge_slashes: _,
        path_with_escaped_slashes_action: _,
        request_id_extension: _,
        local_reply_config,
        strip_matching_host_port,
        stream_error_on_invalid_http_message: _,
        path_normalization_options: _,
        strip_trailing_host_dot,
        proxy_status_config,
        typed_header_validation_config: _,
        append_x_forwarded_port,
        append_local_overload: _,
        add_proxy_protocol_connection_state: _,
        forward_proto_config,
        route_specifier,
        strip_port_mode,
    } = manager;
    for (set, rule, field) in [
        (codec_type != i32::from(CodecType::Auto), &CODEC, "codec_type"),
        (
            add_user_agent.is_some_and(|value| value.value),
            &HEADERS,
            "add_user_agent",
        ),
        (tracing.is_some(), &TRACING, "tracing"),
        (
            common_http_protocol_options.is_some(),
            &PROTOCOL,
            "common_http_protocol_options",
        ),
        (http_protocol_options.is_some(), &PROTOCOL, "http_protocol_options"),
        (http2_protocol_options.is_some(), &PROTOCOL, "http2_protocol_options"),
        (http3_protocol_options.is_some(), &PROTOCOL, "http3_protocol_options"),
        (!server_name.is_empty(), &SERVER, "server_name"),
        (
            server_header_transformation != 0,
            &SERVER,
            "server_header_transformation",
        ),
        (
            scheme_header_transformation.is_some(),
            &HEADERS,
            "scheme_header_transformation",
        ),
        (max_request_headers_kb.is_some(), &PROTOCOL, "max_request_headers_kb"),
        (
            stream_idle_timeout.as_ref().is_none_or(is_set),
            &TIMEOUT,
            "stream_idle_timeout",
        ),
        (
            stream_flush_timeout.as_ref().is_some_and(is_set),
            &TIMEOUT,
            "stream_flush_timeout",
        ),
        (
            request_timeout.as_ref().is_some_and(is_set),
            &TIMEOUT,
            "request_timeout",
        ),
        (
            request_headers_timeout.as_ref().is_some_and(is_set),
            &TIMEOUT,
            "request_headers_timeout",
        ),
        (!access_log.is_empty(), &ACCESS_LOG, "access_log"),
        (
            use_remote_address.is_some_and(|value| value.value),
            &CLIENT_ADDRESS,
            "use_remote_address",
        ),
        (xff_num_trusted_hops != 0, &CLIENT_ADDRESS, "xff_num_trusted_hops"),
        (
            !original_ip_detection_extensions.is_empty(),
            &CLIENT_ADDRESS,
            "original_ip_detection_extensions",
        ),
        (
            !early_header_mutation_extensions.is_empty(),
            &HEADERS,
            "early_header_mutation_extensions",
        ),
        (skip_xff_append, &CLIENT_ADDRESS, "skip_xff_append"),
        (!via.is_empty(), &HEADERS, "via"),
        (
            generate_request_id.is_none_or(|value| value.value),
            &REQUEST_ID,
            "generate_request_id",
        ),
        (
            always_set_request_id_in_response,
            &HEADERS,
            "always_set_request_id_in_response",
        ),
        (proxy_100_continue, &EXPECT, "proxy_100_continue"),
        (local_reply_config.is_some(), &LOCAL_REPLY, "local_reply_config"),
        (proxy_status_config.is_some(), &HEADERS, "proxy_status_config"),
        (append_x_forwarded_port, &HEADERS, "append_x_forwarded_port"),
        (forward_proto_config.is_some(), &HEADERS, "forward_proto_config"),
    ] {
        if set {
            findings.add(rule, at.field(field));
        }
    }
    let removes_client_cert = client_certificate::removes_header(
        &Forwarding {
            details: forward_client_cert_details,
            set_current: set_current_client_cert_details.is_some(),
            matcher: forward_client_cert_matcher.is_some(),
        },
        tls,
        at,
        findings,
    );
    let (mut refused, filters) = http_filters(&filters, at, findings);
    for (set, field) in [
        (strip_matching_host_port, "strip_matching_host_port"),
        (strip_trailing_host_dot, "strip_trailing_host_dot"),
        (
            strip_port_mode == Some(StripPortMode::StripAnyHostPort(true)),
            "strip_any_host_port",
        ),
    ] {
        if set && !findings.permits(&STRIP_HOST, at.field(field), None) {
            refused = refused.or(Some(503));
        }
    }
    let routes = match (refused, route_specifier) {
        (Some(status), _) => Routes::Refused(status),
        (
            None,
            Some(RouteSpecifier::Rds(Rds {
                config_source: _,
                route_config_name,
            })),
        ) => Routes::Named(route_config_name),
        (None, Some(RouteSpecifier::RouteConfig(config))) => Routes::Inline(Box::new(config)),
        (None, Some(RouteSpecifier::ScopedRoutes(_))) => {
            if findings.permits(&SCOPED, at.field("scoped_routes"), None) {
                Routes::LeftOut
            } else {
                Routes::Refused(503)
            }
        }
        (None, None) => Routes::Refused(503),
    };
    Managed {
        routes,
        serving: Serving {
            websocket: upgrade::websocket(&upgrade_configs, at.field("upgrade_configs"), findings),
            removes_client_cert,
            path,
            client_hop,
        },
        filters,
    }
}

fn is_set(duration: &Duration) -> bool {
    duration.seconds != 0 || duration.nanos != 0
}
