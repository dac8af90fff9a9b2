//! What Envoy refuses of a route configuration.

use std::collections::HashSet;

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster,
};

use super::check::{self, Checked, not_empty, not_negative, positive, refuse};
use super::header;
use crate::field_path::Path;

/// Bytes of a direct response, unless the route configuration allows more.
const MAX_BODY: usize = 4096;

pub(super) fn check(config: &RouteConfiguration, at: Path<'_>) -> Checked {
    check_domains(&config.virtual_hosts, at.field("virtual_hosts"))?;
    header::added(&config.request_headers_to_add, at.field("request_headers_to_add"))?;
    header::removed(&config.request_headers_to_remove, at.field("request_headers_to_remove"))?;
    header::added(&config.response_headers_to_add, at.field("response_headers_to_add"))?;
    header::removed(
        &config.response_headers_to_remove,
        at.field("response_headers_to_remove"),
    )?;
    let max_body = config
        .max_direct_response_body_size_bytes
        .as_ref()
        .map_or(MAX_BODY, |limit| usize::try_from(limit.value).unwrap_or(usize::MAX));
    let hosts = at.field("virtual_hosts");
    for (index, host) in config.virtual_hosts.iter().enumerate() {
        check_host(host, max_body, hosts.index(index))?;
    }
    Ok(())
}

/// A domain belongs to one virtual host. `*` is a domain like any other here.
fn check_domains(hosts: &[VirtualHost], at: Path<'_>) -> Checked {
    let mut seen = HashSet::new();
    for (index, host) in hosts.iter().enumerate() {
        let domains = at.index(index);
        let domains = domains.field("domains");
        if host.domains.is_empty() {
            return refuse(domains, "a virtual host must have a domain");
        }
        for (index, domain) in host.domains.iter().enumerate() {
            if !seen.insert(domain.to_ascii_lowercase()) {
                return refuse(domains.index(index), format!("domain {domain:?} is there twice"));
            }
        }
    }
    Ok(())
}

fn check_host(host: &VirtualHost, max_body: usize, at: Path<'_>) -> Checked {
    not_empty(&host.name, at.field("name"))?;
    header::added(&host.request_headers_to_add, at.field("request_headers_to_add"))?;
    header::removed(&host.request_headers_to_remove, at.field("request_headers_to_remove"))?;
    header::added(&host.response_headers_to_add, at.field("response_headers_to_add"))?;
    header::removed(&host.response_headers_to_remove, at.field("response_headers_to_remove"))?;
    if let Some(policy) = &host.retry_policy {
        check_retry(policy, at.field("retry_policy"))?;
    }
    let routes = at.field("routes");
    for (index, route) in host.routes.iter().enumerate() {
        check_route(route, max_body, routes.index(index))?;
    }
    Ok(())
}

fn check_route(route: &Route, max_body: usize, at: Path<'_>) -> Checked {
    let Some(condition) = &route.r#match else {
        return refuse(at.field("match"), "a route must have a match");
    };
    check_match(condition, at.field("match"))?;
    header::added(&route.request_headers_to_add, at.field("request_headers_to_add"))?;
    header::removed(&route.request_headers_to_remove, at.field("request_headers_to_remove"))?;
    header::added(&route.response_headers_to_add, at.field("response_headers_to_add"))?;
    header::removed(
        &route.response_headers_to_remove,
        at.field("response_headers_to_remove"),
    )?;
    match &route.action {
        Some(Action::Route(action)) => check_action(action, at.field("route")),
        Some(Action::DirectResponse(response)) => check_response(response, max_body, at.field("direct_response")),
        Some(Action::Redirect(_) | Action::FilterAction(_) | Action::NonForwardingAction(_)) => Ok(()),
        None => refuse(at, "a route must have an action"),
    }
}

