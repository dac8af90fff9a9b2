//! `VirtualHost`: domains, routes in order, and what holds for all of them.

use envoy_types::pb::envoy::config::route::v3::VirtualHost;
use envoy_types::pb::envoy::config::route::v3::virtual_host::TlsRequirementType;

use super::Above;
use super::answer::Answer;
use super::domain::{Domains, HOST, HostGroup, NEVER};
use super::entry::{Entry, entry};
use super::mirror::{COPY, MIRROR, mirrors};
use super::redirect::{self, HOST as REDIRECT_HOST};
use super::retry;
use crate::apisix::Expr;
use crate::feature::{Feature, Message, approximate, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::http_filter;
use crate::translate::http_filter::cors::older_policy;
use crate::translate::route::header_mutation::{self, Changes, Levels};
use crate::translate::route::policy::{ATTEMPT_COUNT, HEDGE, RATE_LIMIT, RETRY, RETRY_EXTENSION};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/virtual_host",
    summary: "A virtual host becomes routes with its hosts, and a last one that answers 404.",
    messages: &[Message {
        name: "envoy.config.route.v3.VirtualHost",
        fields: &[
            exact("name", "route.name"),
            exact("domains", "route.hosts or route.vars[]: http_host"),
            exact("routes", "route"),
            unsupported("matcher", &MATCHER),
            approximate("require_tls", "redirect.uri", &REDIRECT_HOST).amesh_exact("amesh-answer.redirect"),
            irrelevant("virtual_clusters", "only feeds Envoy's own statistics"),
            unsupported("rate_limits", &RATE_LIMIT),
            exact("request_headers_to_add", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].add"),
            exact("request_headers_to_remove", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].remove"),
            exact("response_headers_to_add", "response-rewrite.headers").amesh_exact("amesh-response.headers[].add"),
            exact("response_headers_to_remove", "response-rewrite.headers")
                .amesh_exact("amesh-response.headers[].remove"),
            exact("cors", "cors").amesh_exact("amesh-cors"),
            exact("typed_per_filter_config", "decides by their types: see the extensions"),
            unsupported("include_request_attempt_count", &ATTEMPT_COUNT).amesh_exact("amesh-retry.attempt_count"),
            unsupported("include_attempt_count_in_response", &ATTEMPT_COUNT)
                .amesh_exact("amesh-retry.attempt_count_in_response"),
            unsupported("retry_policy", &RETRY).amesh_exact("amesh-retry.retry"),
            unsupported("retry_policy_typed_config", &RETRY_EXTENSION),
            unsupported("hedge_policy", &HEDGE),
            unsupported("include_is_timeout_retry_header", &ATTEMPT_COUNT),
            irrelevant(
                "per_request_buffer_limit_bytes",
                "bounds Envoy's own buffers for retries and shadowing",
            ),
            irrelevant(
                "request_body_buffer_limit",
                "bounds Envoy's own buffers for retries and shadowing",
            ),
            unsupported("request_mirror_policies", &MIRROR).amesh_approximate("amesh-mirror", &COPY),
            irrelevant("metadata", "read by no filter that is carried over"),
            unsupported("route_specifiers", &MATCHER),
        ],
    }],
    extensions: &[],
    rules: &[&NEVER, &HOST],
};

static MATCHER: Rule = Rule::new(
    "virtual-host-matcher",
    Outcome::FailsClosed,
    "a virtual host chooses its routes by a matcher tree",
    "Envoy can look for a route in a tree of matchers, or leave the choice to an extension, instead of in a list. \
     Neither is carried over, so every request for the virtual host's domains is answered 503.",
    "list the routes; or permit the rule to serve the listed ones alone",
);

/// A virtual host, ready to become APISIX routes.
pub(super) struct Host<'a> {
    pub(super) name: &'a str,
    pub(super) groups: Vec<HostGroup>,
    /// In Envoy's order; the last one takes whatever is left.
    pub(super) entries: Vec<Entry>,
}

