//! `/routes`: which requests, and what becomes of them.

use std::borrow::Cow;

use serde::Serialize;

use super::{Expr, Id, Plugins, Timeout};

/// A route. APISIX looks at the host first, then at the URI pattern, then at `priority`; conditions that fail make it
/// look further.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Route {
    /// The id, equal to the last part of the key.
    pub id: Id,
    /// A name for people, 1 to 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A path, or a prefix that ends in `*`. Compared with nginx's decoded and normalized path.
    pub uri: Cow<'static, str>,
    /// Host names, each exact or with one leading `*`; none for any host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Among routes with the same host and the same URI pattern, the higher one is tried first.
    pub priority: i64,
    /// Conditions that must all hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<Expr>,
    /// Whether `Upgrade` requests are passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_websocket: Option<bool>,
    /// In place of the upstream's timeouts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// The upstream that gets the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_id: Option<Id>,
    /// The plugins that see the request.
    #[serde(skip_serializing_if = "Plugins::is_empty")]
    pub plugins: Plugins,
}
