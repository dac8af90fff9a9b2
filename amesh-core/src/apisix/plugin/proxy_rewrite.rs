//! `proxy-rewrite`: requests changed before they are forwarded.

use std::collections::BTreeMap;

use serde::Serialize;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ProxyRewrite {
    /// Forward the path as it was sent. The plugin forwards it as nginx decoded it otherwise, even if it is there for other
    /// changes alone: `/a%2Fb` would be `/a/b`.
    pub use_real_request_uri_unsafe: bool,
    /// The host that the upstream gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A pattern, and what takes the place of its first match in the path as it was sent, with the query after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex_uri: Option<[String; 2]>,
    /// Changes of headers.
    #[serde(skip_serializing_if = "HeaderChanges::is_empty")]
    pub headers: HeaderChanges,
}

/// Changes of headers, in the order in which the plugin makes them. `$name` in a value is a variable of nginx.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HeaderChanges {
    /// Headers that are added to those that are there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, HeaderValues>,
    /// Headers that take the place of those that are there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, HeaderValues>,
    /// Headers that are removed, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl ProxyRewrite {
    /// Nothing but that the path is forwarded as it was sent.
    #[must_use]
    pub fn as_sent() -> Self {
        Self {
            use_real_request_uri_unsafe: true,
            ..Self::default()
        }
    }
}

impl HeaderChanges {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.set.is_empty() && self.remove.is_empty()
    }
}

/// The values of one header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum HeaderValues {
    /// One value.
    One(String),
    /// A header for each.
    Several(Vec<String>),
}
