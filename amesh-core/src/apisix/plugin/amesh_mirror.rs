//! `amesh-mirror`: Amesh's own plugin for copies of requests.

use serde::Serialize;

use super::Part;
use crate::apisix::Id;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AmeshMirror {
    /// Where copies go, each for itself.
    pub copies: Vec<MirrorCopy>,
}

/// Copies to one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MirrorCopy {
    /// The upstream.
    pub upstream_id: Id,
    /// The host of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether the host of the copy is that of the request, rather than that with `-shadow` behind it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_host: bool,
    /// For which part of the requests; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}
