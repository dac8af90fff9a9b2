//! What becomes of the requests that a route takes.

use super::rewrite::Changed;
use crate::apisix::plugin::{Abort, LocalAnswer, Plugins, Redirect, TrafficSplit, WeightedClusters};
use crate::apisix::{Id, Timeout};
use crate::translate::http_filter::Configs;
use crate::translate::http_filter::cors::Policy;

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Upstream(Id),
    /// Shared out by APISIX's own plugin.
    Split(TrafficSplit),
    /// Shared out by Amesh's plugin.
    Clusters(WeightedClusters),
    /// A status without a body, given by Amesh itself.
    Status(u32),
    /// A redirect by APISIX's own plugin.
    Redirect(Redirect),
    /// A direct response by APISIX's own plugin.
    Abort(Abort),
    /// A redirect or a direct response by Amesh's plugin.
    Amesh(LocalAnswer),
}

impl Answer {
    /// Whether requests are forwarded.
    pub(super) const fn forwards(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Split(_) | Self::Clusters(_) => true,
            Self::Status(_) | Self::Redirect(_) | Self::Abort(_) | Self::Amesh(_) => false,
        }
    }

    /// Whether requests go to a cluster; `None` where only some do.
    pub(super) fn reaches(&self, cluster: &str) -> Option<bool> {
        let id = Id::of(cluster);
        let some = |reached: bool| if reached { None } else { Some(false) };
        match self {
            Self::Upstream(upstream) => Some(*upstream == id),
            Self::Split(split) => {
                let mut members = split.rules.iter().flat_map(|rule| &rule.weighted_upstreams);
                some(members.any(|member| member.upstream_id == id))
            }
            Self::Clusters(clusters) => {
                let reached = clusters
                    .members
                    .iter()
                    .filter(|member| member.upstream_id == id)
                    .count();
                if reached == clusters.members.len() {
                    Some(true)
                } else {
                    some(reached > 0)
                }
            }
            Self::Status(_) | Self::Redirect(_) | Self::Abort(_) | Self::Amesh(_) => Some(false),
        }
    }
}

/// What a route does with its requests.
#[derive(Debug)]
pub(super) struct Served {
    /// `None`: the operator permitted the route to be left out.
    pub(super) answer: Option<Answer>,
    /// Whether WebSocket upgrades are passed on; `None`: as the connection manager says.
    pub(super) websocket: Option<bool>,
    /// `None`: the upstream's own.
    pub(super) timeout: Option<Timeout>,
    /// Path and host on the way to the upstream.
    pub(super) changed: Changed,
    /// What else happens to the requests.
    pub(super) plugins: Plugins,
    /// What all members of a weighted cluster say about filters.
    pub(super) filters: Configs,
    /// The CORS policy of the route in the field that the filter's own configuration replaced.
    pub(super) cors: Option<Policy>,
}

impl Served {
    /// An answer and nothing else.
    pub(super) fn answered(answer: Option<Answer>) -> Self {
        Self {
            answer,
            websocket: None,
            timeout: None,
            changed: Changed::default(),
            plugins: Plugins::default(),
            filters: Configs::default(),
            cors: None,
        }
    }
}
