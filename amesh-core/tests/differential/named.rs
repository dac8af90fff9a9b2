//! The differences that findings name: which aspects of an exchange each rule may change, and when. A rule that is not here
//! explains nothing. How nginx reads requests is not here: see [`crate::tame`].

use std::collections::BTreeSet;

use crate::compare::Answer;
use crate::requests::Request;
use crate::tame;

/// An aspect of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    Status,
    Cluster,
    /// The method, path and query that the workload saw.
    Target,
    Location,
    Body,
    /// The host that the workload saw.
    Host,
    /// Another header that the workload saw.
    Header(String),
    /// A header of the answer, but for where it leads.
    ResponseHeader(String),
    /// How often each of some is chosen.
    Shares,
    /// How often workloads were asked, and which.
    Attempts,
}

/// What a rule may change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum May {
    All,
    Status,
    Cluster,
    Target,
    Location,
    Body,
    Host,
    /// Those headers of the request.
    Headers(&'static [&'static str]),
    /// Those that some route changes.
    ChangedHeader,
    /// Those headers of the answer.
    ResponseHeaders(&'static [&'static str]),
    AnyResponseHeader,
    /// Those that some route changes.
    ChangedResponseHeader,
    /// Those that some route changes, with dashes for underscores in their names.
    DashedResponseHeader,
    Shares,
    Attempts,
}

impl May {
    fn covers(self, aspect: &Aspect, changed: &[BTreeSet<String>; 2]) -> bool {
        match (self, aspect) {
            (Self::All, _)
            | (Self::Status, Aspect::Status)
            | (Self::Cluster, Aspect::Cluster)
            | (Self::Target, Aspect::Target)
            | (Self::Location, Aspect::Location)
            | (Self::Body, Aspect::Body)
            | (Self::Host, Aspect::Host)
            | (Self::Shares, Aspect::Shares)
            | (Self::Attempts, Aspect::Attempts)
            | (Self::AnyResponseHeader, Aspect::ResponseHeader(_)) => true,
            (Self::Headers(names), Aspect::Header(name))
            | (Self::ResponseHeaders(names), Aspect::ResponseHeader(name)) => names.contains(&name.as_str()),
            (Self::ChangedHeader, Aspect::Header(name)) => changed[0].contains(name),
            (Self::ChangedResponseHeader, Aspect::ResponseHeader(name)) => changed[1].contains(name),
            (Self::DashedResponseHeader, Aspect::ResponseHeader(name)) => {
                let dashed =
                    |changed: &String| changed.contains('_') && changed.replace('_', "-") == name.replace('_', "-");
                changed[1].iter().any(dashed)
            }
            _ => false,
        }
    }
}

/// What a rule may change, where the two answers are like that: Envoy's and APISIX's.
pub(crate) struct Named {
    pub(crate) rule: &'static str,
    may: &'static [May],
    pub(crate) when: fn(&Request, &Answer, &Answer) -> bool,
}

impl Named {
    /// Whether it may change an aspect, where routes change those headers of requests and of answers.
    pub(crate) fn covers(&self, aspect: &Aspect, changed: &[BTreeSet<String>; 2]) -> bool {
        self.may.iter().any(|may| may.covers(aspect, changed))
    }
}

const fn named(rule: &'static str, may: &'static [May]) -> Named {
    Named {
        rule,
        may,
        when: |_, _, _| true,
    }
}

const fn when(rule: &'static str, may: &'static [May], when: fn(&Request, &Answer, &Answer) -> bool) -> Named {
    Named { rule, may, when }
}

/// What a finding of that rule may change.
pub(crate) fn of(rule: &str) -> impl Iterator<Item = &'static Named> {
    NAMED.iter().filter(move |named| named.rule == rule)
}

/// Where a request came from, as each proxy says it.
const FORWARDED: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// What Envoy tells workloads of itself.
const ENVOYS: &[&str] = &[
    "x-envoy-decorator-operation",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
];

