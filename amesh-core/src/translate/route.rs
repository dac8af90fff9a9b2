//! `RouteConfiguration`: virtual hosts of the listeners that name it.

pub(crate) mod action;
mod answer;
mod assemble;
pub(crate) mod direct_response;
mod domain;
pub(crate) mod entry;
pub(crate) mod hash_policy;
pub(crate) mod header;
pub(crate) mod header_mutation;
pub(crate) mod matching;
pub(crate) mod mirror;
mod order;
pub(crate) mod path;
pub(crate) mod policy;
pub(crate) mod query;
pub(crate) mod redirect;
pub(crate) mod retry;
pub(crate) mod rewrite;
mod serving;
pub(crate) mod timeout;
pub(crate) mod virtual_host;
pub(crate) mod weighted;

use envoy_types::pb::envoy::config::core::v3::RoutingPriority;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;

use self::assemble::assemble;
pub(crate) use self::assemble::{Refusal, refuse_all};
use self::domain::Domains;
use self::header_mutation::{Changes, Levels};
use self::mirror::{COPY, MIRROR, mirrors};
use self::serving::HEADERS_DIFFER;
pub(crate) use self::serving::Serving;
use self::virtual_host::{Host, virtual_host};
use super::http_filter::cors::Policy;
use super::http_filter::{self, Configs, Level};
use super::scope::Scope;
use crate::apisix::Route;
use crate::apisix::plugin::{MirrorCopy, Retry};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static FEATURE: Feature = Feature {
    name: "route",
    summary: "A route configuration becomes routes that apply where the listeners that name it took the request.",
    messages: &[Message {
        name: "envoy.config.route.v3.RouteConfiguration",
        fields: &[
            exact("name", "decides which listeners' requests the routes take"),
            exact("virtual_hosts", "route"),
            unsupported("vhds", &ON_DEMAND),
            unsupported("internal_only_headers", &INTERNAL_ONLY),
            exact("response_headers_to_add", "response-rewrite.headers").amesh_exact("amesh-response.headers[].add"),
            exact("response_headers_to_remove", "response-rewrite.headers")
                .amesh_exact("amesh-response.headers[].remove"),
            exact("request_headers_to_add", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].add"),
            exact("request_headers_to_remove", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].remove"),
            exact("most_specific_header_mutations_wins", "proxy-rewrite.headers")
                .amesh_exact("amesh-forward.headers[]"),
            irrelevant(
                "validate_clusters",
                "a cluster that does not exist is answered 503 whenever a request comes",
            ),
            irrelevant(
                "max_direct_response_body_size_bytes",
                "bounds what the control plane may send",
            ),
            irrelevant("cluster_specifier_plugins", "a route that names one is refused"),
            unsupported("request_mirror_policies", &MIRROR).amesh_approximate("amesh-mirror", &COPY),
            exact("ignore_port_in_host_matching", "route.vars[]: http_host"),
            unsupported("vhost_header", &VHOST_HEADER),
            unsupported("ignore_path_parameters_in_path_matching", &PATH_PARAMETERS),
            exact("typed_per_filter_config", "decides by their types: see the extensions"),
            irrelevant("metadata", "read by no filter that is carried over"),
            unsupported("route_specifiers", &SPECIFIERS),
        ],
    }],
    extensions: &[],
    rules: &[&HEADERS_DIFFER],
};

static ON_DEMAND: Rule = Rule::new(
    "route-configuration-on-demand",
    Outcome::LeftOut,
    "virtual hosts that Envoy would fetch on demand are missing",
    "Envoy can ask for a virtual host when the first request for it comes. Only the virtual hosts in the route \
     configuration are served; requests for others get 404.",
    "send the virtual hosts with the route configuration",
);

static INTERNAL_ONLY: Rule = Rule::new(
    "route-configuration-internal-headers",
    Outcome::FailsClosed,
    "headers that only internal clients may set are not removed from others",
    "Envoy removes the listed headers from requests of external clients. APISIX would pass them on, so every request \
     for the route configuration is answered 503.",
    "permit the rule to serve requests with such headers",
);

static VHOST_HEADER: Rule = Rule::new(
    "route-configuration-vhost-header",
    Outcome::FailsClosed,
    "virtual hosts are chosen by a header other than Host",
    "Envoy can look for the virtual host by another header. APISIX looks at the host alone, so every request for the \
     route configuration is answered 503.",
    "permit the rule to choose by Host",
);

static PATH_PARAMETERS: Rule = Rule::new(
    "route-configuration-path-parameters",
    Outcome::FailsClosed,
    "path parameters are not cut off before paths are compared",
    "Envoy can compare paths without their `;parameters`. APISIX compares them whole, so that other routes could win; \
     every request for the route configuration is answered 503.",
    "permit the rule to compare whole paths",
);

static SPECIFIERS: Rule = Rule::new(
    "route-configuration-specifier",
    Outcome::FailsClosed,
    "an extension decides what becomes of requests",
    "Envoy lets extensions change a route after it was chosen. They are not carried over, so every request for the \
     route configuration is answered 503.",
    "permit the rule to serve the routes without them",
);

