//! `amesh-forward`: Amesh's own plugin for what happens to a request on its way to an upstream.

use std::sync::Arc;

use serde::Serialize;

use super::{HeaderStep, Manager, PathForm, PathRewrite};
use crate::apisix::Id;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AmeshForward {
    /// The clusters that requests are shared out among; none where the route has an upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<WeightedClusters>,
    /// Changes of the request's headers, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderStep>,
    /// How the path is written before anything else is done to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathForm>,
    /// A change of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<PathRewrite>,
    /// A change of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostRewrite>,
    /// Whether the host that was there goes to X-Forwarded-Host when it is changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub append_forwarded_host: bool,
    /// What the connection manager does to headers; without it, what Envoy does by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Arc<Manager>>,
}

/// A change of the host that an upstream gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostRewrite {
    /// This one.
    Literal(String),
    /// What a header of the request says, if it is there.
    Header(String),
    /// The path, with what matches a pattern replaced.
    Path(PathRewrite),
    /// The name of the node that gets the request, if it has one; always true.
    Node(bool),
}

/// Clusters that requests are shared out among.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightedClusters {
    /// The header whose number chooses, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The clusters.
    pub members: Vec<WeightedCluster>,
}

/// A cluster and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightedCluster {
    /// Its name, if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Its share of the sum of all weights.
    pub weight: u32,
    /// Its upstream.
    pub upstream_id: Id,
    /// The status that requests are answered with because the cluster does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
    /// The host that the upstream gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Changes of its requests' headers, before those of the route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<HeaderStep>,
    /// Changes of its responses' headers, before those of the route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response: Vec<HeaderStep>,
}
