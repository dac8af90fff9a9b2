//! `fault-injection`: an answer without an upstream.

use serde::Serialize;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultInjection {
    /// The answer.
    pub abort: Abort,
}

/// An answer for every request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Abort {
    /// The status, at least 200.
    pub http_status: u32,
    /// The body.
    pub body: String,
}
