//! `Route`: one entry of a virtual host.

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction};

use super::action::route_action;
use super::answer::{Answer, Served};
use super::direct_response::direct_response;
use super::header_mutation::{self, Changes};
use super::matching::{Matching, matching};
use super::path::{self, PathMatch};
use super::redirect::redirect;
use super::rewrite::Matched;
use super::{Above, Clusters};
use crate::apisix::plugin::Plugins;
use crate::apisix::{Expr, Timeout};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::translate::http_filter;
use crate::translate::value::format::Known;

pub(crate) static FEATURE: Feature = Feature {
    name: "route/entry",
    summary: "A route becomes an APISIX route for each group of its virtual host's domains.",
    messages: &[Message {
        name: "envoy.config.route.v3.Route",
        fields: &[
            exact("name", "route.name"),
            exact("match", "route.uri and route.vars"),
            exact("route", "route.upstream_id or traffic-split"),
            exact("redirect", "redirect").amesh_exact("amesh-answer.redirect"),
            exact("direct_response", "fault-injection.abort").amesh_exact("amesh-answer.direct"),
            unsupported("filter_action", &ACTION),
            unsupported("non_forwarding_action", &ACTION),
            irrelevant(
                "metadata",
                "names the Istio object that the route came from; read by no filter that is carried over",
            ),
            irrelevant("decorator", "names the span of a trace"),
            exact("typed_per_filter_config", "decides by their types: see the extensions"),
            exact("request_headers_to_add", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].add"),
            exact("request_headers_to_remove", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].remove"),
            exact("response_headers_to_add", "response-rewrite.headers").amesh_exact("amesh-response.headers[].add"),
            exact("response_headers_to_remove", "response-rewrite.headers")
                .amesh_exact("amesh-response.headers[].remove"),
            unsupported("tracing", &TRACING),
            irrelevant(
                "per_request_buffer_limit_bytes",
                "bounds Envoy's own buffers for retries and shadowing",
            ),
            irrelevant("stat_prefix", "only feeds Envoy's own statistics"),
            irrelevant(
                "request_body_buffer_limit",
                "bounds Envoy's own buffers for retries and shadowing",
            ),
            unsupported("route_specifiers", &SPECIFIERS),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static ACTION: Rule = Rule::new(
    "route-action",
    Outcome::FailsClosed,
    "a route does something else than forward, redirect or answer",
    "The action belongs to another kind of data plane (a gRPC client, a filter of its own), or is newer than Amesh's \
     types. APISIX answers 503 to the requests that the route takes.",
    "permit the rule to leave the route out",
);

static SPECIFIERS: Rule = Rule::new(
    "route-specifier",
    Outcome::FailsClosed,
    "an extension decides what becomes of a route's requests",
    "Envoy lets extensions change a route after it was chosen. They are not carried over, so APISIX answers 503 to the \
     requests that the route takes.",
    "permit the rule to serve the route without them",
);

static TRACING: Rule = Rule::new(
    "route-tracing",
    Outcome::Ignored,
    "a route samples traces at a rate of its own",
    "Traces are not carried over; requests are served the same.",
    "configure tracing in APISIX",
);

/// An entry of a virtual host: which requests, and what becomes of them.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) path: PathMatch,
    pub(super) conditions: Vec<Expr>,
    pub(super) answer: Answer,
    /// What else happens to its requests; nothing of it when they are refused.
    pub(super) plugins: Plugins,
    pub(super) websocket: Option<bool>,
    pub(super) timeout: Option<Timeout>,
}

impl Entry {
    /// An entry that gives every request the same answer.
    pub(super) fn always(name: &str, answer: Answer) -> Self {
        Self {
            name: name.to_owned(),
            path: PathMatch::Any,
            conditions: Vec::new(),
            answer,
            plugins: Plugins::default(),
            websocket: None,
            timeout: None,
        }
    }

    /// Whether no request gets past this entry.
    pub(super) fn takes_all(&self) -> bool {
        self.path == PathMatch::Any && self.conditions.is_empty()
    }
}

/// Reads a route; `None` when it takes no request.
pub(super) fn entry(route: &Route, above: Above<'_>, at: Path<'_>, findings: &Findings) -> Option<Entry> {
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let Route {
        name,
        r#match,
        metadata: _,
        decorator: _,
        typed_per_filter_config,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        tracing,
        per_request_buffer_limit_bytes: _,
        stat_prefix: _,
        request_body_buffer_limit: _,
        route_specifiers,
        action,
    } = route;
    let headers = Changes {
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
    };
    let level = header_mutation::level(&headers, at, findings);
    findings.add_if(tracing.is_some(), &TRACING, at.field("tracing"));

    let matched = matching(
        r#match
            .as_ref()
            .unwrap_or(&envoy_types::pb::envoy::config::route::v3::RouteMatch::default()),
        above.paths,
        at.field("match"),
        findings,
    );
    let own = http_filter::per_route(typed_per_filter_config, above.filters, at, findings);
    let filters = above.filters.below(&own.configs);
    let mut status = own.refused;
    if !route_specifiers.is_empty() && !findings.permits(&SPECIFIERS, at.field("route_specifiers"), None) {
        status = Some(503);
    }
    let specifier = r#match.as_ref().and_then(|it| it.path_specifier.as_ref());
    let served = match action {
        Some(Action::Route(action)) => {
            let case = r#match.as_ref().and_then(|it| it.case_sensitive.as_ref());
            let matched = Matched {
                prefix: path::prefix(specifier),
                case_sensitive: case.is_none_or(|case| case.value),
            };
            route_action(action, name, matched, above, at.field("route"), findings)
        }
        Some(Action::DirectResponse(response)) => {
            Served::answered(Some(direct_response(response, at.field("direct_response"), findings)))
        }
        Some(Action::Redirect(action)) => Served::answered(redirect(
            action,
            path::prefix(specifier),
            at.field("redirect"),
            findings,
        )),
        Some(Action::FilterAction(_)) => Served::answered(refused(&ACTION, at.field("filter_action"), findings)),
        Some(Action::NonForwardingAction(_)) => {
            Served::answered(refused(&ACTION, at.field("non_forwarding_action"), findings))
        }
        None => Served::answered(refused(&ACTION, at, findings)),
    };
    let Matching {
        path,
        conditions,
        refused,
    } = matched?;
    if refused {
        status = status.or(Some(503));
    }
    let answer = match status {
        Some(status) => Some(Answer::Status(status)),
        None => served.answer,
    }?;
    let forwards = answer.forwards();
    let known = Known {
        route: name,
        cluster: match action {
            Some(Action::Route(action)) => cluster(action, above.clusters),
            _ => Some(""),
        },
    };
    let mut plugins = served.plugins;
    above
        .headers
        .add_to(&mut plugins, &level, known, forwards, at, findings);
    if forwards {
        served.changed.add_to(&mut plugins, findings.options().target);
    }
    let filters = filters.below(&served.filters);
    let older: Vec<_> = served.cors.as_ref().into_iter().chain(above.cors).collect();
    if forwards && let Some(policy) = filters.cors(&older) {
        policy.apply(&mut plugins, findings);
    }
    if let Some(fault) = filters.fault() {
        let answers = matches!(answer, Answer::Abort(_));
        fault.inject(|cluster| answer.reaches(cluster), answers, &mut plugins, at, findings);
    }
    Some(Entry {
        name: name.clone(),
        path,
        conditions,
        answer,
        plugins,
        websocket: served.websocket,
        timeout: served.timeout,
    })
}

/// The name of the cluster that gets a route's requests, where the route names it; empty where there is no such cluster.
fn cluster<'a>(action: &'a RouteAction, clusters: &Clusters<'_>) -> Option<&'a str> {
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => Some(if clusters.exists(name) { name } else { "" }),
        _ => None,
    }
}

/// A route whose action is not carried over: refused, or left out by the operator's leave.
fn refused(rule: &'static Rule, at: Path<'_>, findings: &Findings) -> Option<Answer> {
    (!findings.permits(rule, at, None)).then_some(Answer::Status(503))
}
