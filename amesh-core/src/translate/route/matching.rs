//! `RouteMatch`: which requests a route takes.

use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3::RouteMatch;
use envoy_types::pb::envoy::config::route::v3::route_match::GrpcRouteMatchOptions;

use super::header::{Matched, header};
use super::path::{PathMatch, Source, path};
use super::query::query_parameter;
use crate::apisix::Expr;
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::translate::resource::UNKNOWN_MATCH;
use crate::translate::value::fraction::{Share, share};
use crate::translate::value::string_match::Refused;

pub(crate) static FEATURE: Feature = Feature {
    name: "route/matching",
    summary: "The conditions of a route become `vars`; what APISIX cannot test is answered 503.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.RouteMatch",
            fields: &[
                exact("runtime_fraction", "route.vars[]: request_id ~~"),
                exact("headers", "route.vars[]"),
                exact("query_parameters", "route.vars[]"),
                unsupported("cookies", &COOKIE),
                exact("grpc", "route.vars[]: http_content_type ~~"),
                unsupported("tls_context", &TLS_CONTEXT),
                unsupported("dynamic_metadata", &DYNAMIC_METADATA),
                unsupported("filter_state", &FILTER_STATE),
            ],
        },
        Message {
            name: "envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions",
            fields: &[],
        },
        Message {
            name: "envoy.config.core.v3.RuntimeFractionalPercent",
            fields: &[
                exact("default_value", "route.vars[]: request_id ~~"),
                irrelevant(
                    "runtime_key",
                    "APISIX has no runtime layer that could override the default",
                ),
            ],
        },
    ],
    extensions: &[],
    rules: &[&FRACTION],
};

static COOKIE: Rule = Rule::new(
    "route-cookie",
    Outcome::FailsClosed,
    "a route is chosen by a cookie",
    "Cookie matchers are newer than the Envoy whose behaviour Amesh was checked against. Requests that meet the \
     route's other conditions are answered 503 rather than given to a route further down.",
    "match on the cookie header with a regex; or permit the rule to leave the route out",
);

static TLS_CONTEXT: Rule = Rule::new(
    "route-tls-context",
    Outcome::FailsClosed,
    "a route is chosen by the client's certificate",
    "Envoy can look at whether the client presented a certificate and whether it was valid. Certificates are not \
     carried over, so APISIX cannot tell. Requests that meet the route's other conditions are answered 503 rather than \
     given to a route further down.",
    "permit the rule to leave the route out",
);

static DYNAMIC_METADATA: Rule = Rule::new(
    "route-dynamic-metadata",
    Outcome::FailsClosed,
    "a route is chosen by metadata that a filter sets, such as a claim of a JWT",
    "Istio routes by claims (`@request.auth.claims`) through metadata that Envoy's JWT filter leaves behind. The filter \
     is not carried over, so APISIX cannot tell. Requests that meet the route's other conditions are answered 503 \
     rather than given to a route further down.",
    "permit the rule to leave the route out",
);

static FILTER_STATE: Rule = Rule::new(
    "route-filter-state",
    Outcome::FailsClosed,
    "a route is chosen by state that a filter sets",
    "Envoy's filters can leave state behind that routes look at. APISIX has no such state. Requests that meet the \
     route's other conditions are answered 503 rather than given to a route further down.",
    "permit the rule to leave the route out",
);

static FRACTION: Rule = Rule::new(
    "route-fraction-unknown",
    Outcome::FailsClosed,
    "a fraction has a denominator that Amesh does not know",
    "The denominator is newer than Amesh's types. Requests that meet the route's other conditions are answered 503 \
     rather than given to a route further down.",
    "use hundredths, ten-thousandths or millionths; or permit the rule to leave the route out",
);

/// Which requests a route takes.
#[derive(Debug)]
pub(crate) struct Matching {
    pub(crate) path: PathMatch,
    /// Conditions beside the path, all of which must hold.
    pub(crate) conditions: Vec<Expr>,
    /// A condition that could not be carried over and that no one permitted: the conditions above take more requests
    /// than the route would, so these must be refused.
    pub(crate) refused: bool,
}

/// Reads which requests a route takes; `None` when it takes none, or is left out by the operator's leave.
pub(crate) fn matching(
    route_match: &RouteMatch,
    source: Source,
    at: Path<'_>,
    findings: &Findings,
) -> Option<Matching> {
    let RouteMatch {
        case_sensitive,
        runtime_fraction,
        headers,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
        path_specifier,
    } = route_match;
    let mut conditions = Vec::new();
    let (mut refused, mut left_out, mut never) = (false, false, false);
    let mut refuse = |Refused(rule): Refused| {
        if findings.options().permits(rule) {
            left_out = true;
        } else {
            refused = true;
        }
    };
    let mut report = |rule: &'static Rule, at: Path<'_>| {
        findings.add(rule, at);
        refuse(Refused(rule));
    };
    if !cookies.is_empty() {
        report(&COOKIE, at.field("cookies"));
    }
    if tls_context.is_some() {
        report(&TLS_CONTEXT, at.field("tls_context"));
    }
    if !dynamic_metadata.is_empty() {
        report(&DYNAMIC_METADATA, at.field("dynamic_metadata"));
    }
    if !filter_state.is_empty() {
        report(&FILTER_STATE, at.field("filter_state"));
    }
    if findings.has_unknown_below(at) {
        report(&UNKNOWN_MATCH, at);
    }
    // Unset means case-sensitive.
    let case_sensitive = case_sensitive.as_ref().is_none_or(|value| value.value);
    let path = path(path_specifier.as_ref(), case_sensitive, source, at, findings).unwrap_or_else(|error| {
        refuse(error);
        PathMatch::Any
    });
    for (index, matcher) in headers.iter().enumerate() {
        match header(matcher, at.field("headers").index(index), findings) {
            Ok(Matched::If(expr)) => conditions.push(expr),
            Ok(Matched::Always) => {}
            Ok(Matched::Never) => never = true,
            Err(error) => refuse(error),
        }
    }
    let mut queries = Vec::new();
    for (index, matcher) in query_parameters.iter().enumerate() {
        match query_parameter(matcher, at.field("query_parameters").index(index), findings) {
            Ok(expr) => queries.push(expr),
            Err(error) => refuse(error),
        }
    }
    // istiod lists them in an order that changes from push to push; all of them must hold, so any order will do.
    queries.sort();
    conditions.append(&mut queries);
    if let Some(GrpcRouteMatchOptions {}) = grpc {
        conditions.push(Expr::matches("http_content_type", "^application/grpc(?:\\+.*)?\\z"));
    }
    if let Some(RuntimeFractionalPercent {
        default_value,
        runtime_key: _,
    }) = runtime_fraction
    {
        // Without a value the fraction is of a hundred, and zero.
        match share(default_value.unwrap_or_default()) {
            Some(Share::All) => {}
            Some(Share::None) => return None,
            Some(Share::Some(expr)) => conditions.push(expr),
            None => {
                findings.add(
                    &FRACTION,
                    at.field("runtime_fraction").field("default_value").field("denominator"),
                );
                refuse(Refused(&FRACTION));
            }
        }
    }
    (path != PathMatch::Never && !left_out && !never).then_some(Matching {
        path,
        conditions,
        refused,
    })
}