/// What routes have to know of clusters: whether they exist, for answers that depend on it, and whether they have limits for
/// requests of a priority. Where either changes, the routes that lead to the cluster are translated anew.
pub(crate) struct Clusters<'a> {
    pub(crate) exists: &'a dyn Fn(&str) -> bool,
    pub(crate) limits: &'a dyn Fn(&str, RoutingPriority) -> bool,
}

impl Clusters<'_> {
    fn exists(&self, name: &str) -> bool {
        (self.exists)(name)
    }

    fn limits(&self, name: &str, priority: RoutingPriority) -> bool {
        (self.limits)(name, priority)
    }
}

/// What holds for every route below a route configuration or a virtual host. Each level reads its own part once, so that
/// what it cannot carry over is reported once.
#[derive(Clone, Copy)]
pub(super) struct Above<'a> {
    pub(super) clusters: &'a Clusters<'a>,
    /// What paths are read from.
    pub(super) paths: path::Source,
    /// The virtual host's own, for routes without one.
    pub(super) retry: Option<&'a Retry>,
    /// Whether the virtual host wants tries counted, for upstreams and for clients.
    pub(super) attempts: [bool; 2],
    pub(super) headers: Levels<'a>,
    /// What is configured for filters.
    pub(super) filters: &'a Level<'a>,
    /// The CORS policy of the virtual host in the field that the filter's own configuration replaced.
    pub(super) cors: Option<&'a Policy>,
    /// Where copies of requests go.
    pub(super) mirrors: &'a [MirrorCopy],
    /// Whether changes of the Server header last.
    pub(super) keeps_server: bool,
}

/// A route configuration and where it applies.
pub(crate) struct Applied<'a> {
    pub(crate) config: &'a RouteConfiguration,
    /// What its routes' ids begin with: its name, after the listener's when it is part of one.
    pub(crate) id: &'a [&'a str],
    /// What else their ids depend on without showing it.
    pub(crate) further: &'a str,
    /// Where requests for it arrive; at least one.
    pub(crate) scopes: &'a [Scope],
    pub(crate) serving: Serving,
    /// The filters of the connection managers that use it; `None` where they are not known.
    pub(crate) filters: Option<&'a Configs>,
    pub(crate) target: Target,
}

/// Translates a route configuration.
pub(crate) fn route_configuration(
    applied: &Applied<'_>,
    clusters: &Clusters<'_>,
    at: Path<'_>,
    findings: &Findings,
) -> Vec<Route> {
    let RouteConfiguration {
        name: _,
        virtual_hosts,
        vhds,
        internal_only_headers,
        response_headers_to_add,
        response_headers_to_remove,
        request_headers_to_add,
        request_headers_to_remove,
        most_specific_header_mutations_wins,
        validate_clusters: _,
        max_direct_response_body_size_bytes: _,
        cluster_specifier_plugins: _,
        request_mirror_policies,
        ignore_port_in_host_matching,
        vhost_header,
        ignore_path_parameters_in_path_matching,
        typed_per_filter_config,
        metadata: _,
        route_specifiers,
    } = applied.config;
    let headers = Changes {
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
    };
    let keeps_server = applied.serving.keeps_server();
    let level = header_mutation::level(&headers, keeps_server, at, findings);
    findings.add_if(vhds.is_some(), &ON_DEMAND, at.field("vhds"));
    let mut refused = None;
    for (set, rule, field) in [
        (
            !internal_only_headers.is_empty(),
            &INTERNAL_ONLY,
            "internal_only_headers",
        ),
        (!vhost_header.is_empty(), &VHOST_HEADER, "vhost_header"),
        (
            *ignore_path_parameters_in_path_matching,
            &PATH_PARAMETERS,
            "ignore_path_parameters_in_path_matching",
        ),
        (!route_specifiers.is_empty(), &SPECIFIERS, "route_specifiers"),
    ] {
        if set && !findings.permits(rule, at.field(field), None) {
            refused = Some(503);
        }
    }
    let manager = Level::manager(applied.filters);
    let own = http_filter::per_route(typed_per_filter_config, &manager, at, findings);
    refused = own.refused.or(refused);
    if let Some(status) = refused {
        let refusal = Refusal {
            status,
            manager: applied.serving.manager.clone(),
            target: applied.target,
        };
        return vec![refuse_all(
            applied.id,
            "refused",
            refusal,
            Scope::any_of(applied.scopes),
        )];
    }

    let copies = mirrors(request_mirror_policies, at, findings).unwrap_or_default();
    let above = Above {
        clusters,
        paths: match applied.target {
            Target::Native => path::Source::Nginx,
            Target::Amesh => path::Source::Amesh(applied.serving.path),
        },
        retry: None,
        attempts: [false; 2],
        headers: Levels {
            most_specific_wins: *most_specific_header_mutations_wins,
            configuration: &level,
            host: &header_mutation::Level::default(),
        },
        filters: &manager.below(&own.configs),
        cors: None,
        mirrors: &copies,
        keeps_server,
    };
    let domains = Domains::of(virtual_hosts, *ignore_port_in_host_matching);
    let hosts: Vec<Host<'_>> = virtual_hosts
        .iter()
        .enumerate()
        .map(|(index, host)| virtual_host(host, &domains, above, at.field("virtual_hosts").index(index), findings))
        .collect();
    assemble(applied, &hosts)
}
