//! Endpoints: a `ClusterLoadAssignment` becomes the nodes of an upstream.
//!
//! Envoy decides with every request which endpoints may take it: by the health that the control plane reports, by
//! priority, and by locality. All of that but outlier detection is known when the assignment arrives, so it is worked
//! out here ([`health`], [`weight`]) and APISIX gets only the nodes that Envoy would use. An assignment without
//! endpoints gives an upstream without nodes, which APISIX answers 503 as Envoy does.

pub(crate) mod health;
mod panic;
pub(crate) mod weight;

use std::borrow::Cow;
use std::cmp::Reverse;

use envoy_types::pb::envoy::config::core::v3::{Locality, Metadata};
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::HealthCheckConfig;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::locality_lb_endpoints::LbConfig;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::google::protobuf::value::Kind;

use self::panic::Health;
use super::cluster::health_check::HEALTH_CHECK;
use super::value::address;
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "endpoint",
    summary: "The endpoints of a cluster become the nodes of its upstream.",
    messages: &[
        Message {
            name: "envoy.config.endpoint.v3.ClusterLoadAssignment",
            fields: &[
                exact("cluster_name", "upstream.nodes"),
                exact("endpoints", "upstream.nodes"),
                unsupported("named_endpoints", &INDIRECT),
                exact("policy", "upstream.nodes"),
            ],
        },
        Message {
            name: "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy",
            fields: &[
                unsupported("drop_overloads", &DROP_OVERLOAD),
                unsupported("endpoint_stale_after", &STALE),
            ],
        },
        Message {
            name: "envoy.config.endpoint.v3.LocalityLbEndpoints",
            fields: &[
                exact("metadata", "upstream.nodes"),
                exact("lb_endpoints", "upstream.nodes"),
                unsupported("load_balancer_endpoints", &INDIRECT),
                unsupported("leds_cluster_locality_config", &INDIRECT),
                irrelevant("proximity", "Envoy itself does not use it"),
            ],
        },
        Message {
            name: "envoy.config.endpoint.v3.LbEndpoint",
            fields: &[
                exact("endpoint", "upstream.nodes[]"),
                unsupported("endpoint_name", &INDIRECT),
                exact("metadata", "upstream.nodes"),
            ],
        },
        Message {
            name: "envoy.config.endpoint.v3.Endpoint",
            fields: &[
                exact("address", "upstream.nodes[]"),
                unsupported("health_check_config", &HEALTH_CHECK),
                unsupported("hostname", &HOSTNAME),
                unsupported("additional_addresses", &ADDITIONAL_ADDRESSES),
                irrelevant("observability_name", "names the endpoint in Envoy's statistics"),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

static INDIRECT: Rule = Rule {
    name: "endpoint-indirect",
    outcome: Outcome::LeftOut,
    summary: "endpoints that an assignment names but does not hold are left out",
    explanation: "\
An assignment can refer to endpoints by name, or to a list of them that is fetched on its own (locality endpoint \
discovery). Envoy itself takes the first only in part, and Istio sends neither. Only endpoints that stand in the \
assignment become nodes; the others get no requests.",
    advice: "list the endpoints in lb_endpoints",
};

static DROP_OVERLOAD: Rule = Rule {
    name: "endpoint-drop-overload",
    outcome: Outcome::LeftOut,
    summary: "no share of the requests is dropped to relieve the endpoints",
    explanation: "\
Envoy answers the stated share of the cluster's requests with 503 instead of sending them on, so that a control plane \
can take load off a service. APISIX sends all of them on.",
    advice: "expect more load on this service than Envoy would let through",
};

static STALE: Rule = Rule {
    name: "endpoint-stale-after",
    outcome: Outcome::LeftOut,
    summary: "endpoints stay in use however long the control plane is silent",
    explanation: "\
Envoy stops using the endpoints of an assignment that has not been confirmed for the stated time. APISIX keeps them \
until an update says otherwise.",
    advice: "none is needed while the control plane is reachable",
};

static HOSTNAME: Rule = Rule {
    name: "endpoint-hostname",
    outcome: Outcome::LeftOut,
    summary: "an endpoint's host name is not sent as the Host header",
    explanation: "\
A route with auto_host_rewrite sends the endpoint's host name as the Host header, and active health checks use it too. \
A node of APISIX has no host name beside its address, so requests keep their Host header.",
    advice: "rewrite the host with a literal value in the route",
};

static ADDITIONAL_ADDRESSES: Rule = Rule {
    name: "endpoint-additional-addresses",
    outcome: Outcome::Approximated,
    summary: "only the first address of an endpoint is used",
    explanation: "\
An endpoint of a dual-stack mesh has an address of each IP family, and Envoy tries the next when a connection to the \
first is slow or fails (\"happy eyeballs\"). A node of APISIX has one address: the endpoint's first. It is not listed \
once per address, because that would double its share of the requests.",
    advice: "make sure that APISIX can reach the first address of each endpoint",
};

/// What the cluster says about the use of its endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    /// Whether endpoints may be DNS names.
    pub(crate) names: bool,
    /// Whether an address that occurs twice counts once, where it stands first. So does Envoy with endpoint discovery,
    /// while an inline assignment may list an endpoint twice for a double share (seen with Envoy 1.40).
    pub(crate) unique: bool,
    /// Below this percentage of healthy endpoints all are used.
    pub(crate) panic_threshold: u32,
    /// Whether the weights of localities count.
    pub(crate) locality_weights: bool,
    pub(crate) balances: Balances,
}

/// What the balancer makes of endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Balances {
    /// Each gets its share by its weight.
    ByWeight,
    /// All get the same.
    Evenly,
    /// The hash of a request and that of the endpoint decide.
    ByHash(Hashing),
}

impl Balances {
    pub(crate) const fn hashing(self) -> Option<Hashing> {
        match self {
            Self::ByHash(hashing) => Some(hashing),
            Self::ByWeight | Self::Evenly => None,
        }
    }
}

/// What a balancer by hashes needs to know of endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashing {
    /// Whether host names are hashed in place of addresses.
    pub(crate) hostnames: bool,
    /// Whether the order of endpoints matters.
    pub(crate) in_order: bool,
}

