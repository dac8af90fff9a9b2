//! What two proxies answered, how that differs, and which finding says that it may.

use std::collections::{BTreeMap, BTreeSet};

use amesh_core::{Finding, Outcome, ResourceType};
use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration};

use crate::client::Response;
use crate::named::{self, Aspect};
use crate::requests::Request;
use crate::seen::{ECHO, Seen};
use crate::strip::ROUTE;
use crate::{host, tame};

/// The values of each header, names in lower case.
type Headers = BTreeMap<String, Vec<String>>;

/// What a proxy answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) headers: Headers,
    /// What the workload saw, if it was asked.
    pub(crate) seen: Option<Seen>,
    /// How often workloads were asked, if that is known.
    pub(crate) attempts: usize,
    /// Whether a workload answered.
    pub(crate) echoed: bool,
    /// The body, if the proxy answered by itself.
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(response: &Response) -> Self {
        let mut headers = Headers::new();
        // nginx sends no header without a value, and a list of what is allowed is as empty when it is not there.
        let said = |(name, value): &&(String, String)| !value.is_empty() || !name.starts_with("access-control-");
        for (name, value) in response.headers.iter().filter(said) {
            headers.entry(name.clone()).or_default().push(value.clone());
        }
        let echoed = response.header(ECHO).is_some();
        Self {
            status: response.status,
            location: response.header("location").map(str::to_owned),
            headers,
            attempts: 0,
            echoed,
            seen: Seen::read(&response.body).filter(|_| echoed),
            body: if echoed {
                String::new()
            } else {
                String::from_utf8_lossy(&response.body).into_owned()
            },
        }
    }

    /// No answer, and why.
    pub(crate) fn none(why: String) -> Self {
        Self {
            status: 0,
            location: None,
            headers: Headers::new(),
            seen: None,
            attempts: 0,
            echoed: false,
            body: why,
        }
    }

    /// Whether the answer is a fault's.
    pub(crate) fn is_fault(&self) -> bool {
        let said = self.headers.get("grpc-message").into_iter().flatten();
        said.chain([&self.body]).any(|text| text.starts_with("fault filter"))
    }

    fn cluster(&self) -> Option<&str> {
        self.seen.as_ref().map(|seen| seen.cluster.as_str())
    }

    fn clusters(&self) -> impl Iterator<Item = &str> {
        self.cluster().into_iter().flat_map(|names| names.split(" or "))
    }
}

/// The virtual host and the route that a request belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) listener: &'a str,
    pub(crate) routes: &'a RouteConfiguration,
    pub(crate) host: Option<usize>,
    pub(crate) route: Option<usize>,
    preflight: bool,
}

impl<'a> Spot<'a> {
    /// By what Envoy's answer says, or, where no route answered, by the name of the host.
    pub(crate) fn new(listener: &'a str, routes: &'a RouteConfiguration, request: &Request, envoy: &Answer) -> Self {
        let named = envoy
            .headers
            .get(ROUTE)
            .and_then(|values| values.first()?.split_once('.'));
        let number = |text: &str| text.parse().expect("a number");
        Self {
            listener,
            routes,
            host: named
                .map(|(host, _)| number(host))
                .or_else(|| by_name(routes, &request.host)),
            route: named.map(|(_, route)| number(route)),
            preflight: named.is_none() && request.method == "OPTIONS" && envoy.status == 200,
        }
    }

    fn route(&self) -> Option<&'a Route> {
        self.routes.virtual_hosts.get(self.host?)?.routes.get(self.route?)
    }

    /// The cluster that the route names.
    fn cluster(&self) -> Option<&'a str> {
        let Some(Action::Route(action)) = self.route().and_then(|route| route.action.as_ref()) else {
            return None;
        };
        match &action.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => Some(name),
            _ => None,
        }
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
    fn concerns(&self, finding: &Finding, clusters: &[&str], path: &str) -> bool {
        let resource = &finding.resource;
        match resource.kind {
            ResourceType::Listener => resource.name == self.listener,
            ResourceType::Cluster | ResourceType::ClusterLoadAssignment => clusters.contains(&resource.name.as_str()),
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
                    // Envoy's answers to preflight requests name no route.
                    Some(_) if self.preflight => true,
                    Some((route, _)) => {
                        let route = route.parse().ok();
                        // What is refused in place of a route is not left to those behind it.
                        let in_place = || {
                            let routes = self.host.and_then(|host| self.routes.virtual_hosts.get(host));
                            let refused = routes.zip(route).and_then(|(host, route)| host.routes.get(route));
                            finding.outcome == Outcome::FailsClosed
                                && self.route.is_none_or(|at| route < Some(at))
                                && refused.is_none_or(|refused| may_take(refused, path))
                        };
                        self.route == route || in_place()
                    }
                    None => true,
                }
            }
            _ => false,
        }
    }
}

