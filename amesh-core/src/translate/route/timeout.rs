//! How long a forwarded request may take.
//!
//! Envoy counts from the end of the request to the end of the answer, all tries together; 15 seconds where a route says
//! nothing, and Istio writes `0s`, no limit, wherever a `VirtualService` says nothing. nginx bounds each wait: for the
//! connection, for a piece of the request to be taken, for a piece of the answer to come. So APISIX's own `timeout` of a
//! route ends an upstream that falls silent, and the `amesh-retry` plugin also one that is slow to begin its answer over
//! several tries. An answer that trickles on is ended by neither.

use envoy_types::pb::envoy::config::route::v3::RouteAction;
use envoy_types::pb::envoy::config::route::v3::route_action::MaxStreamDuration;
use envoy_types::pb::google::protobuf::Duration;

use crate::apisix::Timeout;
use crate::apisix::plugin::AmeshRetry;
use crate::feature::{Feature, Message, approximate, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::value::duration::{NO_LIMIT, millis, seconds};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/timeout",
    summary: "A route's timeouts become the timeout of APISIX's route, or the amesh-retry plugin.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.RouteAction",
            fields: &[
                approximate("timeout", "route.timeout.read", &WAITS)
                    .amesh_approximate("amesh-retry.timeout", &TO_THE_ANSWER),
                approximate("idle_timeout", "route.timeout.read", &WAITS)
                    .amesh_approximate("amesh-retry.idle_timeout", &TO_THE_ANSWER),
                unsupported("flush_timeout", &FLUSH),
                unsupported("max_grpc_timeout", &GRPC)
                    .amesh_approximate("amesh-retry.grpc_timeout_max", &TO_THE_ANSWER),
                irrelevant(
                    "grpc_timeout_offset",
                    "makes Envoy give up a little before a gRPC client does, which ends the call anyway",
                ),
                approximate("max_stream_duration", "route.timeout.read", &WAITS)
                    .amesh_approximate("amesh-retry.timeout", &TO_THE_ANSWER),
            ],
        },
        Message {
            name: "envoy.config.route.v3.RouteAction.MaxStreamDuration",
            fields: &[
                approximate("max_stream_duration", "route.timeout.read", &WAITS)
                    .amesh_approximate("amesh-retry.timeout", &TO_THE_ANSWER),
                unsupported("grpc_timeout_header_max", &GRPC)
                    .amesh_approximate("amesh-retry.grpc_timeout_max", &TO_THE_ANSWER),
                irrelevant(
                    "grpc_timeout_header_offset",
                    "makes Envoy give up a little before a gRPC client does, which ends the call anyway",
                ),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

static WAITS: Rule = Rule::new(
    "route-timeout",
    Outcome::Approximated,
    "a timeout bounds each wait for the upstream, not the whole request",
    "Envoy ends a request when the answer is not complete in time; where a route sets no timeout, after 15 seconds. APISIX \
     gives up when a connection takes longer than that (10 seconds at most), or when the upstream takes no byte of the \
     request or sends no byte of the answer for that long. An upstream that is silent is ended after the same time, one that \
     goes on sending is not. The status is 504 in both.",
    "nothing for upstreams that answer at once or not at all; or load Amesh's Lua package",
);

static TO_THE_ANSWER: Rule = Rule::new(
    "route-timeout-answer",
    Outcome::Approximated,
    "a timeout holds until the answer begins, and then for each wait",
    "Envoy ends a request when the answer is not complete in time. Amesh's package gives all tries together that time until \
     the answer begins; from then on an upstream that sends no byte for that long is ended, one that goes on sending is not. \
     WebSocket connections are not bounded in either. Where Envoy answers a gRPC client with the status of an exceeded \
     deadline, APISIX answers 504.",
    "nothing, unless an answer that trickles on has to be cut off",
);

static FLUSH: Rule = Rule::new(
    "route-flush-timeout",
    Outcome::LeftOut,
    "how long a client may take to read the end of an answer is nginx's own",
    "Envoy can bound how long it waits for a slow client to take what is left of an answer, by route. nginx has such a \
     setting for all listeners together.",
    "set `send_timeout` under `nginx_config` in APISIX",
);

static GRPC: Rule = Rule::new(
    "route-grpc-timeout",
    Outcome::LeftOut,
    "a gRPC client's own deadline is not enforced",
    "Envoy can end a gRPC call at the deadline that the client wrote into grpc-timeout, up to a bound. APISIX passes the \
     header on; client and server enforce it themselves.",
    "nothing, as gRPC's own libraries enforce deadlines; or load Amesh's Lua package",
);

/// Envoy's timeout where a route sets none, in seconds.
const UNSET: f64 = 15.0;
/// The longest time that APISIX's own timeouts give a connection: a route's timeouts replace those of its upstream, and
/// this is what Istio's clusters say unless told otherwise.
const LONGEST_CONNECT: f64 = 10.0;

/// How long requests of a route may take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Limits {
    /// For everything, in seconds.
    total: Option<f64>,
    /// For everything too, but no concern of upstreams.
    stream: Option<f64>,
    idle: Option<f64>,
    grpc_max: Option<f64>,
    /// Whether that is no concern of upstreams.
    grpc_stream: bool,
}

pub(super) fn limits(action: &RouteAction, at: Path<'_>, findings: &Findings) -> Limits {
    let amesh = findings.options().target == Target::Amesh;
    let rule = if amesh { &TO_THE_ANSWER } else { &WAITS };
    let mut limits = Limits::default();
    match &action.timeout {
        None => {
            findings.add_with(rule, at.field("timeout"), "unset, which is 15 s to Envoy");
            limits.total = Some(UNSET);
        }
        Some(timeout) => limits.total = limit(timeout),
    }
    findings.add_if(action.timeout.as_ref().is_some_and(is_some), rule, at.field("timeout"));
    if let Some(idle) = &action.idle_timeout {
        limits.idle = limit(idle);
        findings.add_if(is_some(idle), rule, at.field("idle_timeout"));
    }
    // Zero is no timeout, which is what nginx is told.
    findings.add_if(
        action.flush_timeout.as_ref().is_some_and(is_some),
        &FLUSH,
        at.field("flush_timeout"),
    );
    #[expect(deprecated, reason = "istiod sends it")]
    if let Some(most) = &action.max_grpc_timeout {
        limits.grpc(most, "max_grpc_timeout", at, findings);
    }
    if let Some(MaxStreamDuration {
        max_stream_duration,
        grpc_timeout_header_max,
        grpc_timeout_header_offset: _,
    }) = &action.max_stream_duration
    {
        let at = at.field("max_stream_duration");
        if let Some(most) = max_stream_duration.as_ref().filter(|most| is_some(most)) {
            findings.add(rule, at.field("max_stream_duration"));
            limits.stream = limit(most);
        }
        if let Some(most) = grpc_timeout_header_max {
            limits.grpc(most, "grpc_timeout_header_max", at, findings);
            limits.grpc_stream = limits.grpc_max.is_some();
        }
    }
    limits
}

impl Limits {
    /// The bound on the deadline that a gRPC client asks for. Zero lets it ask for anything.
    fn grpc(&mut self, most: &Duration, field: &'static str, at: Path<'_>, findings: &Findings) {
        let amesh = findings.options().target == Target::Amesh;
        // Where the client may ask for anything, its own library gives up at the same time.
        findings.add_if(
            is_some(most),
            if amesh { &TO_THE_ANSWER } else { &GRPC },
            at.field(field),
        );
        self.grpc_max = amesh.then(|| seconds(most));
    }

    /// The timeout of APISIX's own route; none where the upstream's own will do.
    pub(super) fn native(self) -> Option<Timeout> {
        let total = shorter(self.total, self.stream);
        let wait = shorter(total, self.idle)?;
        Some(Timeout {
            connect: shorter(total, Some(LONGEST_CONNECT)).unwrap_or(LONGEST_CONNECT),
            send: wait,
            read: wait,
        })
    }

    /// What the package's plugin has to know.
    pub(super) fn amesh(self) -> AmeshRetry {
        AmeshRetry {
            timeout: self.total,
            stream_timeout: self.stream,
            grpc_timeout_max: self.grpc_max,
            grpc_stream_timeout: self.grpc_stream,
            idle_timeout: self.idle,
            ..AmeshRetry::default()
        }
    }
}

fn shorter(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn is_some(duration: &Duration) -> bool {
    limit(duration).is_some()
}

/// Seconds; `None` for less than a millisecond, which Envoy reads as zero and so as no limit, and for what is as good as
/// none.
pub(super) fn limit(duration: &Duration) -> Option<f64> {
    (millis(duration) > 0)
        .then(|| seconds(duration))
        .filter(|seconds| *seconds < NO_LIMIT)
}