fn check_match(condition: &RouteMatch, at: Path<'_>) -> Checked {
    match &condition.path_specifier {
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            let ends = prefix.len() < 2 || prefix.ends_with('/') || prefix.contains(['?', '#']);
            if ends {
                let message = format!("{prefix:?} must not be one character, end in `/` or hold `?` or `#`");
                return refuse(at.field("path_separated_prefix"), message);
            }
        }
        Some(PathSpecifier::SafeRegex(regex)) => check::regex(regex, at.field("safe_regex"))?,
        Some(
            PathSpecifier::Prefix(_)
            | PathSpecifier::Path(_)
            | PathSpecifier::ConnectMatcher(_)
            | PathSpecifier::PathMatchPolicy(_),
        ) => {}
        None => return refuse(at, "a match must say which path"),
    }
    let headers = at.field("headers");
    for (index, matcher) in condition.headers.iter().enumerate() {
        header::matcher(matcher, headers.index(index))?;
    }
    let parameters = at.field("query_parameters");
    for (index, matcher) in condition.query_parameters.iter().enumerate() {
        let at = parameters.index(index);
        not_empty(&matcher.name, at.field("name"))?;
        if let Some(QueryParameterMatchSpecifier::StringMatch(matcher)) = &matcher.query_parameter_match_specifier {
            header::string(matcher, at.field("string_match"))?;
        }
    }
    Ok(())
}

fn check_action(action: &RouteAction, at: Path<'_>) -> Checked {
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => not_empty(name, at.field("cluster"))?,
        Some(ClusterSpecifier::ClusterHeader(name)) => not_empty(name, at.field("cluster_header"))?,
        Some(ClusterSpecifier::WeightedClusters(clusters)) => check_weights(clusters, at.field("weighted_clusters"))?,
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_) | ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => {}
        None => return refuse(at, "a route must say which cluster"),
    }
    let rewrites = [
        !action.prefix_rewrite.is_empty(),
        action.regex_rewrite.is_some(),
        action.path_rewrite_policy.is_some(),
    ];
    if rewrites.into_iter().filter(|set| *set).count() > 1 {
        let message = "only one of prefix_rewrite, regex_rewrite and path_rewrite_policy may be set";
        return refuse(at.field("prefix_rewrite"), message);
    }
    not_negative(action.timeout.as_ref(), at.field("timeout"))?;
    not_negative(action.idle_timeout.as_ref(), at.field("idle_timeout"))?;
    if let Some(duration) = &action.max_stream_duration {
        let at = at.field("max_stream_duration");
        not_negative(duration.max_stream_duration.as_ref(), at.field("max_stream_duration"))?;
        let header = at.field("grpc_timeout_header_max");
        not_negative(duration.grpc_timeout_header_max.as_ref(), header)?;
    }
    match &action.retry_policy {
        Some(policy) => check_retry(policy, at.field("retry_policy")),
        None => Ok(()),
    }
}

fn check_weights(weighted: &WeightedCluster, at: Path<'_>) -> Checked {
    let clusters = at.field("clusters");
    let mut sum = 0_u64;
    for (index, cluster) in weighted.clusters.iter().enumerate() {
        let at = clusters.index(index);
        if cluster.name.is_empty() == cluster.cluster_header.is_empty() {
            return refuse(at, "one of name and cluster_header must be set");
        }
        header::added(&cluster.request_headers_to_add, at.field("request_headers_to_add"))?;
        header::removed(
            &cluster.request_headers_to_remove,
            at.field("request_headers_to_remove"),
        )?;
        header::added(&cluster.response_headers_to_add, at.field("response_headers_to_add"))?;
        let removed = at.field("response_headers_to_remove");
        header::removed(&cluster.response_headers_to_remove, removed)?;
        sum += u64::from(cluster.weight.as_ref().map_or(0, |weight| weight.value));
    }
    if sum == 0 {
        return refuse(clusters, "the sum of the weights must be greater than 0");
    }
    if sum > u64::from(u32::MAX) {
        return refuse(
            clusters,
            format!("the sum of the weights, {sum}, is greater than {}", u32::MAX),
        );
    }
    Ok(())
}

