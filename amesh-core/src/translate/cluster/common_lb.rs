//! What every load balancer of Envoy knows: the panic threshold, localities, and what happens when hosts change.

use envoy_types::pb::envoy::config::cluster::v3::cluster::CommonLbConfig;
use envoy_types::pb::envoy::config::cluster::v3::cluster::common_lb_config::{
    ConsistentHashingLbConfig, LocalityConfigSpecifier,
};

use super::health_check::HEALTH_CHECK;
use super::load_balancing::TUNING;
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/common_lb",
    summary: "The panic threshold and the weights of localities decide which endpoints become nodes, and their weights.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster",
            fields: &[exact("common_lb_config", "upstream.nodes")],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.CommonLbConfig",
            fields: &[
                exact("healthy_panic_threshold", "upstream.nodes"),
                unsupported("zone_aware_lb_config", &ZONE_AWARE),
                exact("locality_weighted_lb_config", "upstream.nodes[].weight"),
                irrelevant(
                    "update_merge_window",
                    "how long Envoy collects changes of endpoints before it uses them",
                ),
                unsupported("ignore_new_hosts_until_first_hc", &HEALTH_CHECK),
                unsupported("close_connections_on_host_set_change", &CONNECTIONS_KEPT),
                unsupported("consistent_hashing_lb_config", &TUNING).amesh_exact("upstream.nodes[].metadata.hash_key"),
                unsupported("override_host_status", &OVERRIDE_HOST),
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig",
            fields: &[],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig",
            fields: &[
                unsupported("use_hostname_for_hashing", &TUNING).amesh_exact("upstream.nodes[].metadata.hash_key"),
                unsupported("hash_balance_factor", &TUNING).amesh_unsupported(&BALANCE),
            ],
        },
        Message {
            name: "envoy.type.v3.Percent",
            fields: &[exact("value", "upstream.nodes")],
        },
    ],
    extensions: &[],
    rules: &[],
};

static ZONE_AWARE: Rule = Rule {
    name: "lb-zone-aware",
    outcome: Outcome::Approximated,
    summary: "endpoints in the client's own zone are not preferred",
    explanation: "\
With zone-aware routing, Envoy keeps requests in its own zone as far as the endpoints there can carry their share. \
APISIX does not know its zone: requests are spread over all endpoints by their weights.",
    advice: "let Istio prefer localities instead (localityLbSetting), which arrives as priorities and weights",
};

static CONNECTIONS_KEPT: Rule = Rule {
    name: "cluster-connections-kept",
    outcome: Outcome::LeftOut,
    summary: "open connections are not closed when the endpoints change",
    explanation: "\
Envoy can close its idle connections to a cluster whenever the set of its endpoints changes, so that all requests are \
balanced anew. In APISIX each request is balanced anew anyway; a request that is under way stays with its node.",
    advice: "none is needed for HTTP requests",
};

static OVERRIDE_HOST: Rule = Rule {
    name: "lb-override-host",
    outcome: Outcome::LeftOut,
    summary: "a request cannot name the endpoint that it wants",
    explanation: "\
With stateful sessions, Envoy sends a request to the endpoint that a cookie or header names, as long as the endpoint's \
health is in this list, draining ones too. APISIX has no such override, so the list has nothing to act on.",
    advice: "do not rely on session persistence",
};

static BALANCE: Rule = Rule {
    name: "lb-hash-balance-factor",
    outcome: Outcome::LeftOut,
    summary: "an endpoint that many hashes lead to is not relieved",
    explanation: "\
With a hash balance factor, Envoy sends requests to another endpoint than their hash leads to while that one has more than \
its part of the requests in flight. Amesh's balancers always follow the hash.",
    advice: "hash something that differs more between requests",
};

/// What a cluster says about the use of its endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommonLb {
    /// Below this percentage of healthy endpoints all are used.
    pub(crate) panic_threshold: u32,
    /// Whether the weights of localities count.
    pub(crate) locality_weights: bool,
    /// Whether host names are hashed in place of addresses.
    pub(crate) hash_hostnames: bool,
}

/// Envoy's panic threshold when the cluster sets none.
const PANIC_THRESHOLD: u32 = 50;

pub(crate) fn common_lb(config: Option<&CommonLbConfig>, at: Path<'_>, findings: &Findings) -> CommonLb {
    let mut common = CommonLb {
        panic_threshold: PANIC_THRESHOLD,
        locality_weights: false,
        hash_hostnames: false,
    };
    let Some(config) = config else {
        return common;
    };
    let at = at.field("common_lb_config");
    let CommonLbConfig {
        healthy_panic_threshold,
        update_merge_window: _,
        ignore_new_hosts_until_first_hc,
        close_connections_on_host_set_change,
        consistent_hashing_lb_config,
        override_host_status,
        locality_config_specifier,
    } = config;
    if let Some(threshold) = healthy_panic_threshold {
        common.panic_threshold = percent(threshold.value);
    }
    match locality_config_specifier {
        None => {}
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => common.locality_weights = true,
        Some(LocalityConfigSpecifier::ZoneAwareLbConfig(zone_aware)) => {
            let off = zone_aware.routing_enabled.is_some_and(|share| share.value <= 0.0);
            if !off {
                findings.add(&ZONE_AWARE, at.field("zone_aware_lb_config"));
            }
        }
    }
    if *ignore_new_hosts_until_first_hc {
        findings.add(&HEALTH_CHECK, at.field("ignore_new_hosts_until_first_hc"));
    }
    if *close_connections_on_host_set_change {
        findings.add(&CONNECTIONS_KEPT, at.field("close_connections_on_host_set_change"));
    }
    if let Some(hashing) = consistent_hashing_lb_config {
        let ConsistentHashingLbConfig {
            use_hostname_for_hashing,
            hash_balance_factor,
        } = hashing;
        common.hash_hostnames = *use_hostname_for_hashing;
        let at = at.field("consistent_hashing_lb_config");
        if findings.options().target != Target::Amesh {
            findings.add(&TUNING, at);
        } else if hash_balance_factor.as_ref().is_some_and(|factor| factor.value > 0) {
            findings.add(&BALANCE, at.field("hash_balance_factor"));
        }
    }
    if override_host_status.is_some() {
        findings.add(&OVERRIDE_HOST, at.field("override_host_status"));
    }
    common
}

/// A percentage as Envoy's load balancers read it: rounded to a whole number, 0 to 100.
fn percent(value: f64) -> u32 {
    let rounded = value.round();
    (1..=100).rev().find(|whole| f64::from(*whole) <= rounded).unwrap_or(0)
}