/// Whether an aspect is what each proxy says of itself, whatever it is told: the rule `nginx-request` says so once for each
/// connection manager. Exchanges that differ in nothing else are equal. What a client sent is not a proxy's own.
pub(crate) fn is_own(aspect: &Aspect, request: &Request, envoy: &Answer, apisix: &Answer) -> bool {
    match aspect {
        Aspect::Header(name) => {
            let sent = |(header, _): &(String, String)| header.eq_ignore_ascii_case(name);
            (FORWARDED.contains(&name.as_str()) || ENVOYS.contains(&name.as_str())) && !request.headers.iter().any(sent)
        }
        Aspect::ResponseHeader(name) if name == "server" => {
            let says = |answer: &Answer, start: &str| {
                let values = answer.headers.get("server").map_or(&[] as &[String], Vec::as_slice);
                values.iter().all(|value| value.starts_with(start))
            };
            (says(envoy, "envoy") || says(envoy, "istio-envoy"))
                && (says(apisix, "APISIX") || says(apisix, "openresty"))
        }
        Aspect::ResponseHeader(name) if name == "x-apisix-upstream-status" => true,
        // A cookie that is made for a client holds a number of its own.
        Aspect::ResponseHeader(name) if name == "set-cookie" => {
            let made = |answer: &Answer| {
                answer
                    .headers
                    .get(name)
                    .map(|lines| lines.iter().map(|line| without_number(line)).collect())
            };
            let of_envoy: Option<Vec<String>> = made(envoy);
            of_envoy.is_some() && of_envoy == made(apisix)
        }
        // Errors and redirects that both give by themselves have texts of their own.
        Aspect::ResponseHeader(name) if name == "content-type" => {
            envoy.status >= 300 && envoy.status == apisix.status && !envoy.echoed && !apisix.echoed
        }
        _ => false,
    }
}

/// A cookie without the number in quotes.
fn without_number(cookie: &str) -> String {
    let mut parts = cookie.splitn(3, '"');
    match [parts.next(), parts.next(), parts.next()] {
        [Some(name), Some(number), Some(rest)] if number.len() == 16 => format!("{name}{rest}"),
        _ => cookie.to_owned(),
    }
}

/// What tells workloads of a trace.
const TRACES: &[&str] = &[
    "traceparent",
    "tracestate",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
];

/// What browsers are told of who may read an answer.
const CORS: &[May] = &[May::ResponseHeaders(&[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
])];

fn has(request: &Request, name: &str) -> bool {
    request.headers.iter().any(|(found, _)| found == name)
}

/// Whether Envoy answered a preflight request by itself.
fn is_preflight(request: &Request, envoy: &Answer, _: &Answer) -> bool {
    request.method == "OPTIONS" && has(request, "origin") && envoy.status == 200 && !envoy.echoed
}

/// Headers that routes change.
const CHANGED: &[May] = &[May::ChangedHeader, May::ChangedResponseHeader];

/// What differs where a copy of a request was not sent, or not yet, or came first.
const COPIES: &[May] = &[
    May::Attempts,
    May::Cluster,
    May::Host,
    May::Headers(&["x-envoy-internal"]),
];

/// Whether one of the two answered with a fault, and the other did not. An answer to HEAD does not say that it is one.
fn is_fault(request: &Request, envoy: &Answer, apisix: &Answer) -> bool {
    if request.method == "HEAD" {
        return envoy.echoed != apisix.echoed;
    }
    envoy.is_fault() != apisix.is_fault()
}

/// Whether APISIX has no route, or nginx refused what would have found none.
fn is_not_found(_: &Request, _: &Answer, apisix: &Answer) -> bool {
    !apisix.echoed && (apisix.status == 404 || is_nginx(apisix))
}

/// Whether nginx refused a request before APISIX saw it.
fn is_nginx(apisix: &Answer) -> bool {
    let server = apisix.headers.get("server");
    apisix.status == 400 && server.is_some_and(|server| *server == ["openresty"])
}

/// What differs where one answer came in time and the other did not.
const LATE: &[May] = &[
    May::Status,
    May::Cluster,
    May::Attempts,
    May::ResponseHeaders(&["content-type", "x-echo"]),
];

