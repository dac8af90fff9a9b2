//! `cors`: answers to preflight requests, and headers that let browsers read responses.

use serde::Serialize;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cors {
    /// Not looked at where there are patterns, but refused together with credentials where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_origins: Option<&'static str>,
    /// Patterns of which one has to be found in the origin.
    pub allow_origins_by_regex: Vec<String>,
    /// Methods.
    pub allow_methods: String,
    /// Headers of requests; `**` for any.
    pub allow_headers: String,
    /// Headers of responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose_headers: Option<String>,
    /// For how long browsers may remember this, in seconds; 5 where it is absent, as in browsers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<i64>,
    /// Whether requests may come with credentials.
    pub allow_credential: bool,
}
