//! How a cluster spreads requests over its endpoints.
//!
//! Round robin is APISIX's default and honours weights exactly. Least requests, Istio's default, becomes `least_conn`, or
//! with Amesh's package a balancer that chooses as Envoy's does. Rings and tables of hashes and random choice have no
//! counterpart in stock APISIX and become round robin, each with a finding that says what is lost; Amesh's package has
//! balancers for them.

use envoy_types::pb::envoy::config::cluster::v3::LoadBalancingPolicy;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ring_hash_lb_config::HashFunction;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    LbConfig, LbPolicy, LbSubsetConfig, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig, RoundRobinLbConfig,
};

use crate::apisix::Balancer;
use crate::feature::{Feature, Message, approximate, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::endpoint::{Balances, Hashing};

use super::slow_start::{SLOW_START, slow_start};

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/load_balancing",
    summary: "Round robin and least requests are kept; the package adds rings, tables, random choice and Envoy's least requests.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster",
            fields: &[
                approximate("lb_policy", "upstream.type", &LEAST_REQUEST)
                    .amesh_approximate("upstream.type", &EACH_WORKER),
                unsupported("lb_subset_config", &SUBSET),
                unsupported("ring_hash_lb_config", &TUNING).amesh_exact("upstream.key"),
                unsupported("maglev_lb_config", &TUNING).amesh_exact("upstream.key"),
                approximate("least_request_lb_config", "upstream.type", &LEAST_REQUEST).amesh_exact("upstream.key"),
                approximate("round_robin_lb_config", "upstream.type", &SLOW_START).amesh_exact("upstream.type"),
                unsupported("load_balancing_policy", &EXTENSION),
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig",
            fields: &[
                unsupported("choice_count", &TUNING).amesh_exact("upstream.key"),
                unsupported("active_request_bias", &TUNING).amesh_exact("upstream.key"),
            ],
        },
        Message {
            name: "envoy.config.core.v3.RuntimeDouble",
            fields: &[
                unsupported("default_value", &TUNING).amesh_exact("upstream.key"),
                irrelevant(
                    "runtime_key",
                    "APISIX has no runtime layer that could override the value",
                ),
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.RingHashLbConfig",
            fields: &[
                unsupported("minimum_ring_size", &TUNING).amesh_exact("upstream.key"),
                unsupported("hash_function", &TUNING).amesh_exact("upstream.key"),
                unsupported("maximum_ring_size", &TUNING).amesh_exact("upstream.key"),
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.MaglevLbConfig",
            fields: &[unsupported("table_size", &TUNING).amesh_exact("upstream.key")],
        },
    ],
    extensions: &[],
    rules: &[&RANDOM, &CONSISTENT_HASH],
};

static LEAST_REQUEST: Rule = Rule {
    name: "lb-least-request",
    outcome: Outcome::Approximated,
    summary: "the endpoint with the fewest requests is found by looking at all of them, for each worker of nginx alone",
    explanation: "\
Envoy compares two endpoints that it draws at random and sends the request to the one with fewer requests in flight; \
when weights differ it lowers the weight of a busy endpoint instead. APISIX's least_conn looks at all endpoints and takes \
the one with the fewest requests in flight for its weight. Both count what the proxy itself has sent; in APISIX each \
worker process counts its own. Among endpoints with equally few Envoy draws, so all get their share; APISIX takes them in \
an order of its own, so while requests come one at a time some endpoints get none.",
    advice: "balance in turn (`ROUND_ROBIN` in a DestinationRule) where idle endpoints are to get their share too",
};

static EACH_WORKER: Rule = Rule {
    name: "lb-least-request-worker",
    outcome: Outcome::Approximated,
    summary: "requests in flight are counted by each worker of nginx alone",
    explanation: "\
Amesh's balancer draws endpoints and compares their requests in flight as Envoy's does, and where weights differ takes them \
in turn by their weights and what is in flight. Envoy counts what all of its threads have sent; in APISIX each worker process \
counts its own, and none what it sent while the cluster had a single endpoint.",
    advice: "none is needed; with few workers the counts are close to Envoy's",
};

static RANDOM: Rule = Rule {
    name: "lb-random",
    outcome: Outcome::Approximated,
    summary: "endpoints are chosen in turn instead of at random",
    explanation: "\
Envoy draws an endpoint at random, whatever its weight. Stock APISIX has no such balancer; with round robin each endpoint gets the same share over \
time, only more evenly.",
    advice: "none is needed",
};

static CONSISTENT_HASH: Rule = Rule {
    name: "lb-consistent-hash",
    outcome: Outcome::Approximated,
    summary: "requests of one client or session are not kept on one endpoint",
    explanation: "\
With RING_HASH and MAGLEV, Envoy hashes what the route's hash policy names (a header, a cookie, the client's address) and \
sends equal hashes to the same endpoint. Without Amesh's package the hash policy is not carried over, so requests are spread in turn and \
successive requests of a session reach different endpoints.",
    advice: "run APISIX with Amesh's Lua package, which has Envoy's rings and tables; or keep session state where every \
             endpoint finds it",
};

pub(crate) static TUNING: Rule = Rule {
    name: "lb-tuning",
    outcome: Outcome::Approximated,
    summary: "a parameter of the load balancer has no counterpart",
    explanation: "\
The size of a hash ring or table, the number of endpoints that are compared, the weight of requests in flight: they \
shape how Envoy's algorithms spread requests. APISIX's algorithms are others and do not have these parameters.",
    advice: "none is needed unless the distribution of requests was tuned on purpose",
};

static SUBSET: Rule = Rule {
    name: "lb-subset",
    outcome: Outcome::LeftOut,
    summary: "requests are sent to all endpoints of a cluster, not to the subset that a route asks for",
    explanation: "\
Envoy can divide the endpoints of a cluster by their metadata and send a request only to those that the route's \
metadata_match names. Istio does not use this: its subsets are clusters of their own. Requests go to any endpoint of the \
cluster.",
    advice: "give each subset a cluster of its own",
};

static EXTENSION: Rule = Rule {
    name: "lb-extension",
    outcome: Outcome::Approximated,
    summary: "a load balancer that is an extension is replaced by round robin",
    explanation: "\
load_balancing_policy names the balancer as an extension, and lb_policy is then not read. Istio uses it to let an \
inference gateway pick endpoints. The endpoints of such a cluster are used in turn.",
    advice: "use a load balancer that DestinationRule offers",
};

/// What a cluster says about balancing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings<'c> {
    pub(crate) lb_policy: i32,
    pub(crate) load_balancing_policy: Option<&'c LoadBalancingPolicy>,
    pub(crate) lb_config: Option<&'c LbConfig>,
    pub(crate) lb_subset_config: Option<&'c LbSubsetConfig>,
    /// Whether host names are hashed in place of addresses.
    pub(crate) hash_hostnames: bool,
}

