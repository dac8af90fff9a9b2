//! `Router`: Envoy's own last filter, which forwards requests.
//!
//! It tells upstreams how long they may take, and clients how long they took. So do Amesh's plugins, unless the filter is
//! told to keep its x-envoy headers to itself.

use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::google::protobuf::Any;

use crate::decode::extension;
use crate::feature::{Feature, Message, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "http_filter/router",
    summary: "The filter that forwards requests, and its own headers.",
    messages: &[Message {
        name: "envoy.extensions.filters.http.router.v3.Router",
        fields: &[
            irrelevant("dynamic_stats", "only feeds Envoy's own statistics"),
            irrelevant(
                "start_child_span",
                "adds to traces, which are reported where they are configured",
            ),
            unsupported("upstream_log", &LOG),
            irrelevant(
                "upstream_log_options",
                "times access logs, which are reported where they are configured",
            ),
            irrelevant(
                "suppress_envoy_headers",
                "takes away headers of Envoy's own, which APISIX does not have",
            )
            .amesh_exact("amesh-forward.manager.suppress_envoy_headers"),
            irrelevant(
                "strict_check_headers",
                "refuses values that no Envoy obeys of headers that APISIX does not obey",
            ),
            unsupported("respect_expected_rq_timeout", &EXPECTED),
            irrelevant(
                "suppress_grpc_request_failure_code_stats",
                "only feeds Envoy's own statistics",
            ),
            unsupported("upstream_http_filters", &UPSTREAM),
            irrelevant(
                "reject_connect_request_early_data",
                "concerns CONNECT, which is not served",
            ),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static LOG: Rule = Rule::new(
    "router-access-log",
    Outcome::Ignored,
    "access logs of upstream requests are not written",
    "Envoy can write a line for every try of an upstream. APISIX writes one for every request, with all tries in it.",
    "use APISIX's file-logger or http-logger plugin",
);

static EXPECTED: Rule = Rule::new(
    "router-expected-timeout",
    Outcome::LeftOut,
    "the time that an Envoy before this one gives a request is not its limit here",
    "Envoy can take the time limit of a request from x-envoy-expected-rq-timeout-ms, in which another Envoy says how long \
     it will wait. APISIX takes the limit of the route.",
    "nothing, if routes have limits of their own",
);

static UPSTREAM: Rule = Rule::new(
    "router-upstream-filters",
    Outcome::FailsClosed,
    "filters that see requests after their cluster was chosen are not carried over",
    "Such filters can refuse or change requests. They are not carried over, so every request for the filter chain is \
     answered 503.",
    "remove the filters, or permit the rule to serve requests without them",
);

/// Looks at the filter of a connection manager; a status when every request must be answered with it.
pub(super) fn filter(config: &Any, at: Path<'_>, findings: &Findings) -> Option<u32> {
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let Router {
        dynamic_stats: _,
        start_child_span: _,
        upstream_log,
        upstream_log_options: _,
        suppress_envoy_headers: _,
        strict_check_headers: _,
        respect_expected_rq_timeout,
        suppress_grpc_request_failure_code_stats: _,
        upstream_http_filters,
        reject_connect_request_early_data: _,
    } = extension::decode(config)?.ok()?;
    findings.add_if(!upstream_log.is_empty(), &LOG, at.field("upstream_log"));
    findings.add_if(
        respect_expected_rq_timeout,
        &EXPECTED,
        at.field("respect_expected_rq_timeout"),
    );
    let filters = !upstream_http_filters.is_empty();
    (filters && !findings.permits(&UPSTREAM, at.field("upstream_http_filters"), None)).then_some(503)
}

/// Whether requests and answers get no x-envoy headers of the router's.
pub(crate) fn suppresses_headers(filters: &[HttpFilter]) -> bool {
    filters.iter().any(|filter| match &filter.config_type {
        Some(ConfigType::TypedConfig(config)) => matches!(
            extension::decode::<Router>(config),
            Some(Ok(router)) if router.suppress_envoy_headers
        ),
        _ => false,
    })
}
