//! `RouteAction`: the cluster that gets a request, and what happens on the way to it.

use envoy_types::pb::envoy::config::core::v3::RoutingPriority;
use envoy_types::pb::envoy::config::route::v3::RouteAction;
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterNotFoundResponseCode, ClusterSpecifier, UpgradeConfig,
};

use super::answer::{Answer, Served};
use super::mirror::{self, COPY, MIRROR, mirrors};
use super::policy::{HEDGE, RATE_LIMIT, RETRY, RETRY_EXTENSION};
use super::rewrite::{Matched, rewrite};
use super::timeout::limits;
use super::weighted::{METADATA_MATCH, Within, weighted};
use super::{Above, Clusters};
use super::{hash_policy, retry};
use crate::apisix::Id;
use crate::apisix::plugin::{Abort, AmeshLimit, AmeshRetry, LocalAnswer, Plugins};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::http_filter::Configs;
use crate::translate::http_filter::cors::older_policy;

pub(crate) static FEATURE: Feature = Feature {
    name: "route/action",
    summary: "A route forwards to the upstream of its cluster.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.RouteAction",
            fields: &[
                exact("cluster", "route.upstream_id"),
                unsupported("cluster_header", &CLUSTER_SPECIFIER),
                exact("weighted_clusters", "traffic-split"),
                unsupported("cluster_specifier_plugin", &CLUSTER_SPECIFIER),
                unsupported("inline_cluster_specifier_plugin", &CLUSTER_SPECIFIER),
                exact("cluster_not_found_response_code", "fault-injection.abort.http_status"),
                unsupported("metadata_match", &METADATA_MATCH),
                irrelevant(
                    "early_data_policy",
                    "nginx takes early data only when told to in its own configuration",
                ),
                unsupported("retry_policy", &RETRY).amesh_exact("amesh-retry.retry"),
                unsupported("retry_policy_typed_config", &RETRY_EXTENSION),
                unsupported("request_mirror_policies", &MIRROR).amesh_approximate("amesh-mirror", &COPY),
                irrelevant(
                    "priority",
                    "chooses among circuit breaker thresholds, which are reported where they are set",
                )
                .amesh_exact("amesh-limit.high"),
                unsupported("rate_limits", &RATE_LIMIT),
                irrelevant(
                    "include_vh_rate_limits",
                    "says which rate limits apply, none of which is carried over",
                ),
                exact("cors", "cors").amesh_exact("amesh-cors"),
                exact("upgrade_configs", "route.enable_websocket"),
                unsupported("internal_redirect_policy", &INTERNAL_REDIRECT),
                unsupported("internal_redirect_action", &INTERNAL_REDIRECT),
                irrelevant(
                    "max_internal_redirects",
                    "bounds internal redirects, which are not carried over",
                ),
                unsupported("hedge_policy", &HEDGE),
            ],
        },
        Message {
            name: "envoy.config.route.v3.RouteAction.UpgradeConfig",
            fields: &[
                exact("upgrade_type", "route.enable_websocket"),
                exact("enabled", "route.enable_websocket"),
                unsupported("connect_config", &UPGRADE),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

static CLUSTER_SPECIFIER: Rule = Rule::new(
    "route-cluster-specifier",
    Outcome::FailsClosed,
    "the cluster is chosen by a header or an extension",
    "Envoy can read the name of the cluster from a request header or leave the choice to an extension. Neither is \
     carried over, so APISIX answers 503 to the requests that the route takes.",
    "name the cluster in the route; or permit the rule to leave the route out",
);

static UPGRADE: Rule = Rule::new(
    "route-upgrade",
    Outcome::LeftOut,
    "connections cannot be upgraded to anything but WebSocket",
    "Envoy passes on upgrades by name, and tunnels for CONNECT. APISIX passes on WebSocket upgrades.",
    "use WebSocket",
);

static INTERNAL_REDIRECT: Rule = Rule::new(
    "route-internal-redirect",
    Outcome::LeftOut,
    "redirects of an upstream are passed to the client",
    "Envoy can follow a redirect itself. APISIX passes it on.",
    "let clients follow redirects",
);

pub(super) fn route_action(
    action: &RouteAction,
    route: &str,
    matched: Matched<'_>,
    above: Above<'_>,
    at: Path<'_>,
    findings: &Findings,
) -> Served {
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let RouteAction {
        cluster_not_found_response_code,
        metadata_match,
        prefix_rewrite: _,
        regex_rewrite: _,
        path_rewrite_policy: _,
        path_rewrite: _,
        append_x_forwarded_host: _,
        timeout: _,
        idle_timeout: _,
        flush_timeout: _,
        early_data_policy: _,
        retry_policy,
        retry_policy_typed_config,
        request_mirror_policies,
        priority,
        rate_limits,
        include_vh_rate_limits: _,
        hash_policy,
        cors,
        max_grpc_timeout: _,
        grpc_timeout_offset: _,
        upgrade_configs,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects: _,
        hedge_policy,
        max_stream_duration: _,
        cluster_specifier,
        host_rewrite_specifier: _,
    } = action;
    let changed = rewrite(action, matched, at, findings);
    let limits = limits(action, at, findings);
    let retry = retry::read(retry_policy.as_ref(), at, findings).or_else(|| match retry_policy {
        Some(_) => None,
        None => above.retry.cloned(),
    });
    findings.add_if(
        retry_policy_typed_config.is_some(),
        &RETRY_EXTENSION,
        at.field("retry_policy_typed_config"),
    );
    let copies = mirrors(request_mirror_policies, at, findings);
    findings.add_if(!rate_limits.is_empty(), &RATE_LIMIT, at.field("rate_limits"));
    let hash = hash_policy::read(hash_policy, retry.as_ref(), at, findings);
    let cors = cors
        .as_ref()
        .map(|policy| older_policy(policy, at.field("cors"), findings));
    findings.add_if(
        internal_redirect_policy.is_some(),
        &INTERNAL_REDIRECT,
        at.field("internal_redirect_policy"),
    );
    findings.add_if(
        *internal_redirect_action != 0,
        &INTERNAL_REDIRECT,
        at.field("internal_redirect_action"),
    );
    findings.add_if(hedge_policy.is_some(), &HEDGE, at.field("hedge_policy"));

    let unavailable = not_found_status(*cluster_not_found_response_code);
    let refuse = |rule: &'static Rule, field: &'static str| {
        (!findings.permits(rule, at.field(field), None)).then_some(Answer::Status(503))
    };
    let mut filters = Configs::default();
    let answer = match cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            Some(to_cluster(name, unavailable, above.clusters, findings.options().target))
        }
        Some(ClusterSpecifier::WeightedClusters(list)) => {
            let within = Within {
                route,
                unavailable,
                clusters: above.clusters,
                filters: above.filters,
                keeps_server: above.keeps_server,
            };
            let shared = weighted(list, within, at.field("weighted_clusters"), findings);
            filters = shared.filters;
            Some(shared.answer)
        }
        Some(ClusterSpecifier::ClusterHeader(_)) => refuse(&CLUSTER_SPECIFIER, "cluster_header"),
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => refuse(&CLUSTER_SPECIFIER, "cluster_specifier_plugin"),
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => {
            refuse(&CLUSTER_SPECIFIER, "inline_cluster_specifier_plugin")
        }
        None => (!findings.permits(&CLUSTER_SPECIFIER, at, None)).then_some(Answer::Status(503)),
    };
    let answer = if metadata_match.is_some() {
        // Permitted: all endpoints of the cluster.
        if findings.permits(&METADATA_MATCH, at.field("metadata_match"), None) {
            answer
        } else {
            Some(Answer::Status(503))
        }
    } else {
        answer
    };
    let mut plugins = Plugins {
        amesh_hash: hash,
        ..Plugins::default()
    };
    mirror::apply(copies.as_deref().unwrap_or(above.mirrors), &mut plugins);
    let mut timeout = None;
    if findings.options().target == Target::Amesh {
        let [attempt_count, attempt_count_in_response] = above.attempts;
        let plugin = AmeshRetry {
            retry,
            attempt_count,
            attempt_count_in_response,
            ..limits.amesh()
        };
        plugins.amesh_limit = limit(*priority, cluster_specifier.as_ref(), above.clusters);
        plugins.amesh_retry = (plugin != AmeshRetry::default()).then_some(plugin);
    } else {
        timeout = limits.native();
    }
    Served {
        answer,
        changed,
        websocket: websocket(upgrade_configs, at, findings),
        timeout,
        plugins,
        filters,
        cors,
    }
}

