//! `proxy-rewrite`: requests changed before they are forwarded.

use serde::Serialize;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyRewrite {
    /// Forward the path as it was sent. The plugin forwards it as nginx decoded it otherwise, even if it is there for other
    /// changes alone: `/a%2Fb` would be `/a/b`.
    pub use_real_request_uri_unsafe: bool,
    /// Changes of headers.
    pub headers: HeaderChanges,
}

/// Changes of headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderChanges {
    /// Headers that are removed, by name.
    pub remove: &'static [&'static str],
}