/// An endpoint that has an address.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<'m> {
    pub(crate) host: Cow<'m, str>,
    pub(crate) port: u16,
    /// Whether the host is a DNS name.
    pub(crate) name: bool,
    pub(crate) health: Health,
    pub(crate) weight: u32,
    /// Envoy's: 0 is tried first.
    pub(crate) priority: u32,
    pub(crate) locality: Option<&'m Locality>,
    /// Which of the cluster's transport sockets speaks to it, as told by `socket_of`.
    pub(crate) socket: usize,
    /// What is hashed in place of the address.
    pub(crate) hash_key: Option<String>,
    /// Where it stands among the others.
    pub(crate) place: usize,
}

/// An endpoint that gets requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chosen<'m> {
    pub(crate) host: Cow<'m, str>,
    pub(crate) port: u16,
    pub(crate) weight: u32,
    /// APISIX's: higher is tried first.
    pub(crate) priority: i64,
    pub(crate) name: bool,
    pub(crate) socket: usize,
    pub(crate) hash_key: Option<String>,
    pub(crate) place: usize,
}

/// The endpoints that get requests, sorted by address unless their order matters.
#[expect(deprecated, reason = "a control plane may still send what Envoy still reads")]
pub(crate) fn endpoints<'m>(
    assignment: &'m ClusterLoadAssignment,
    how: Use,
    socket_of: impl Fn(Option<&'m Metadata>, Option<&'m Metadata>) -> usize,
    at: Path<'_>,
    findings: &Findings,
) -> Vec<Chosen<'m>> {
    let ClusterLoadAssignment {
        cluster_name: _,
        endpoints,
        named_endpoints,
        policy,
    } = assignment;
    if !named_endpoints.is_empty() {
        findings.add(&INDIRECT, at.field("named_endpoints"));
    }
    let policy = policy.as_ref().map_or_else(panic::Policy::default, |policy| {
        of_policy(policy, at.field("policy"), findings)
    });
    let mut beside = Beside::default();
    let mut weights = weight::Localities::default();
    let mut candidates = Vec::with_capacity(endpoints.iter().map(|group| group.lb_endpoints.len()).sum());
    let list = at.field("endpoints");
    for (group_index, group) in endpoints.iter().enumerate() {
        let at = list.index(group_index);
        let LocalityLbEndpoints {
            locality,
            metadata,
            lb_endpoints,
            load_balancing_weight,
            priority,
            proximity: _,
            lb_config,
        } = group;
        match lb_config {
            None => {}
            Some(LbConfig::LoadBalancerEndpoints(_)) => findings.add(&INDIRECT, at.field("load_balancer_endpoints")),
            Some(LbConfig::LedsClusterLocalityConfig(_)) => {
                findings.add(&INDIRECT, at.field("leds_cluster_locality_config"));
            }
        }
        if how.locality_weights {
            weights.set(*priority, locality.as_ref(), load_balancing_weight.as_ref());
        }
        let at = at.field("lb_endpoints");
        for (index, endpoint) in lb_endpoints.iter().enumerate() {
            let place = (group_index, index);
            let Some(candidate) = of_endpoint(endpoint, how, at.index(index), place, &mut beside, findings) else {
                continue;
            };
            candidates.push(Candidate {
                priority: *priority,
                locality: locality.as_ref(),
                socket: socket_of(endpoint.metadata.as_ref(), metadata.as_ref()),
                place: candidates.len(),
                ..candidate
            });
        }
    }
    beside.report(list, findings);
    if how.unique {
        // The sort is stable: of equal addresses the one that stood first stays first.
        candidates.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        candidates.dedup_by(|a, b| a.host == b.host && a.port == b.port);
    }
    let mut chosen = health::choose(candidates, policy, how, &weights, list, findings);
    chosen.sort_unstable();
    chosen.dedup_by(|next, kept| {
        let same = next.host == kept.host
            && next.port == kept.port
            && next.priority == kept.priority
            && next.socket == kept.socket;
        if same {
            kept.weight = kept.weight.saturating_add(next.weight);
        }
        same
    });
    if how.balances.hashing().is_some_and(|hashing| hashing.in_order) {
        chosen.sort_by_key(|chosen| (Reverse(chosen.priority), chosen.place));
    }
    chosen
}

