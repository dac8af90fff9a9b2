//! `redirect`: an answer that sends the client elsewhere.

use serde::Serialize;

/// The plugin's configuration; one of `uri` and `regex_uri`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// The new location, in which `$name` is a variable of nginx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// A pattern, and what takes the place of what it matches in the decoded path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex_uri: Option<[String; 2]>,
    /// The status, at least 200.
    pub ret_code: u32,
    /// Whether the query of the request is added.
    pub append_query_string: bool,
    /// Whether characters that may not stand in a location are escaped.
    pub encode_uri: bool,
}