pub(super) fn virtual_host<'a>(
    host: &'a VirtualHost,
    domains: &Domains<'_>,
    above: Above<'_>,
    at: Path<'_>,
    findings: &Findings,
) -> Host<'a> {
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let VirtualHost {
        name,
        domains: own_domains,
        routes,
        matcher,
        require_tls,
        virtual_clusters: _,
        rate_limits,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        cors,
        typed_per_filter_config,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy,
        retry_policy_typed_config,
        hedge_policy,
        include_is_timeout_retry_header,
        per_request_buffer_limit_bytes: _,
        request_body_buffer_limit: _,
        request_mirror_policies,
        metadata: _,
        route_specifiers,
    } = host;
    findings.add_if(!rate_limits.is_empty(), &RATE_LIMIT, at.field("rate_limits"));
    let headers = Changes {
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
    };
    let level = header_mutation::level(&headers, above.keeps_server, at, findings);
    let above = Above {
        headers: Levels {
            host: &level,
            ..above.headers
        },
        ..above
    };
    let cors = cors
        .as_ref()
        .map(|policy| older_policy(policy, at.field("cors"), findings));
    let native = findings.options().target != Target::Amesh;
    findings.add_if(
        native && *include_request_attempt_count,
        &ATTEMPT_COUNT,
        at.field("include_request_attempt_count"),
    );
    findings.add_if(
        native && *include_attempt_count_in_response,
        &ATTEMPT_COUNT,
        at.field("include_attempt_count_in_response"),
    );
    findings.add_if(
        *include_is_timeout_retry_header,
        &ATTEMPT_COUNT,
        at.field("include_is_timeout_retry_header"),
    );
    let retry = retry::read(retry_policy.as_ref(), at, findings);
    let above = Above {
        retry: retry.as_ref(),
        attempts: [*include_request_attempt_count, *include_attempt_count_in_response],
        ..above
    };
    findings.add_if(
        retry_policy_typed_config.is_some(),
        &RETRY_EXTENSION,
        at.field("retry_policy_typed_config"),
    );
    findings.add_if(hedge_policy.is_some(), &HEDGE, at.field("hedge_policy"));
    let copies = mirrors(request_mirror_policies, at, findings);
    let above = Above {
        mirrors: copies.as_deref().unwrap_or(above.mirrors),
        ..above
    };

    let mut refused = None;
    for (set, field) in [
        (matcher.is_some(), "matcher"),
        (!route_specifiers.is_empty(), "route_specifiers"),
    ] {
        if set && !findings.permits(&MATCHER, at.field(field), None) {
            refused = Some(503);
        }
    }
    let own = http_filter::per_route(typed_per_filter_config, above.filters, at, findings);
    refused = own.refused.or(refused);
    let filters = above.filters.below(&own.configs);
    let above = Above {
        filters: &filters,
        cors: cors.as_ref(),
        ..above
    };

    let mut entries = Vec::with_capacity(routes.len() + 2);
    if let Some(status) = refused {
        entries.push(Entry::always("refused", Answer::Status(status)));
    } else {
        let wants_tls = TlsRequirementType::try_from(*require_tls) != Ok(TlsRequirementType::None);
        if wants_tls {
            entries.push(Entry {
                conditions: vec![Expr::equal("scheme", "http")],
                ..Entry::always("plaintext", redirect::to_https(at.field("require_tls"), findings))
            });
        }
        for (index, route) in routes.iter().enumerate() {
            entries.extend(entry(route, above, at.field("routes").index(index), findings));
        }
    }
    // A catch-all hides what follows it, in Envoy as in APISIX; without one, nothing but this stops APISIX from going
    // on to a less specific virtual host.
    match entries.iter().position(Entry::takes_all) {
        Some(last) => entries.truncate(last + 1),
        None => entries.push(Entry::always("no-route", Answer::Status(404))),
    }
    Host {
        name,
        groups: domains.groups(own_domains, at, findings),
        entries,
    }
}
