//! `amesh-retry`: Amesh's own plugin for how long a request may take and when it is tried again.

use serde::Serialize;

/// The plugin's configuration. Times are in seconds; what is absent is not bounded.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct AmeshRetry {
    /// For all tries together, which upstreams are told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// For all tries together, which upstreams are not told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_timeout: Option<f64>,
    /// The most that a client may ask for in `grpc-timeout`, which then takes the place of `timeout`; 0 for whatever it
    /// asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_timeout_max: Option<f64>,
    /// Whether upstreams are not told of that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub grpc_stream_timeout: bool,
    /// Without a byte in either direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<f64>,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Whether upstreams are told which try a request is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attempt_count: bool,
    /// Whether clients are told how many tries it took.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attempt_count_in_response: bool,
}

/// When to try again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retry {
    /// How often at most.
    pub times: u32,
    /// For one try, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<f64>,
    /// After which failures.
    pub on: Vec<RetryOn>,
    /// After which statuses, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u32>,
    /// How many other nodes are looked at before a failed one is tried again; `None`: none. Balancers in turn go on to
    /// the next anyway, and those by hashes are told by `amesh-hash`.
    #[serde(skip)]
    pub other_hosts: Option<u32>,
}

/// A failure without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// No connection came about.
    Connect,
    /// The connection ended, or time ran out, before the answer began.
    Reset,
}
