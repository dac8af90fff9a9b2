//! `WeightedCluster`: requests shared out among clusters.
//!
//! The `amesh-forward` plugin takes any number of clusters, each with changes of its own. APISIX's `traffic-split` plugin takes 20 upstreams. With more, groups of 20 are chosen by the random digits of the
//! request's id, each in proportion to its weight, and the plugin shares out within the group.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::route::v3::WeightedCluster;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::cluster_weight::HostRewriteSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{ClusterWeight, RandomValueSpecifier};

use super::Clusters;
use super::answer::Answer;
use super::header_mutation::{self, Changes};
use crate::apisix::Id;
use crate::apisix::plugin::{
    SplitMatch, SplitRule, TrafficSplit, WeightedCluster as Member, WeightedClusters, WeightedUpstream,
};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::http_filter::{self, Configs, Level};
use crate::translate::value::format::Known;
use crate::translate::value::fraction::{Digits, WHOLE, below};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/weighted",
    summary: "Weighted clusters become the amesh-forward plugin, or APISIX's traffic-split plugin in groups of 20.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.WeightedCluster",
            fields: &[
                exact("clusters", "traffic-split.rules[].weighted_upstreams")
                    .amesh_exact("amesh-forward.clusters.members[]"),
                irrelevant("total_weight", "Envoy itself ignores it and uses the sum"),
                irrelevant(
                    "runtime_key_prefix",
                    "APISIX has no runtime layer that could override the weights",
                ),
                unsupported("header_name", &RANDOM_VALUE).amesh_exact("amesh-forward.clusters.header"),
                unsupported("use_hash_policy", &RANDOM_VALUE),
            ],
        },
        Message {
            name: "envoy.config.route.v3.WeightedCluster.ClusterWeight",
            fields: &[
                exact("name", "traffic-split.rules[].weighted_upstreams[].upstream_id")
                    .amesh_exact("amesh-forward.clusters.members[].upstream_id"),
                unsupported("cluster_header", &CLUSTER_HEADER),
                exact("weight", "traffic-split.rules[].weighted_upstreams[].weight")
                    .amesh_exact("amesh-forward.clusters.members[].weight"),
                unsupported("metadata_match", &METADATA_MATCH),
                unsupported("request_headers_to_add", &HEADERS)
                    .amesh_exact("amesh-forward.clusters.members[].request[]"),
                unsupported("request_headers_to_remove", &HEADERS)
                    .amesh_exact("amesh-forward.clusters.members[].request[]"),
                unsupported("response_headers_to_add", &HEADERS)
                    .amesh_exact("amesh-forward.clusters.members[].response[]"),
                unsupported("response_headers_to_remove", &HEADERS)
                    .amesh_exact("amesh-forward.clusters.members[].response[]"),
                exact("typed_per_filter_config", "decides by their types: see the extensions"),
                unsupported("host_rewrite_literal", &HOST_REWRITE).amesh_exact("amesh-forward.clusters.members[].host"),
            ],
        },
    ],
    extensions: &[],
    rules: &[&MISSING],
};

pub(super) static METADATA_MATCH: Rule = Rule::new(
    "route-metadata-match",
    Outcome::FailsClosed,
    "a route wants only some endpoints of its cluster",
    "Envoy can restrict a route to the endpoints whose metadata match. APISIX would send requests to all of them, so it \
     answers 503 to the requests that the route takes.",
    "use a cluster of its own for the endpoints; or permit the rule to use all endpoints",
);

static RANDOM_VALUE: Rule = Rule::new(
    "weighted-cluster-random-value",
    Outcome::Approximated,
    "a member is drawn at random instead of by a header or a hash",
    "Envoy can take the random number that chooses among weighted clusters from a header or from the hash policy, so \
     that equal requests go to the same cluster. APISIX draws for each request; the shares are the same.",
    "nothing, unless requests of one client must stay together",
);

static CLUSTER_HEADER: Rule = Rule::new(
    "weighted-cluster-header",
    Outcome::FailsClosed,
    "a member of a weighted set is named by a request header",
    "Envoy can read the name of a member cluster from a request header. APISIX cannot, so it answers 503 to the \
     requests that the route takes.",
    "name the clusters; or permit the rule to share the requests out among the named ones",
);

static HEADERS: Rule = Rule::new(
    "weighted-cluster-headers",
    Outcome::LeftOut,
    "a member of a weighted set changes no headers of its own",
    "Envoy can change headers for one member of a weighted set. APISIX's traffic-split plugin cannot: upstreams and \
     clients get the headers as the route leaves them.",
    "use routes of their own for the members",
);

static HOST_REWRITE: Rule = Rule::new(
    "weighted-cluster-host-rewrite",
    Outcome::LeftOut,
    "the Host header is not rewritten for a member of a weighted set",
    "Envoy can give each member cluster another Host header. That is not carried over: the upstream gets the host as \
     the client sent it.",
    "use routes of their own for the members",
);

static MISSING: Rule = Rule::new(
    "weighted-cluster-missing",
    Outcome::Approximated,
    "requests for a missing member of a weighted set are answered 503",
    "Envoy answers them with the status that the route names. APISIX's traffic-split plugin gives them an upstream without \
     nodes, which is 503.",
    "add the cluster; or load Amesh's Lua package",
);

/// The most upstreams that a rule of `traffic-split` takes.
const MOST: usize = 20;

/// The route that a weighted set belongs to.
#[derive(Clone, Copy)]
pub(super) struct Within<'a> {
    /// Its name.
    pub(super) route: &'a str,
    /// The status for a cluster that does not exist.
    pub(super) unavailable: u32,
    pub(super) clusters: &'a Clusters<'a>,
    /// What is configured for filters above it.
    pub(super) filters: &'a Level<'a>,
    /// Whether changes of the Server header last.
    pub(super) keeps_server: bool,
}