/// Whether a route may take requests for a path, as far as a text tells that they begin with.
fn may_take(route: &Route, path: &str) -> bool {
    let Some(conditions) = &route.r#match else { return true };
    let caseless = conditions.case_sensitive.is_some_and(|sensitive| !sensitive.value);
    match &conditions.path_specifier {
        Some(PathSpecifier::Prefix(text) | PathSpecifier::PathSeparatedPrefix(text)) => {
            caseless || path.starts_with(text.as_str())
        }
        Some(PathSpecifier::Path(text)) => caseless || path == text,
        _ => true,
    }
}

/// The virtual host that takes requests for a host.
pub(crate) fn by_name(routes: &RouteConfiguration, host: &str) -> Option<usize> {
    let name = host.to_ascii_lowercase();
    let name = if routes.ignore_port_in_host_matching {
        host::without_port(&name)
    } else {
        &name
    };
    let chosen = host::choose(&routes.virtual_hosts, name)?;
    routes.virtual_hosts.iter().position(|host| host.name == chosen.name)
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

/// Which headers are compared.
#[derive(Clone, Copy)]
pub(crate) enum Compared<'a> {
    /// Those of requests and of answers that routes change.
    Changed(&'a [BTreeSet<String>; 2]),
    /// All but those that say nothing of what a proxy does.
    AllBut(&'a [&'a str]),
}

impl Compared<'_> {
    /// The names of the headers that differ, of requests or of answers.
    fn differing(self, side: usize, one: &Headers, other: &Headers) -> BTreeSet<String> {
        let differs = |name: &&String| !same_but_for_ports(one.get(*name), other.get(*name));
        match self {
            Self::Changed(names) => names[side].iter().filter(differs).cloned().collect(),
            Self::AllBut(but) => {
                let counts =
                    |name: &&String| !["host", "location"].contains(&name.as_str()) && !but.contains(&name.as_str());
                let names = one.keys().chain(other.keys());
                names.filter(counts).filter(differs).cloned().collect()
            }
        }
    }
}