/// The plugin that enforces the limits of clusters; `None` where none has any for this priority.
fn limit(priority: i32, specifier: Option<&ClusterSpecifier>, clusters: &Clusters<'_>) -> Option<AmeshLimit> {
    let high = priority == i32::from(RoutingPriority::High);
    let priority = if high {
        RoutingPriority::High
    } else {
        RoutingPriority::Default
    };
    let limits = |name: &str| clusters.limits(name, priority);
    let any = match specifier? {
        ClusterSpecifier::Cluster(name) => limits(name),
        ClusterSpecifier::WeightedClusters(list) => list.clusters.iter().any(|member| limits(&member.name)),
        ClusterSpecifier::ClusterHeader(_)
        | ClusterSpecifier::ClusterSpecifierPlugin(_)
        | ClusterSpecifier::InlineClusterSpecifierPlugin(_) => false,
    };
    any.then_some(AmeshLimit { high })
}

/// The upstream of a cluster. One that does not exist has an upstream without nodes, so that the answer is 503 until it
/// comes; only another answer has to be given by the route.
fn to_cluster(name: &str, unavailable: u32, clusters: &Clusters<'_>, target: Target) -> Answer {
    if unavailable != 503 && !clusters.exists(name) {
        // Given by the route as an answer of its own, so that its changes of response headers are made.
        return match target {
            Target::Amesh => Answer::Amesh(LocalAnswer::status(unavailable)),
            Target::Native => Answer::Abort(Abort::always(unavailable, String::new())),
        };
    }
    Answer::Upstream(Id::of(name))
}

fn not_found_status(code: i32) -> u32 {
    match ClusterNotFoundResponseCode::try_from(code) {
        Ok(ClusterNotFoundResponseCode::NotFound) => 404,
        Ok(ClusterNotFoundResponseCode::InternalServerError) => 500,
        Ok(ClusterNotFoundResponseCode::ServiceUnavailable) | Err(_) => 503,
    }
}

fn websocket(configs: &[UpgradeConfig], at: Path<'_>, findings: &Findings) -> Option<bool> {
    let mut allowed = None;
    for (index, config) in configs.iter().enumerate() {
        let UpgradeConfig {
            upgrade_type,
            enabled,
            connect_config,
        } = config;
        if connect_config.is_some() {
            findings.add(
                &UPGRADE,
                at.field("upgrade_configs").index(index).field("connect_config"),
            );
        }
        // Unset means enabled.
        let enabled = enabled.as_ref().is_none_or(|value| value.value);
        if upgrade_type.eq_ignore_ascii_case("websocket") {
            allowed = Some(enabled);
        } else if enabled && connect_config.is_none() {
            findings.add_with(&UPGRADE, at.field("upgrade_configs").index(index), upgrade_type.clone());
        }
    }
    allowed
}
