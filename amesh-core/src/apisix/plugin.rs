//! The plugins of a route, one file each.

mod amesh_answer;
mod amesh_hash;
mod amesh_retry;
mod fault_injection;
mod proxy_rewrite;
mod redirect;
mod traffic_split;

use serde::Serialize;

pub use amesh_answer::{AmeshAnswer, DirectAnswer, PathRewrite, RedirectAnswer};
pub use amesh_hash::{AmeshHash, CookieAttribute, HashCookie, HashHeader, HashOf, HashPolicy};
pub use amesh_retry::{AmeshRetry, Retry, RetryOn};
pub use fault_injection::{Abort, FaultInjection};
pub use proxy_rewrite::{HeaderChanges, ProxyRewrite};
pub use redirect::Redirect;
pub use traffic_split::{SplitMatch, SplitRule, TrafficSplit, WeightedUpstream};

/// The plugins of a route by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Plugins {
    /// Amesh's own: answers in place of an upstream.
    #[serde(rename = "amesh-answer", skip_serializing_if = "Option::is_none")]
    pub amesh_answer: Option<AmeshAnswer>,
    /// Amesh's own: what keeps requests on one node.
    #[serde(rename = "amesh-hash", skip_serializing_if = "Option::is_none")]
    pub amesh_hash: Option<AmeshHash>,
    /// Amesh's own: how long a request may take and when it is tried again.
    #[serde(rename = "amesh-retry", skip_serializing_if = "Option::is_none")]
    pub amesh_retry: Option<AmeshRetry>,
    /// Answers in place of an upstream.
    #[serde(rename = "fault-injection", skip_serializing_if = "Option::is_none")]
    pub fault_injection: Option<FaultInjection>,
    /// Changes requests before they are forwarded.
    #[serde(rename = "proxy-rewrite", skip_serializing_if = "Option::is_none")]
    pub proxy_rewrite: Option<ProxyRewrite>,
    /// Sends clients elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Shares requests out among upstreams.
    #[serde(rename = "traffic-split", skip_serializing_if = "Option::is_none")]
    pub traffic_split: Option<TrafficSplit>,
}

impl Plugins {
    /// Whether there is no plugin at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
