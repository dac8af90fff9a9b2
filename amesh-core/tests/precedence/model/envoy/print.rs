//! Tables as short as they can be printed: protobuf messages are mostly fields that are not set.

use std::fmt;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration};

use super::matcher::{fraction, template};
use super::{Envoy, bound_to};

/// A line for each listener, virtual host and route.
impl fmt::Debug for Envoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for listener in &self.listeners {
            let routes = self.routes_of(listener).map(|routes| routes.name.as_str());
            writeln!(f, "listener {} -> {routes:?}", bound_to(listener))?;
        }
        self.routes.iter().try_for_each(|routes| f.write_str(&text(routes)))
    }
}

/// A route configuration.
pub(crate) fn text(routes: &RouteConfiguration) -> String {
    let ignore = if routes.ignore_port_in_host_matching {
        ", ignoring ports"
    } else {
        ""
    };
    let mut lines = vec![format!("{}{ignore}:", routes.name)];
    for host in &routes.virtual_hosts {
        lines.push(format!("  {:?}", host.domains));
        lines.extend(host.routes.iter().map(|route| format!("    {}", line(route))));
    }
    lines.join("\n") + "\n"
}

fn line(route: &Route) -> String {
    let conditions = route.r#match.as_ref().expect("a route has a match");
    let mut parts = vec![match &conditions.path_specifier {
        Some(PathSpecifier::PathMatchPolicy(policy)) => format!("template {}", template(policy)),
        other => shown(other.as_ref()),
    }];
    if let Some(sensitive) = &conditions.case_sensitive {
        parts.push(format!("case_sensitive {}", sensitive.value));
    }
    if conditions.runtime_fraction.is_some() {
        parts.push(format!("{} of all", fraction(conditions)));
    }
    for header in &conditions.headers {
        let inverted = if header.invert_match { " inverted" } else { "" };
        let missing = if header.treat_missing_header_as_empty {
            " or missing"
        } else {
            ""
        };
        let specifier = shown(header.header_match_specifier.as_ref());
        parts.push(format!("{} {specifier}{inverted}{missing}", header.name));
    }
    for parameter in &conditions.query_parameters {
        let specifier = shown(parameter.query_parameter_match_specifier.as_ref());
        parts.push(format!("?{} {specifier}", parameter.name));
    }
    if conditions.grpc.is_some() {
        parts.push("grpc".to_owned());
    }
    format!("{}: {} -> {}", route.name, parts.join(", "), target(route))
}

/// Where a route leads to.
fn target(route: &Route) -> String {
    match &route.action {
        Some(Action::Route(action)) => match &action.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => name.clone(),
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                let members = weighted.clusters.iter().map(|member| {
                    let weight = member.weight.as_ref().map_or(0, |weight| weight.value);
                    format!("{} {weight}", member.name)
                });
                members.collect::<Vec<_>>().join(", ")
            }
            other => shown(other.as_ref()),
        },
        Some(Action::DirectResponse(response)) => format!("status {}", response.status),
        other => shown(other.as_ref()),
    }
}

/// A value without what is the same in all of them.
fn shown(value: Option<&impl fmt::Debug>) -> String {
    let text = value.map_or("any".to_owned(), |value| format!("{value:?}"));
    ["match_pattern: ", "engine_type: None", ", ignore_case: false"]
        .iter()
        .fold(text, |text, noise| text.replace(noise, ""))
}
