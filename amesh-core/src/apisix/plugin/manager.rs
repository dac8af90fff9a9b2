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
}

impl Manager {
    /// Whether this is what Envoy does where it is told nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