fn check_retry(policy: &RetryPolicy, at: Path<'_>) -> Checked {
    not_negative(policy.per_try_timeout.as_ref(), at.field("per_try_timeout"))?;
    not_negative(policy.per_try_idle_timeout.as_ref(), at.field("per_try_idle_timeout"))?;
    let Some(back_off) = &policy.retry_back_off else {
        return Ok(());
    };
    let at = at.field("retry_back_off");
    let Some(base) = &back_off.base_interval else {
        return refuse(at.field("base_interval"), "must be set");
    };
    positive(Some(base), at.field("base_interval"))?;
    positive(back_off.max_interval.as_ref(), at.field("max_interval"))?;
    match &back_off.max_interval {
        Some(most) if (most.seconds, most.nanos) < (base.seconds, base.nanos) => {
            refuse(at.field("max_interval"), "less than base_interval")
        }
        _ => Ok(()),
    }
}

fn check_response(response: &DirectResponseAction, max_body: usize, at: Path<'_>) -> Checked {
    if !(200..600).contains(&response.status) {
        return refuse(
            at.field("status"),
            format!("{} is not from 200 to 599", response.status),
        );
    }
    let length = match response.body.as_ref().and_then(|body| body.specifier.as_ref()) {
        Some(Specifier::InlineString(text)) => text.len(),
        Some(Specifier::InlineBytes(bytes)) => bytes.len(),
        Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_)) | None => 0,
    };
    if length > max_body {
        return refuse(at.field("body"), format!("{length} bytes are more than {max_body}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ResourceType;
    use super::super::check::tests::refused;

    fn config(text: &str) -> Option<String> {
        refused(ResourceType::RouteConfiguration, &format!("name: a\n{text}"))
    }

    fn route(text: &str) -> Option<String> {
        config(&format!(
            "virtual_hosts: [{{name: v, domains: ['*'], routes: [{{{text}}}]}}]"
        ))
    }

    fn check(refused: Option<String>, text: &str, path: &str) {
        let refused = refused.unwrap_or_else(|| panic!("{text} is taken"));
        assert!(refused.starts_with(path), "{text}: {refused}");
    }

    #[test]
    fn domains_that_envoy_refuses() {
        for (text, path) in [
            ("[{name: v}]", "virtual_hosts[0].domains: "),
            ("[{name: v, domains: [a, b, A]}]", "virtual_hosts[0].domains[2]: "),
            (
                "[{name: v, domains: [a]}, {name: w, domains: [a]}]",
                "virtual_hosts[1].domains[0]: ",
            ),
            (
                "[{name: v, domains: ['*']}, {name: w, domains: ['*']}]",
                "virtual_hosts[1].domains[0]: ",
            ),
            ("[{domains: [a]}]", "virtual_hosts[0].name: "),
        ] {
            check(config(&format!("virtual_hosts: {text}")), text, path);
        }
    }

    #[test]
    fn matches_that_envoy_refuses() {
        for (text, path) in [
            ("{}", ": a match"),
            ("{path_separated_prefix: /}", ".path_separated_prefix: "),
            ("{path_separated_prefix: /a/}", ".path_separated_prefix: "),
            ("{path_separated_prefix: '/a?b'}", ".path_separated_prefix: "),
            ("{prefix: /, headers: [{name: ''}]}", ".headers[0].name: "),
            (
                "{prefix: /, headers: [{name: x, prefix_match: ''}]}",
                ".headers[0].prefix_match: ",
            ),
            (
                "{prefix: /, headers: [{name: x, string_match: {prefix: ''}}]}",
                ".headers[0].string_match.prefix: ",
            ),
            (
                "{prefix: /, headers: [{name: x, string_match: {safe_regex: {regex: a}, ignore_case: true}}]}",
                ".headers[0].string_match.ignore_case: ",
            ),
            (
                "{prefix: /, query_parameters: [{name: ''}]}",
                ".query_parameters[0].name: ",
            ),
        ] {
            let path = format!("virtual_hosts[0].routes[0].match{path}");
            check(route(&format!("match: {text}, route: {{cluster: c}}")), text, &path);
        }
        check(
            route("route: {cluster: c}"),
            "no match",
            "virtual_hosts[0].routes[0].match: ",
        );
    }

    #[test]
    fn actions_that_envoy_refuses() {
        for (text, path) in [
            ("name: x", ": a route"),
            ("route: {}", ".route: "),
            ("route: {cluster: ''}", ".route.cluster: "),
            ("route: {weighted_clusters: {}}", ".route.weighted_clusters.clusters: "),
            (
                "route: {weighted_clusters: {clusters: [{name: c, weight: 0}]}}",
                ".route.weighted_clusters.clusters: ",
            ),
            (
                "route: {weighted_clusters: {clusters: [{name: c, weight: 4294967295}, {name: d, weight: 1}]}}",
                ".route.weighted_clusters.clusters: ",
            ),
            (
                "route: {weighted_clusters: {clusters: [{weight: 1}]}}",
                ".route.weighted_clusters.clusters[0]: ",
            ),
            (
                "route: {cluster: c, prefix_rewrite: /, regex_rewrite: {pattern: {regex: a}, substitution: b}}",
                ".route.prefix_rewrite: ",
            ),
            ("route: {cluster: c, timeout: -1s}", ".route.timeout: "),
            (
                "route: {cluster: c, retry_policy: {per_try_timeout: -0.5s}}",
                ".route.retry_policy.per_try_timeout: ",
            ),
            (
                "route: {cluster: c, retry_policy: {retry_back_off: {base_interval: 2s, max_interval: 1s}}}",
                ".route.retry_policy.retry_back_off.max_interval: ",
            ),
            ("direct_response: {status: 199}", ".direct_response.status: "),
            ("direct_response: {status: 600}", ".direct_response.status: "),
            (
                &format!(
                    "direct_response: {{status: 200, body: {{inline_string: {}}}}}",
                    "x".repeat(4097)
                ),
                ".direct_response.body: ",
            ),
            (
                "route: {cluster: c}, request_headers_to_add: [{header: {key: Host, value: x}}]",
                ".request_headers_to_add[0].header.key: ",
            ),
            (
                "route: {cluster: c}, response_headers_to_remove: [':status']",
                ".response_headers_to_remove[0]: ",
            ),
            (
                "route: {cluster: c}, request_headers_to_add: [{header: {key: x, value: \"a\\nb\"}}]",
                ".request_headers_to_add[0].header.value: ",
            ),
        ] {
            let path = format!("virtual_hosts[0].routes[0]{path}");
            check(route(&format!("match: {{prefix: /}}, {text}")), text, &path);
        }
    }

    #[test]
    fn what_envoy_takes() {
        for text in [
            "match: {prefix: ''}, route: {cluster: c}",
            "match: {path: a}, route: {cluster: c}",
            "match: {path_separated_prefix: /a}, redirect: {}",
            "match: {prefix: /, headers: [{name: X Y, range_match: {start: 10, end: 1}}]}, route: {cluster: c}",
            "match: {prefix: /}, route: {cluster: c, timeout: 0s, prefix_rewrite: x}",
            "match: {prefix: /}, direct_response: {status: 599}",
            "match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: c, weight: 0}, {name: d, weight: 200}], total_weight: 100}}",
        ] {
            assert_eq!(route(text), None, "{text}");
        }
        let more = format!(
            "max_direct_response_body_size_bytes: 5000\nvirtual_hosts: [{{name: v, domains: [''], routes: [{{match: \
             {{prefix: /}}, direct_response: {{status: 200, body: {{inline_string: {}}}}}}}]}}, \
             {{name: v, domains: [x.*.com]}}]",
            "x".repeat(4097)
        );
        assert_eq!(config(&more), None);
        assert_eq!(config("virtual_hosts: []"), None);
    }
}
