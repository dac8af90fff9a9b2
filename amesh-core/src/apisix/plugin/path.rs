//! Paths, as Amesh's own plugins read and change them.

use serde::Serialize;

/// How a path is written before a route is looked for. The query stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct PathForm {
    /// Whether characters that need no escape are decoded and dot segments resolved.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub normalize: bool,
    /// Whether slashes in a row become one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub merge_slashes: bool,
    /// What becomes of escaped slashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escaped_slashes: Option<EscapedSlashes>,
}

impl PathForm {
    /// Whether paths are taken as they come.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The variable of Amesh's Lua package that has a request's path in this form, without the query, as conditions of routes
    /// compare it. Escaped slashes for which the client would be sent elsewhere or refused are slashes in it.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        match (self.normalize, self.merge_slashes, self.escaped_slashes.is_some()) {
            (false, false, false) => "amesh_path",
            (false, false, true) => "amesh_path_unescaped",
            (false, true, false) => "amesh_path_merged",
            (false, true, true) => "amesh_path_merged_unescaped",
            (true, false, false) => "amesh_path_normalized",
            (true, false, true) => "amesh_path_normalized_unescaped",
            (true, true, false) => "amesh_path_normalized_merged",
            (true, true, true) => "amesh_path_normalized_merged_unescaped",
        }
    }
}

/// What becomes of escaped slashes in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EscapedSlashes {
    /// They become slashes.
    Unescape,
    /// The client is sent to the path that has slashes for them.
    Redirect,
    /// The request is refused.
    Reject,
}

/// A change of a path. The query stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PathRewrite {
    /// How many bytes at the beginning are replaced; without it and without a pattern, the whole path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<usize>,
    /// A pattern all of whose matches are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What takes the place; with a pattern, `$1` is a group of the match and `$$` a dollar.
    pub put: String,
}
