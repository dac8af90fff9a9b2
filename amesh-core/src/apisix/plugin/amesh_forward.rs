//! `amesh-forward`: Amesh's own plugin for what happens to a request on its way to an upstream.

use serde::Serialize;

use super::HeaderStep;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AmeshForward {
    /// Changes of the request's headers, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderStep>,
}
