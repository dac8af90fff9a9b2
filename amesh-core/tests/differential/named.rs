//! The differences that findings name: which aspects of an exchange each rule may change, and when. A rule that is not here
//! explains nothing. How nginx reads requests is not here: see [`crate::tame`].

use crate::compare::Answer;

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
    AnyHeader,
    /// Those headers of the answer.
    ResponseHeaders(&'static [&'static str]),
    AnyResponseHeader,
    Shares,
}

impl May {
    fn covers(self, aspect: &Aspect) -> bool {
        match (self, aspect) {
            (Self::All, _)
            | (Self::Status, Aspect::Status)
            | (Self::Cluster, Aspect::Cluster)
            | (Self::Target, Aspect::Target)
            | (Self::Location, Aspect::Location)
            | (Self::Body, Aspect::Body)
            | (Self::Host, Aspect::Host)
            | (Self::Shares, Aspect::Shares)
            | (Self::AnyHeader, Aspect::Header(_))
            | (Self::AnyResponseHeader, Aspect::ResponseHeader(_)) => true,
            (Self::Headers(names), Aspect::Header(name))
            | (Self::ResponseHeaders(names), Aspect::ResponseHeader(name)) => names.contains(&name.as_str()),
            _ => false,
        }
    }
}

/// What a rule may change, where the two answers are like that: Envoy's and APISIX's.
pub(crate) struct Named {
    pub(crate) rule: &'static str,
    may: &'static [May],
    pub(crate) when: fn(&Answer, &Answer) -> bool,
}

impl Named {
    pub(crate) fn covers(&self, aspect: &Aspect) -> bool {
        self.may.iter().any(|may| may.covers(aspect))
    }
}

const fn named(rule: &'static str, may: &'static [May]) -> Named {
    Named {
        rule,
        may,
        when: |_, _| true,
    }
}

const fn when(rule: &'static str, may: &'static [May], when: fn(&Answer, &Answer) -> bool) -> Named {
    Named { rule, may, when }
}

/// What a finding of that rule may change.
pub(crate) fn of(rule: &str) -> impl Iterator<Item = &'static Named> {
    NAMED.iter().filter(move |named| named.rule == rule)
}

/// What every connection manager is reported for.
const FORWARDED: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

static NAMED: &[Named] = &[
    named("connection-manager-headers", &[May::Headers(&["via"]), May::ResponseHeaders(&["via"])]),
    named("direct-response-body", &[May::Body]),
    named("header-mutation", &[May::AnyHeader, May::AnyResponseHeader]),
    named("nginx-request", &[May::Headers(FORWARDED), May::ResponseHeaders(&["server"])]),
    // An error that both answer by themselves.
    when("nginx-request", &[May::ResponseHeaders(&["content-type"])], |envoy, apisix| {
        envoy.status >= 400 && !envoy.echoed && !apisix.echoed
    }),
    when("nginx-request", &[May::Status], |envoy, apisix| {
        envoy.status == 503 && [502, 504].contains(&apisix.status)
    }),
    named("route-host-rewrite", &[May::Host]),
    named("route-path-rewrite", &[May::Target, May::Headers(&["x-envoy-original-path"])]),
    named("route-redirect", &[May::All]),
    when("route-timeout", &[May::Status, May::Cluster], |envoy, _| envoy.status == 504),
    named("server-header", &[May::ResponseHeaders(&["server"])]),
];
