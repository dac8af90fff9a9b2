//! `amesh-limit`: Amesh's own plugin for what an upstream may have in flight.

use serde::Serialize;

/// The plugin's configuration. The limits stand in the labels of the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AmeshLimit {
    /// Whether the limits for requests of a high priority hold, and these are counted apart from others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub high: bool,
}
