//! `traffic-split`: requests shared out among upstreams.

use serde::Serialize;

use crate::apisix::{Expr, Id};

/// The plugin's configuration: the first rule that matches decides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrafficSplit {
    /// The rules.
    pub rules: Vec<SplitRule>,
}

/// Upstreams for some requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitRule {
    /// Any of these; none for all requests.
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<SplitMatch>,
    /// The upstreams, at most 20.
    pub weighted_upstreams: Vec<WeightedUpstream>,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitMatch {
    /// The conditions.
    pub vars: Vec<Expr>,
}

/// An upstream and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightedUpstream {
    /// The upstream.
    pub upstream_id: Id,
    /// Its share of the sum of the rule's weights.
    pub weight: u32,
}
