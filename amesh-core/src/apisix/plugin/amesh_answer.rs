//! `amesh-answer`: Amesh's own plugin for answers without an upstream.

use std::sync::Arc;

use serde::Serialize;

use super::{Manager, PathForm, PathRewrite};

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AmeshAnswer {
    /// What is answered.
    #[serde(flatten)]
    pub answer: LocalAnswer,
    /// What the connection manager does to headers; without it, what Envoy does by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Arc<Manager>>,
}

/// An answer that no upstream gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalAnswer {
    /// A status and a body.
    Direct(DirectAnswer),
    /// A location that is made from the request.
    Redirect(RedirectAnswer),
}

impl LocalAnswer {
    /// A status and nothing else.
    #[must_use]
    pub const fn status(status: u32) -> Self {
        Self::Direct(DirectAnswer {
            status,
            body: None,
            body_base64: None,
        })
    }
}

/// A status and a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectAnswer {
    /// The status, 200 to 599.
    pub status: u32,
    /// The body as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A body that is no UTF-8, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// Where to send the client. What is absent is taken from the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedirectAnswer {
    /// The status, 300 to 399.
    pub status: u32,
    /// The scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The host, maybe with a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port, in place of the host's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// The path, maybe with a query, which then takes the place of the request's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How the request's path is written before it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<PathForm>,
    /// A change of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<PathRewrite>,
    /// Whether the query of the request is left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strip_query: bool,
}
