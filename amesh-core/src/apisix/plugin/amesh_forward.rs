//! `amesh-forward`: Amesh's own plugin for what happens to a request on its way to an upstream.

use serde::Serialize;

use super::{HeaderStep, PathForm, PathRewrite};

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AmeshForward {
    /// Changes of the request's headers, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderStep>,
    /// How the path is written before anything else is done to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathForm>,
    /// A change of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<PathRewrite>,
    /// A change of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostRewrite>,
    /// Whether the host that was there goes to X-Forwarded-Host when it is changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub append_forwarded_host: bool,
}

/// A change of the host that an upstream gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostRewrite {
    /// This one.
    Literal(String),
    /// What a header of the request says, if it is there.
    Header(String),
    /// The path, with what matches a pattern replaced.
    Path(PathRewrite),
    /// The name of the node that gets the request, if it has one; always true.
    Node(bool),
}
