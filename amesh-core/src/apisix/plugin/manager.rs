//! What a connection manager does to headers, as Amesh's own plugins are told. What is absent is Envoy's default.

use serde::Serialize;

/// What a connection manager does to the headers of requests and answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Manager {
    /// What the Server header says; without it `envoy`, or nothing where that of upstreams is passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Whether an upstream's own Server header is passed on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub upstream_server: bool,
    /// Where clients are not believed: how many proxies before this one are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<u32>,
    /// How requests come by an id; without it each gets a new one at the edge, and elsewhere those that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Whether answers tell the id.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub request_id_in_response: bool,
    /// Whether neither upstreams nor clients are told of times in x-envoy headers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suppress_envoy_headers: bool,
}

/// How requests come by the id in x-request-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestId {
    /// Those that have none get one, also at the edge.
    Add,
    /// They keep what the client sent, be it nothing.
    Keep,
}

impl Manager {
    /// Whether this is what Envoy does where it is told nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
