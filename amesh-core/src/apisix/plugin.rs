//! The plugins of a route, one file each.

mod amesh_answer;
mod amesh_cors;
mod amesh_fault;
mod amesh_forward;
mod amesh_hash;
mod amesh_limit;
mod amesh_mirror;
mod amesh_response;
mod amesh_retry;
mod cors;
mod fault_injection;
mod header;
mod manager;
mod path;
mod proxy_rewrite;
mod redirect;
mod response_rewrite;
mod traffic_split;

use serde::Serialize;

pub use amesh_answer::{AmeshAnswer, DirectAnswer, LocalAnswer, RedirectAnswer};
pub use amesh_cors::AmeshCors;
pub use amesh_fault::{AbortFault, AmeshFault, DelayFault, Part};
pub use amesh_forward::{AmeshForward, HostRewrite, WeightedCluster, WeightedClusters};
pub use amesh_hash::{AmeshHash, CookieAttribute, HashCookie, HashHeader, HashOf, HashPolicy, HashSourceIp};
pub use amesh_limit::AmeshLimit;
pub use amesh_mirror::{AmeshMirror, MirrorCopy};
pub use amesh_response::AmeshResponse;
pub use amesh_retry::{AmeshRetry, Retry, RetryOn};
pub use cors::Cors;
pub use fault_injection::{Abort, Delay, FaultInjection};
pub use header::{AppendAction, Command, Format, FormatPart, HeaderAddition, HeaderStep};
pub use manager::{Manager, RequestId};
pub use path::{EscapedSlashes, PathForm, PathRewrite};
pub use proxy_rewrite::{HeaderChanges, HeaderValues, ProxyRewrite};
pub use redirect::Redirect;
pub use response_rewrite::{ResponseHeaderChanges, ResponseRewrite};
pub use traffic_split::{SplitMatch, SplitRule, TrafficSplit, WeightedUpstream};

/// The plugins of a route by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Plugins {
    /// Amesh's own: injected faults.
    #[serde(rename = "amesh-fault", skip_serializing_if = "Option::is_none")]
    pub amesh_fault: Option<AmeshFault>,
    /// Amesh's own: answers in place of an upstream.
    #[serde(rename = "amesh-answer", skip_serializing_if = "Option::is_none")]
    pub amesh_answer: Option<AmeshAnswer>,
    /// Amesh's own: cross-origin requests.
    #[serde(rename = "amesh-cors", skip_serializing_if = "Option::is_none")]
    pub amesh_cors: Option<AmeshCors>,
    /// Amesh's own: what keeps requests on one node.
    #[serde(rename = "amesh-hash", skip_serializing_if = "Option::is_none")]
    pub amesh_hash: Option<AmeshHash>,
    /// Amesh's own: what an upstream may have in flight.
    #[serde(rename = "amesh-limit", skip_serializing_if = "Option::is_none")]
    pub amesh_limit: Option<AmeshLimit>,
    /// Amesh's own: how long a request may take and when it is tried again.
    #[serde(rename = "amesh-retry", skip_serializing_if = "Option::is_none")]
    pub amesh_retry: Option<AmeshRetry>,
    /// Amesh's own: changes requests on their way to an upstream.
    #[serde(rename = "amesh-forward", skip_serializing_if = "Option::is_none")]
    pub amesh_forward: Option<AmeshForward>,
    /// Amesh's own: changes responses on their way to the client.
    #[serde(rename = "amesh-response", skip_serializing_if = "Option::is_none")]
    pub amesh_response: Option<AmeshResponse>,
    /// Amesh's own: copies of requests.
    #[serde(rename = "amesh-mirror", skip_serializing_if = "Option::is_none")]
    pub amesh_mirror: Option<AmeshMirror>,
    /// Cross-origin requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Delays, and answers in place of an upstream.
    #[serde(rename = "fault-injection", skip_serializing_if = "Option::is_none")]
    pub fault_injection: Option<FaultInjection>,
    /// Changes requests before they are forwarded.
    #[serde(rename = "proxy-rewrite", skip_serializing_if = "Option::is_none")]
    pub proxy_rewrite: Option<ProxyRewrite>,
    /// Sends clients elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Changes responses before clients get them.
    #[serde(rename = "response-rewrite", skip_serializing_if = "Option::is_none")]
    pub response_rewrite: Option<ResponseRewrite>,
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