/// Requests that are shared out.
pub(super) struct Shared {
    pub(super) answer: Answer,
    /// What all members say about filters.
    pub(super) filters: Configs,
}

/// What becomes of requests that are shared out.
pub(super) fn weighted(list: &WeightedCluster, within: Within<'_>, at: Path<'_>, findings: &Findings) -> Shared {
    let package = findings.options().target == Target::Amesh;
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let WeightedCluster {
        clusters,
        total_weight: _,
        runtime_key_prefix: _,
        random_value_specifier,
    } = list;
    let mut header = None;
    match random_value_specifier {
        Some(RandomValueSpecifier::HeaderName(name)) if package => header = Some(name.to_ascii_lowercase()),
        Some(RandomValueSpecifier::HeaderName(_)) => findings.add(&RANDOM_VALUE, at.field("header_name")),
        Some(RandomValueSpecifier::UseHashPolicy(_)) => findings.add(&RANDOM_VALUE, at.field("use_hash_policy")),
        None => {}
    }
    let mut refused = None;
    let mut members = Vec::new();
    // traffic-split keeps only the last weight of an upstream that comes twice.
    let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
    let mut configs = Vec::new();
    for (index, cluster) in clusters.iter().enumerate() {
        let at_cluster = at.field("clusters");
        let at_cluster = at_cluster.index(index);
        let ClusterWeight {
            name,
            cluster_header,
            weight,
            metadata_match,
            request_headers_to_add,
            request_headers_to_remove,
            response_headers_to_add,
            response_headers_to_remove,
            typed_per_filter_config,
            host_rewrite_specifier,
        } = cluster;
        let changes = Changes {
            request_headers_to_add,
            request_headers_to_remove,
            response_headers_to_add,
            response_headers_to_remove,
        };
        let host = host_rewrite_specifier
            .as_ref()
            .map(|HostRewriteSpecifier::HostRewriteLiteral(host)| host);
        if !package {
            changes.report(&HEADERS, at_cluster, findings);
            findings.add_if(host.is_some(), &HOST_REWRITE, at_cluster.field("host_rewrite_literal"));
        }
        let own = http_filter::per_route(typed_per_filter_config, within.filters, at_cluster, findings);
        refused = refused.or(own.refused);
        if metadata_match.is_some() && !findings.permits(&METADATA_MATCH, at_cluster.field("metadata_match"), None) {
            refused = Some(503);
        }
        if !cluster_header.is_empty() {
            if !findings.permits(&CLUSTER_HEADER, at_cluster.field("cluster_header"), None) {
                refused = Some(503);
            }
            continue;
        }
        // Envoy never picks a member of weight zero; APISIX does when all are.
        let weight = weight.as_ref().map_or(0, |weight| weight.value);
        if weight == 0 {
            continue;
        }
        configs.push((index, own.configs));
        *weights.entry(name).or_default() += u64::from(weight);
        let exists = within.clusters.exists(name);
        let missing = within.unavailable != 503 && !exists;
        if !package {
            findings.add_if(missing, &MISSING, at_cluster.field("name"));
            continue;
        }
        let known = Known {
            route: within.route,
            cluster: Some(if exists { name } else { "" }),
        };
        let (request, response) =
            header_mutation::level(&changes, within.keeps_server, at_cluster, findings).steps(known);
        members.push(Member {
            cluster: exists.then(|| name.clone()),
            weight,
            upstream_id: Id::of(name),
            status: missing.then_some(within.unavailable),
            host: host.cloned(),
            request,
            response,
        });
    }
    let answer = match (refused, weights.iter().next()) {
        (Some(status), _) => Answer::Status(status),
        (None, None) => Answer::Status(503),
        (None, Some(_)) if package => Answer::Clusters(WeightedClusters { header, members }),
        (None, Some((name, _))) if weights.len() == 1 => Answer::Upstream(Id::of(name)),
        (None, Some(_)) => Answer::Split(TrafficSplit { rules: rules(&weights) }),
    };
    Shared {
        answer,
        filters: Configs::of_members(&configs, at.field("clusters"), findings),
    }
}

fn rules(weights: &BTreeMap<&str, u64>) -> Vec<SplitRule> {
    let total: u64 = weights.values().sum();
    let members: Vec<(&str, u64)> = weights.iter().map(|(name, weight)| (*name, *weight)).collect();
    let mut taken = 0;
    members
        .chunks(MOST)
        .map(|chunk| {
            taken += chunk.iter().map(|(_, weight)| weight).sum::<u64>();
            let weighted_upstreams = chunk
                .iter()
                // The sum of all weights fits into 32 bits, or Envoy would have refused them.
                .map(|(name, weight)| WeightedUpstream {
                    upstream_id: Id::of(name),
                    weight: u32::try_from(*weight).unwrap_or(u32::MAX),
                })
                .collect();
            // The rules before this one took the requests below their own bounds; the last one takes the rest.
            let matches = if taken >= total {
                Vec::new()
            } else {
                vec![SplitMatch {
                    vars: vec![below(share_of(taken, total), Digits::Split)],
                }]
            };
            SplitRule {
                matches,
                weighted_upstreams,
            }
        })
        .collect()
}

/// `part / total` of [`WHOLE`].
fn share_of(part: u64, total: u64) -> u64 {
    u64::try_from(u128::from(part) * u128::from(WHOLE) / u128::from(total))
        .unwrap_or(WHOLE)
        .max(1)
}
