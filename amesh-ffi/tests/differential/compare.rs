//! What two proxies answered, how that differs, and which finding says that it may.

use std::collections::{BTreeMap, BTreeSet};

use amesh_core::{Finding, Outcome, ResourceType};
use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration};

use crate::client::Response;
use crate::echo::{ECHO, Seen};
use crate::requests::Request;
use crate::rewrite::{Door, ROUTE};
use crate::{host, tame};

/// An aspect of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    Status,
    Cluster,
    /// The method, path and query that the workload saw.
    Target,
    Location,
    Body,
    /// The host that the workload saw.
    Host,
    /// Another header that the workload saw and that routes change.
    Header,
    /// A header of the answer that routes change.
    ResponseHeader,
}

use Aspect::{Body, Cluster, Header, Host, Location, ResponseHeader, Status, Target};

/// What differs where a request is refused.
const ALL: &[Aspect] = &[Status, Cluster, Target, Location, Body, Host, Header, ResponseHeader];

/// What the rules of findings say about answers: the aspects that each may change. Rules that are not here explain nothing.
/// Those about how nginx reads requests are not here: see [`crate::tame`].
const EXPLAINS: &[(&str, &[Aspect])] = &[
    ("direct-response-body", &[Body]),
    ("header-mutation", &[Header, ResponseHeader]),
    ("route-host-rewrite", &[Host]),
    ("route-path-rewrite", &[Target]),
    ("route-redirect", ALL),
    ("route-timeout", &[Status, Cluster]),
    ("virtual-host-require-tls", ALL),
];

/// What a proxy answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    /// What the workload saw, if it was asked.
    pub(crate) seen: Option<Seen>,
    /// The body, if the proxy answered by itself.
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(response: &Response) -> Self {
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &response.headers {
            headers.entry(name.clone()).or_default().push(value.clone());
        }
        let echoed = response.header(ECHO).is_some();
        Self {
            status: response.status,
            location: response.header("location").map(str::to_owned),
            headers,
            seen: Seen::read(&response.body).filter(|_| echoed),
            body: if echoed {
                String::new()
            } else {
                String::from_utf8_lossy(&response.body).into_owned()
            },
        }
    }

    fn cluster(&self) -> Option<&str> {
        self.seen.as_ref().map(|seen| seen.cluster.as_str())
    }
}

/// The virtual host and the route that a request belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) door: &'a Door,
    pub(crate) routes: &'a RouteConfiguration,
    pub(crate) host: Option<usize>,
    pub(crate) route: Option<usize>,
}

impl<'a> Spot<'a> {
    /// By what Envoy's answer says, or, where no route answered, by the name of the host.
    pub(crate) fn new(door: &'a Door, routes: &'a RouteConfiguration, request: &Request, envoy: &Answer) -> Self {
        let named = envoy
            .headers
            .get(ROUTE)
            .and_then(|values| values.first()?.split_once('.'));
        let number = |text: &str| text.parse().expect("a number");
        let by_name = || {
            let name = request.host.to_ascii_lowercase();
            let name = if routes.ignore_port_in_host_matching {
                host::without_port(&name)
            } else {
                &name
            };
            let chosen = host::choose(&routes.virtual_hosts, name)?;
            routes.virtual_hosts.iter().position(|host| host.name == chosen.name)
        };
        Self {
            door,
            routes,
            host: named.map(|(host, _)| number(host)).or_else(by_name),
            route: named.map(|(_, route)| number(route)),
        }
    }

    fn route(&self) -> Option<&'a Route> {
        self.routes.virtual_hosts.get(self.host?)?.routes.get(self.route?)
    }

    /// The clusters among which the route chooses by weight.
    pub(crate) fn weighted(&self) -> BTreeMap<&'a str, u32> {
        let Some(Action::Route(action)) = self.route().and_then(|route| route.action.as_ref()) else {
            return BTreeMap::new();
        };
        let Some(ClusterSpecifier::WeightedClusters(weighted)) = &action.cluster_specifier else {
            return BTreeMap::new();
        };
        let members = weighted.clusters.iter();
        members
            .map(|member| (member.name.as_str(), member.weight.map_or(0, |weight| weight.value)))
            .filter(|(_, weight)| *weight > 0)
            .collect()
    }

    /// Whether a finding is about what this request met.
    fn concerns(&self, finding: &Finding, clusters: &[Option<&str>]) -> bool {
        let resource = &finding.resource;
        match resource.kind {
            ResourceType::Listener => resource.name == self.door.listener,
            ResourceType::Cluster | ResourceType::ClusterLoadAssignment => {
                clusters.contains(&Some(resource.name.as_str()))
            }
            ResourceType::RouteConfiguration if resource.name == self.routes.name => {
                let Some(rest) = finding.path.strip_prefix("virtual_hosts[") else {
                    return true;
                };
                let Some((host, rest)) = rest.split_once(']') else {
                    return false;
                };
                if self.host != host.parse().ok() {
                    return false;
                }
                match rest.strip_prefix(".routes[").and_then(|rest| rest.split_once(']')) {
                    Some((route, _)) => self.route == route.parse().ok(),
                    None => true,
                }
            }
            _ => false,
        }
    }
}