/// How the upstream balances.
#[derive(Debug)]
pub(crate) struct Balancing {
    pub(crate) balancer: Balancer,
    /// Its settings, where it is one of Amesh's own.
    pub(crate) key: Option<String>,
    pub(crate) balances: Balances,
}

impl Balancing {
    pub(super) const fn by(balancer: Balancer) -> Self {
        Self {
            balancer,
            key: None,
            balances: Balances::ByWeight,
        }
    }
}

/// Reads how the cluster balances.
pub(crate) fn balancing(settings: Settings<'_>, at: Path<'_>, findings: &Findings) -> Balancing {
    let Settings {
        lb_policy,
        load_balancing_policy,
        lb_config,
        lb_subset_config,
        hash_hostnames,
    } = settings;
    if lb_subset_config.is_some() {
        findings.add(&SUBSET, at.field("lb_subset_config"));
    }
    if let Some(policy) = load_balancing_policy {
        let LoadBalancingPolicy { policies } = policy;
        let names: Vec<&str> = policies
            .iter()
            .filter_map(|policy| policy.typed_extension_config.as_ref())
            .map(|config| config.name.as_str())
            .collect();
        findings.add_with(&EXTENSION, at.field("load_balancing_policy"), names.join(", "));
        return Balancing::by(Balancer::RoundRobin);
    }
    let package = findings.options().target == Target::Amesh;
    let policy = LbPolicy::try_from(lb_policy);
    let mut start = None;
    match lb_config {
        Some(LbConfig::LeastRequestLbConfig(config)) if policy == Ok(LbPolicy::LeastRequest) => {
            start = least_request(config, package, at.field("least_request_lb_config"), findings);
        }
        // The configuration of another balancer than the policy names is not read; ORIGINAL_DST's is with the cluster's type.
        None | Some(LbConfig::LeastRequestLbConfig(_) | LbConfig::OriginalDstLbConfig(_)) => {}
        Some(LbConfig::RoundRobinLbConfig(config)) => {
            let RoundRobinLbConfig { slow_start_config } = config;
            if policy == Ok(LbPolicy::RoundRobin) {
                start = slow_start(slow_start_config.as_ref(), at.field("round_robin_lb_config"), findings);
            }
        }
        Some(LbConfig::RingHashLbConfig(_)) => {
            tuning(
                !package && policy == Ok(LbPolicy::RingHash),
                at,
                "ring_hash_lb_config",
                findings,
            );
        }
        Some(LbConfig::MaglevLbConfig(_)) => {
            tuning(
                !package && policy == Ok(LbPolicy::Maglev),
                at,
                "maglev_lb_config",
                findings,
            );
        }
    }
    let at = at.field("lb_policy");
    match policy {
        Ok(LbPolicy::RoundRobin) if start.is_some() => {
            return Balancing {
                key: start,
                ..Balancing::by(Balancer::SlowStart)
            };
        }
        // Clusters that are extensions bring a balancer of their own, and have no nodes; that of ORIGINAL_DST is read with the
        // cluster's type.
        Ok(LbPolicy::RoundRobin | LbPolicy::ClusterProvided) => {}
        Ok(LbPolicy::LeastRequest) => {
            findings.add(if package { &EACH_WORKER } else { &LEAST_REQUEST }, at);
            return Balancing {
                key: package.then(|| least_request_key(lb_config, start.as_deref())),
                ..Balancing::by(if package {
                    Balancer::LeastRequest
                } else {
                    Balancer::LeastConn
                })
            };
        }
        Ok(LbPolicy::Random) => {
            findings.add_if(!package, &RANDOM, at);
            return Balancing {
                balances: Balances::Evenly,
                ..Balancing::by(if package {
                    Balancer::Random
                } else {
                    Balancer::RoundRobin
                })
            };
        }
        Ok(LbPolicy::RingHash) if package => {
            return Balancing {
                key: Some(ring_key(lb_config)),
                balances: Balances::ByHash(Hashing {
                    hostnames: hash_hostnames,
                    in_order: true,
                }),
                ..Balancing::by(Balancer::RingHash)
            };
        }
        Ok(LbPolicy::Maglev) if package => {
            return Balancing {
                key: Some(table_size(lb_config).to_string()),
                balances: Balances::ByHash(Hashing {
                    hostnames: hash_hostnames,
                    in_order: false,
                }),
                ..Balancing::by(Balancer::Maglev)
            };
        }
        Ok(policy @ (LbPolicy::RingHash | LbPolicy::Maglev)) => {
            findings.add_with(&CONSISTENT_HASH, at, policy.as_str_name());
        }
        Ok(LbPolicy::LoadBalancingPolicyConfig) => {
            findings.add_with(&EXTENSION, at, "no load_balancing_policy is given");
        }
        Err(_) => findings.add_with(&EXTENSION, at, format!("policy {lb_policy}")),
    }
    Balancing::by(Balancer::RoundRobin)
}