fn of_policy(policy: &Policy, at: Path<'_>, findings: &Findings) -> panic::Policy {
    let Policy {
        drop_overloads,
        overprovisioning_factor,
        endpoint_stale_after,
        weighted_priority_health,
    } = policy;
    if !drop_overloads.is_empty() {
        findings.add(&DROP_OVERLOAD, at.field("drop_overloads"));
    }
    if endpoint_stale_after.is_some() {
        findings.add(&STALE, at.field("endpoint_stale_after"));
    }
    panic::Policy {
        overprovisioning: overprovisioning_factor.map_or(panic::OVERPROVISIONING, |factor| factor.value),
        weighted: *weighted_priority_health,
    }
}

/// What one endpoint says; the priority, the locality and the socket are the caller's to fill in.
fn of_endpoint<'m>(
    endpoint: &'m LbEndpoint,
    how: Use,
    at: Path<'_>,
    place: (usize, usize),
    beside: &mut Beside,
    findings: &Findings,
) -> Option<Candidate<'m>> {
    let LbEndpoint {
        health_status,
        metadata,
        load_balancing_weight,
        host_identifier,
    } = endpoint;
    let endpoint = match host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => endpoint,
        Some(HostIdentifier::EndpointName(name)) => {
            findings.add_with(&INDIRECT, at.field("endpoint_name"), name.as_str());
            return None;
        }
        None => return None,
    };
    let at = at.field("endpoint");
    let Endpoint {
        address,
        health_check_config,
        hostname,
        additional_addresses,
        observability_name: _,
    } = endpoint;
    // Envoy's own dumps fill in an empty message.
    if health_check_config
        .as_ref()
        .is_some_and(|config| *config != HealthCheckConfig::default())
    {
        beside.health_check.note(place);
    }
    if !hostname.is_empty() {
        beside.hostname.note(place);
    }
    if !additional_addresses.is_empty() {
        beside.additional_addresses.note(place);
    }
    let address = address.as_ref()?;
    let at = at.field("address");
    let socket = address::socket(address, at, findings)?;
    if socket.name && !how.names {
        findings.add_with(
            &address::NOT_TCP,
            at,
            "a DNS name, which this type of cluster does not resolve",
        );
        return None;
    }
    let hash_key = how.balances.hashing().and_then(|hashing| {
        let name = if hostname.is_empty() && socket.name {
            socket.host.as_ref()
        } else {
            hostname.as_str()
        };
        hash_key(metadata.as_ref()).or_else(|| hashing.hostnames.then(|| name.to_owned()))
    });
    Some(Candidate {
        hash_key,
        place: 0,
        host: socket.host,
        port: socket.port,
        name: socket.name,
        health: Health::of(*health_status),
        // Envoy refuses a weight of 0.
        weight: match load_balancing_weight {
            Some(weight) if !matches!(how.balances, Balances::Evenly) => weight.value.max(1),
            _ => 1,
        },
        priority: 0,
        locality: None,
        socket: 0,
    })
}

/// What the endpoint's metadata say is hashed in place of its address.
fn hash_key(metadata: Option<&Metadata>) -> Option<String> {
    let fields = &metadata?.filter_metadata.get("envoy.lb")?.fields;
    match fields.get("hash_key")?.kind.as_ref()? {
        Kind::StringValue(key) if !key.is_empty() => Some(key.clone()),
        _ => None,
    }
}

/// What many endpoints say alike: one finding for all of them, where the first stands.
#[derive(Debug, Default)]
struct Beside {
    health_check: Repeated,
    hostname: Repeated,
    additional_addresses: Repeated,
}

impl Beside {
    fn report(&self, list: Path<'_>, findings: &Findings) {
        let report = |seen: &Repeated, rule, field| {
            let Some((group, endpoint)) = seen.first else {
                return;
            };
            let group = list.index(group);
            let group = group.field("lb_endpoints");
            let endpoint = group.index(endpoint);
            let endpoint = endpoint.field("endpoint");
            findings.add_with(rule, endpoint.field(field), count(seen.times));
        };
        report(&self.health_check, &HEALTH_CHECK, "health_check_config");
        report(&self.hostname, &HOSTNAME, "hostname");
        report(
            &self.additional_addresses,
            &ADDITIONAL_ADDRESSES,
            "additional_addresses",
        );
    }
}

/// Where something was met first, as the indexes of the group and of the endpoint in it, and how often.
#[derive(Debug, Default)]
struct Repeated {
    first: Option<(usize, usize)>,
    times: usize,
}

impl Repeated {
    fn note(&mut self, place: (usize, usize)) {
        self.first.get_or_insert(place);
        self.times += 1;
    }
}

/// `1 endpoint`, `3 endpoints`.
pub(crate) fn count(endpoints: usize) -> String {
    let plural = if endpoints == 1 { "" } else { "s" };
    format!("{endpoints} endpoint{plural}")
}

#[cfg(test)]
mod tests;
