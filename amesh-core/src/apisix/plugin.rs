//! The plugins of a route, one file each.

mod fault_injection;
mod proxy_rewrite;
mod traffic_split;

use serde::Serialize;

pub use fault_injection::{Abort, FaultInjection};
pub use proxy_rewrite::{HeaderChanges, ProxyRewrite};
pub use traffic_split::{SplitMatch, SplitRule, TrafficSplit, WeightedUpstream};

/// The plugins of a route by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Plugins {
    /// Answers in place of an upstream.
    #[serde(rename = "fault-injection", skip_serializing_if = "Option::is_none")]
    pub fault_injection: Option<FaultInjection>,
    /// Changes requests before they are forwarded.
    #[serde(rename = "proxy-rewrite", skip_serializing_if = "Option::is_none")]
    pub proxy_rewrite: Option<ProxyRewrite>,
    /// Shares requests out among upstreams.
    #[serde(rename = "traffic-split", skip_serializing_if = "Option::is_none")]
    pub traffic_split: Option<TrafficSplit>,
}

impl Plugins {
    /// Whether there is no plugin at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        let Self {
            fault_injection,
            proxy_rewrite,
            traffic_split,
        } = self;
        fault_injection.is_none() && proxy_rewrite.is_none() && traffic_split.is_none()
    }
}
