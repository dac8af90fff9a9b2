//! `fault-injection`: a delay, and an answer without an upstream.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::apisix::Expr;

/// The plugin's configuration; one of the two at least.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultInjection {
    /// The answer, after the delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// The delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// The status, at least 200.
    pub http_status: u32,
    /// The body.
    pub body: String,
    /// Headers of the answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<&'static str, String>,
    /// For how many of a hundred requests; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<u32>,
    /// Conditions: any of these lists, of which all must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<Vec<Expr>>,
}

impl Abort {
    /// An answer for every request, without headers of its own.
    #[must_use]
    pub const fn always(http_status: u32, body: String) -> Self {
        Self {
            http_status,
            body,
            headers: BTreeMap::new(),
            percentage: None,
            vars: Vec::new(),
        }
    }
}

/// A delay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delay {
    /// How long, in seconds.
    pub duration: f64,
    /// For how many of a hundred requests; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<u32>,
    /// Conditions: any of these lists, of which all must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<Vec<Expr>>,
}
