//! `amesh-fault`: Amesh's own plugin for injected faults.

use serde::Serialize;

use crate::apisix::Expr;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AmeshFault {
    /// Conditions that must all hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<Expr>,
    /// A delay before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<DelayFault>,
    /// An answer in place of the upstream's, after the delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<AbortFault>,
    /// How many requests may have a fault at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_active: Option<u32>,
}

/// A part of the requests: `numerator` of `denominator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Part {
    /// How many.
    pub numerator: u32,
    /// Of how many: 100, 10000 or 1000000.
    pub denominator: u32,
}

/// A delay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DelayFault {
    /// How long; absent where a header of the request says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// For which part of the requests.
    pub part: Part,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AbortFault {
    /// The status. Where neither this nor the next is there, a header of the request says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u32>,
    /// The status of gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u32>,
    /// The body.
    pub body: String,
    /// For which part of the requests.
    pub part: Part,
}