/// How two answers differ. Where requests may be spelled in different ways, targets and hosts that nginx takes for the same
/// are.
pub(crate) fn differences(
    spot: Spot<'_>,
    request: &Request,
    [envoy, apisix]: [&Answer; 2],
    compared: Compared<'_>,
    spelled: bool,
) -> BTreeSet<Aspect> {
    let mut found = BTreeSet::new();
    let mut note = |differs: bool, aspect| {
        if differs {
            found.insert(aspect);
        }
    };
    note(envoy.status != apisix.status, Aspect::Status);
    let same = match (&envoy.location, &apisix.location) {
        (Some(one), Some(other)) if spelled => tame::same_location(one, other),
        (one, other) => one == other,
    };
    note(!same, Aspect::Location);
    let weighted = spot.weighted();
    let one_of = |answer: &Answer| answer.clusters().any(|name| weighted.contains_key(name));
    // An answer to HEAD may not say which one it is from.
    let unknown = |answer: &Answer| answer.echoed && answer.cluster().is_none() && weighted.len() > 1;
    let drawn =
        one_of(envoy) && one_of(apisix) && envoy.cluster() != apisix.cluster() || unknown(envoy) || unknown(apisix);
    // Clusters may share workloads.
    let shared = envoy
        .clusters()
        .any(|name| apisix.clusters().any(|other| name == other));
    note(
        envoy.cluster() != apisix.cluster() && !drawn && !shared,
        Aspect::Cluster,
    );
    note(envoy.attempts != apisix.attempts, Aspect::Attempts);
    if let (Some(one), Some(other)) = (&envoy.seen, &apisix.seen) {
        let same = one.target == other.target || spelled && tame::same(&one.target, &other.target);
        note(one.method != other.method || !same, Aspect::Target);
        let host = |seen: &Seen| {
            let host = seen.headers.get("host")?.first()?;
            Some(if spelled { tame::host(host) } else { host.clone() })
        };
        // The clusters of one route may have hosts and headers of their own.
        note(host(one) != host(other) && !drawn, Aspect::Host);
        if !drawn {
            let names = compared.differing(0, &one.headers, &other.headers);
            found.extend(names.into_iter().map(Aspect::Header));
        }
    }
    if !drawn {
        let names = compared.differing(1, &envoy.headers, &apisix.headers);
        found.extend(names.into_iter().map(Aspect::ResponseHeader));
    }
    // What a proxy says of its own errors is its own.
    if let Some(Action::DirectResponse(response)) = spot.route().and_then(|route| route.action.as_ref())
        && response.body.is_some()
        && envoy.body != apisix.body
    {
        found.insert(Aspect::Body);
    }
    found.retain(|aspect| !named::is_own(aspect, request, envoy, apisix));
    if spelled {
        // What repeats the request as it was sent repeats another one to Envoy.
        let path = request.target.split('?').next().unwrap_or_default();
        let repeats = |values: Option<&Vec<String>>| {
            let mut values = values.into_iter().flatten();
            let path = Some(path).filter(|path| path.len() > 1);
            values.any(|value| path.is_some_and(|path| value.contains(path)) || value.contains(&request.host))
        };
        found.retain(|aspect| match aspect {
            Aspect::Header(name) => !repeats(apisix.seen.as_ref().and_then(|seen| seen.headers.get(name))),
            Aspect::ResponseHeader(name) => !repeats(apisix.headers.get(name)),
            Aspect::Host => !repeats(apisix.seen.as_ref().and_then(|seen| seen.headers.get("host"))),
            _ => true,
        });
    }
    found
}

/// Whether two headers are the same, but for the port that this test connected from: each connection has its own.
fn same_but_for_ports(one: Option<&Vec<String>>, other: Option<&Vec<String>>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return one == other;
    };
    let own = |value: &str| {
        let port = value.strip_prefix("127.0.0.1:")?;
        port.parse::<u16>().ok().filter(|port| *port >= 32768)
    };
    let same = |(one, other): (&String, &String)| one == other || own(one).is_some() && own(other).is_some();
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// The names of the rules that explain all of the differences, or the differences that are left.
pub(crate) fn explained(
    spot: Spot<'_>,
    request: &Request,
    [envoy, apisix]: [&Answer; 2],
    differences: &BTreeSet<Aspect>,
    findings: &[Finding],
) -> Result<BTreeSet<&'static str>, BTreeSet<Aspect>> {
    let changed = changed_headers(spot.routes);
    let mut left = differences.clone();
    let mut rules = BTreeSet::new();
    let mut clusters: Vec<&str> = envoy.clusters().chain(apisix.clusters()).collect();
    clusters.extend(spot.weighted().keys());
    clusters.extend(spot.cluster());
    for finding in findings
        .iter()
        .filter(|finding| spot.concerns(finding, &clusters, request.path()))
    {
        // What fails closed is refused, and reaches no workload.
        let refused = !apisix.echoed
            && ([403, 503].contains(&apisix.status)
                || finding.resource.kind == ResourceType::Listener && apisix.status == 404);
        if finding.outcome == Outcome::FailsClosed {
            if refused {
                return Ok(BTreeSet::from([finding.rule.name]));
            }
            continue;
        }
        for named in named::of(finding.rule.name) {
            if (named.when)(request, envoy, apisix) && differences.iter().any(|aspect| named.covers(aspect, &changed)) {
                rules.insert(named.rule);
                left.retain(|aspect| !named.covers(aspect, &changed));
            }
        }
    }
    if left.is_empty() { Ok(rules) } else { Err(left) }
}
