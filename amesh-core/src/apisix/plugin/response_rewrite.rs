//! `response-rewrite`: responses changed before clients get them.

use std::collections::BTreeMap;

use serde::Serialize;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ResponseRewrite {
    /// Changes of headers.
    pub headers: ResponseHeaderChanges,
}

/// Changes of headers, in the order in which the plugin makes them. `$name` in a value is a variable of nginx.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ResponseHeaderChanges {
    /// Headers that are added to those that are there, as `name: value`; no colon in the value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Headers that take the place of those that are there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Headers that are removed, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}
