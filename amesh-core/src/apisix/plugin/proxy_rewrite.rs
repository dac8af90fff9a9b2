//! `proxy-rewrite`: requests changed before they are forwarded.

use serde::Serialize;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyRewrite {
    /// Changes of headers.
    pub headers: HeaderChanges,
}

/// Changes of headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderChanges {
    /// Headers that are removed, by name.
    pub remove: &'static [&'static str],
}
