//! `amesh-response`: Amesh's own plugin for what happens to a response on its way to the client.

use serde::Serialize;

use super::HeaderStep;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AmeshResponse {
    /// Changes of the response's headers, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderStep>,
}