/// What differs where one of two routes took a request, or one took it and none did.
const SERVED: &[May] = LATE;

/// Whether an answer came too late, for a route that has a limit.
fn is_late(_: &Request, envoy: &Answer, apisix: &Answer) -> bool {
    let limit = "x-envoy-expected-rq-timeout-ms";
    envoy.status == 504
        || apisix.status == 504 && envoy.seen.as_ref().is_some_and(|seen| seen.headers.contains_key(limit))
}

static NAMED: &[Named] = &[
    named(
        "connection-manager-headers",
        &[
            May::Headers(FORWARDED),
            May::Headers(&["via"]),
            May::ResponseHeaders(&["via"]),
        ],
    ),
    named("client-address", &[May::Headers(FORWARDED)]),
    named("direct-response-body", &[May::Body]),
    when("endpoint-drop-overload", &[May::All], |_, envoy, _| {
        envoy.headers.contains_key("x-envoy-drop-overload")
    }),
    named("endpoint-drop-overload", &[May::Shares]),
    named("format-command", CHANGED),
    named("header-mutation", CHANGED),
    named("header-mutation-empty", CHANGED),
    when(
        "header-mutation-underscore",
        &[May::DashedResponseHeader],
        |_, envoy, _| envoy.headers.keys().any(|name| name.contains('_')),
    ),
    named("header-mutation-variable", CHANGED),
    named("endpoint-degraded", &[May::Shares]),
    when("cluster-extension", &[May::All], |_, _, apisix| {
        !apisix.echoed && apisix.status == 503
    }),
    named("lb-consistent-hash", &[May::Shares]),
    named("lb-subset", &[May::Shares]),
    when("listener-catch-all", &[May::All], is_not_found),
    when("filter-chain-needs-redirect", &[May::All], is_not_found),
    named("nginx-request", &[May::Headers(FORWARDED)]),
    // A route whose own path is not normalized looks at the request line as it was sent.
    when("nginx-path", SERVED, |request, _, _| request.target.contains("/../")),
    when("path-escaped-slashes", &[May::All], |request, envoy, _| {
        let path = request.path().to_ascii_lowercase();
        [307, 400].contains(&envoy.status) && ["%2f", "%5c"].iter().any(|slash| path.contains(slash))
    }),
    when("route-path-forms", SERVED, |request, _, _| {
        !tame::is_plain(request.path())
    }),
    when("route-path-forms", &[May::Target], |request, _, _| {
        !tame::is_plain(request.path())
    }),
    // The scheme is that of the connection, whatever a client says.
    when("nginx-request", &[May::All], |request, envoy, apisix| {
        has(request, "x-forwarded-proto") && [envoy, apisix].iter().any(|answer| (300..400).contains(&answer.status))
    }),
    // A question mark with nothing behind it is no query to nginx.
    when("nginx-request", &[May::Location], |request, envoy, apisix| {
        let cut = envoy.location.as_ref().and_then(|location| location.strip_suffix('?'));
        request.target.ends_with('?') && cut.is_some() && cut == apisix.location.as_deref()
    }),
    // What nginx refuses before APISIX sees it.
    when("nginx-request", &[May::All], |_, _, apisix| is_nginx(apisix)),
    when(
        "nginx-request",
        &[May::Status, May::ResponseHeaders(&["content-type"])],
        |_, envoy, apisix| envoy.status == 503 && [502, 504].contains(&apisix.status),
    ),
    named(
        "route-attempt-count",
        &[
            May::Headers(&["x-envoy-attempt-count", "x-envoy-is-timeout-retry"]),
            May::ResponseHeaders(&["x-envoy-attempt-count"]),
        ],
    ),
    // Faults are the filter's whose configuration is not carried over.
    when("route-filter-config", &[May::All], is_fault),
    named("route-filter-config", &[May::Shares]),
    when("route-filter-config", CORS, |request, _, _| has(request, "origin")),
    when("route-filter-config", &[May::All], is_preflight),
    named(
        "route-hash-policy",
        &[May::Shares, May::ResponseHeaders(&["set-cookie"])],
    ),
    named("route-forwarded-host", &[May::Headers(&["x-forwarded-host"])]),
    named(
        "route-host-rewrite",
        &[May::Host, May::Headers(&["x-envoy-original-host", "x-forwarded-host"])],
    ),
    named(
        "route-path-rewrite",
        &[May::Target, May::Headers(&["x-envoy-original-path"])],
    ),
    named(
        "route-path-rewrite-native",
        &[May::Target, May::Headers(&["x-envoy-original-path"])],
    ),
    named("route-mirror", COPIES),
    named("route-mirror-copy", COPIES),
    named("route-mirror-header", COPIES),
    when("cors-plugin", &[May::All], |request, _, _| request.method == "OPTIONS"),
    when("cors-plugin", CORS, |request, _, _| has(request, "origin")),
    named("cors-plugin", &[May::ResponseHeaders(&["vary"])]),
    when("cors-private-network", &[May::All], |request, envoy, apisix| {
        is_preflight(request, envoy, apisix)
    }),
    when("cors-fraction", CORS, |request, _, _| has(request, "origin")),
    when("cors-fraction", &[May::All], is_preflight),
    when("cors-origin", CORS, |request, _, _| has(request, "origin")),
    when("cors-origin", &[May::All], is_preflight),
    when("fault-by-header", &[May::All], is_fault),
    when("fault-condition", &[May::All], is_fault),
    named("fault-condition", &[May::Shares]),
    when("fault-unrouted", &[May::All], |_, envoy, apisix| {
        !envoy.echoed && apisix.status == 404
    }),
    named("fault-unrouted", &[May::Shares]),
    when("fault-upstream-cluster", &[May::All], is_fault),
    named("fault-upstream-cluster", &[May::Shares]),
    when("fault-with-answer", &[May::All], is_fault),
    named("fault-with-answer", &[May::Shares]),
    when("http-filter-of-member", &[May::All], is_fault),
    named("http-filter-of-member", &[May::Shares]),
    when("http-filter-differs", &[May::All], is_fault),
    named("http-filter-differs", &[May::Shares]),
    named("fault-body", &[May::Body]),
    named(
        "fault-grpc-status",
        &[
            May::Body,
            May::ResponseHeaders(&["content-type", "grpc-message", "grpc-status"]),
        ],
    ),
    when("route-retry", &[May::Status, May::Attempts], |_, envoy, apisix| {
        envoy.status < 400 && apisix.status >= 400 || envoy.status == apisix.status
    }),
    // A limit that one of the two did not reach.
    when("route-timeout", LATE, is_late),
    when("route-timeout-answer", LATE, is_late),
    when(
        "route-retry-conditions",
        &[
            May::Status,
            May::Attempts,
            May::Headers(&["x-envoy-attempt-count"]),
            May::ResponseHeaders(&["x-envoy-attempt-count"]),
        ],
        |_, envoy, apisix| envoy.status <= apisix.status,
    ),
    // What is not tried again is answered without the upstream's body.
    when(
        "route-retry-conditions",
        // Which member of a weighted set was asked is not told then.
        &[May::Cluster, May::AnyResponseHeader],
        |_, envoy, apisix| envoy.status == apisix.status && envoy.echoed && !apisix.echoed,
    ),
    named("route-retry-tuning", &[May::Attempts]),
    named("route-redirect-host", &[May::Location]),
    named("route-path-rewrite-slash", &[May::Target]),
    named("route-redirect-prefix", &[May::Location]),
    named("server-header", &[May::ResponseHeaders(&["server"])]),
    named("tracing", &[May::Headers(TRACES)]),
    named("weighted-cluster-headers", CHANGED),
    named(
        "weighted-cluster-host-rewrite",
        &[May::Host, May::Headers(&["x-envoy-original-host"])],
    ),
    named("weighted-cluster-missing", &[May::Status]),
    named("weighted-cluster-random-value", &[May::Shares]),
];

#[test]
fn every_rule_exists() {
    for named in NAMED {
        assert!(
            amesh_core::coverage::rule(named.rule).is_some(),
            "no rule is called {}",
            named.rule
        );
    }
}