/// Envoy's bounds of a ring, where the cluster sets none, and of what it may set.
const MINIMUM_RING: u64 = 1024;
const MAXIMUM_RING: u64 = 8 * 1024 * 1024;
/// Envoy's size of a table, where the cluster sets none.
const TABLE: u64 = 65_537;

fn least_request_key(config: Option<&LbConfig>, start: Option<&str>) -> String {
    let config = match config {
        Some(LbConfig::LeastRequestLbConfig(config)) => Some(config),
        _ => None,
    };
    let choices = config
        .and_then(|config| config.choice_count.as_ref())
        .map_or(2, |count| count.value.max(1));
    let bias = config
        .and_then(|config| config.active_request_bias.as_ref())
        .map_or(1.0, |bias| bias.default_value);
    // What Envoy does with a negative value.
    let bias = if bias.is_finite() && bias >= 0.0 { bias } else { 1.0 };
    match start {
        Some(start) => format!("{choices} {bias} {start}"),
        None => format!("{choices} {bias}"),
    }
}

fn ring_key(config: Option<&LbConfig>) -> String {
    let default = RingHashLbConfig::default();
    let RingHashLbConfig {
        minimum_ring_size,
        hash_function,
        maximum_ring_size,
    } = match config {
        Some(LbConfig::RingHashLbConfig(config)) => config,
        _ => &default,
    };
    let minimum = minimum_ring_size.as_ref().map_or(MINIMUM_RING, |size| size.value);
    let maximum = maximum_ring_size.as_ref().map_or(MAXIMUM_RING, |size| size.value);
    let function = match HashFunction::try_from(*hash_function) {
        Ok(HashFunction::MurmurHash2) => "murmur_hash_2",
        Ok(HashFunction::XxHash) | Err(_) => "xx_hash",
    };
    format!("{minimum} {maximum} {function}")
}

fn table_size(config: Option<&LbConfig>) -> u64 {
    match config {
        Some(LbConfig::MaglevLbConfig(MaglevLbConfig { table_size: Some(size) })) => size.value,
        _ => TABLE,
    }
}

fn tuning(read: bool, at: Path<'_>, field: &'static str, findings: &Findings) {
    if read {
        findings.add(&TUNING, at.field(field));
    }
}

/// Gives how new endpoints are treated.
fn least_request(config: &LeastRequestLbConfig, package: bool, at: Path<'_>, findings: &Findings) -> Option<String> {
    let LeastRequestLbConfig {
        choice_count,
        active_request_bias,
        slow_start_config,
    } = config;
    findings.add_if(!package && choice_count.is_some(), &TUNING, at.field("choice_count"));
    findings.add_if(
        !package && active_request_bias.is_some(),
        &TUNING,
        at.field("active_request_bias"),
    );
    slow_start(slow_start_config.as_ref(), at, findings)
}
