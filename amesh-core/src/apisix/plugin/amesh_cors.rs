//! `amesh-cors`: Amesh's own plugin for cross-origin requests.

use serde::Serialize;

use super::Part;

/// The plugin's configuration. What is absent is not said to browsers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AmeshCors {
    /// Patterns of which one has to be found in the origin.
    pub origins: Vec<String>,
    /// Methods, as they stand in the header; `*` for the one that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<String>,
    /// Headers of requests; `*` for those that are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    /// Headers of responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<String>,
    /// For how long browsers may remember this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// Whether requests may come with credentials.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub credentials: bool,
    /// Whether public sites may ask a private network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private_network: bool,
    /// Whether preflight requests of other origins are answered too, rather than forwarded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub answers_others: bool,
    /// For which part of the requests; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}