/// The names of the headers that some route of a configuration changes: of requests, and of answers.
pub(crate) fn changed_headers(routes: &RouteConfiguration) -> [BTreeSet<String>; 2] {
    let mut names = [BTreeSet::new(), BTreeSet::new()];
    let mut note = |side: usize, add: &[HeaderValueOption], remove: &[String]| {
        let added = add.iter().filter_map(|option| Some(&option.header.as_ref()?.key));
        names[side].extend(added.chain(remove).map(|name| name.to_ascii_lowercase()));
    };
    note(0, &routes.request_headers_to_add, &routes.request_headers_to_remove);
    note(1, &routes.response_headers_to_add, &routes.response_headers_to_remove);
    for host in &routes.virtual_hosts {
        note(0, &host.request_headers_to_add, &host.request_headers_to_remove);
        note(1, &host.response_headers_to_add, &host.response_headers_to_remove);
        for route in &host.routes {
            note(0, &route.request_headers_to_add, &route.request_headers_to_remove);
            note(1, &route.response_headers_to_add, &route.response_headers_to_remove);
            if let Some(Action::Route(action)) = &route.action
                && let Some(ClusterSpecifier::WeightedClusters(weighted)) = &action.cluster_specifier
            {
                for member in &weighted.clusters {
                    note(0, &member.request_headers_to_add, &member.request_headers_to_remove);
                    note(1, &member.response_headers_to_add, &member.response_headers_to_remove);
                }
            }
        }
    }
    names[0].remove("host");
    // Every proxy names itself.
    names[1].remove("server");
    names
}

/// How two answers differ. Where requests may be spelled in different ways, targets and hosts that nginx takes for the same
/// are.
pub(crate) fn differences(
    spot: Spot<'_>,
    envoy: &Answer,
    apisix: &Answer,
    changed: &[BTreeSet<String>; 2],
    spelled: bool,
) -> BTreeSet<Aspect> {
    let mut found = BTreeSet::new();
    let mut note = |differs: bool, aspect| {
        if differs {
            found.insert(aspect);
        }
    };
    note(envoy.status != apisix.status, Status);
    note(envoy.location != apisix.location, Location);
    let weighted = spot.weighted();
    let one_of = |answer: &Answer| answer.cluster().is_some_and(|cluster| weighted.contains_key(cluster));
    let drawn = one_of(envoy) && one_of(apisix) && envoy.cluster() != apisix.cluster();
    note(envoy.cluster() != apisix.cluster() && !drawn, Cluster);
    if let (Some(one), Some(other)) = (&envoy.seen, &apisix.seen) {
        let same = one.target == other.target || spelled && tame::same(&one.target, &other.target);
        note(one.method != other.method || !same, Target);
        let host = |seen: &Seen| {
            let host = seen.headers.get("host")?.first()?;
            Some(if spelled { tame::host(host) } else { host.clone() })
        };
        note(host(one) != host(other), Host);
        // The clusters of one route may have headers of their own.
        let differs = |name: &String| one.headers.get(name) != other.headers.get(name);
        note(!drawn && changed[0].iter().any(differs), Header);
    }
    let differs = |name: &String| envoy.headers.get(name) != apisix.headers.get(name);
    note(!drawn && changed[1].iter().any(differs), ResponseHeader);
    // What a proxy says of its own errors is its own.
    if let Some(Action::DirectResponse(response)) = spot.route().and_then(|route| route.action.as_ref()) {
        note(response.body.is_some() && envoy.body != apisix.body, Body);
    }
    found
}

/// The names of the rules that explain all of the differences, or the differences that are left.
pub(crate) fn explained(
    spot: Spot<'_>,
    [envoy, apisix]: [&Answer; 2],
    differences: &BTreeSet<Aspect>,
    findings: &[Finding],
) -> Result<BTreeSet<&'static str>, BTreeSet<Aspect>> {
    let mut left = differences.clone();
    let mut rules = BTreeSet::new();
    let clusters = [envoy.cluster(), apisix.cluster()];
    for finding in findings.iter().filter(|finding| spot.concerns(finding, &clusters)) {
        let Some((rule, aspects)) = EXPLAINS.iter().find(|(rule, _)| *rule == finding.rule.name) else {
            continue;
        };
        // What fails closed is refused, and reaches no workload.
        let refused = apisix.seen.is_none() && [403, 503].contains(&apisix.status);
        if finding.outcome == Outcome::FailsClosed && !refused {
            continue;
        }
        if finding.rule.name == "route-timeout" && envoy.status != 504 {
            continue;
        }
        if aspects.iter().any(|aspect| differences.contains(aspect)) {
            rules.insert(*rule);
            left.retain(|aspect| !aspects.contains(aspect));
        }
    }
    if left.is_empty() { Ok(rules) } else { Err(left) }
}
