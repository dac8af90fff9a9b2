//! `amesh-hash`: Amesh's own plugin for what keeps requests on one node.

use serde::Serialize;

/// The plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AmeshHash {
    /// What is hashed, one after the other.
    pub policies: Vec<HashPolicy>,
    /// How many other nodes are looked at for a further try; none: it goes to the node of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_hosts: Option<u32>,
}

/// A part of the hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HashPolicy {
    /// What is hashed.
    #[serde(flatten)]
    pub of: HashOf,
    /// Whether the policies after this one count only where there is no hash yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub terminal: bool,
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOf {
    /// All lines of a header.
    Header(HashHeader),
    /// A cookie.
    Cookie(HashCookie),
    /// The query parameter of this name.
    Query(String),
    /// The client's address; always true.
    SourceIp(bool),
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HashHeader {
    /// Its name in lower case.
    pub name: String,
}

/// A cookie, which may be given to clients that have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// How many seconds a client is to keep it, 0 for as long as its session; absent, none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// For which paths it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What else is said of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CookieAttribute {
    /// Its name.
    pub name: String,
    /// Its value, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
