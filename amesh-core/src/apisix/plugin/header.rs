//! Changes of headers, as Amesh's own plugins make them.

use serde::Serialize;

/// Changes that are made together: removals first, then additions, whose values are made before any is added.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HeaderStep {
    /// Headers that are removed, by name in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Headers that are added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HeaderAddition>,
}

/// A header that is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderAddition {
    /// Its name in lower case.
    pub name: String,
    /// Its value; the header is not added where it comes out empty.
    pub value: Format,
    /// What becomes of values that are there.
    pub action: AppendAction,
}

/// What becomes of values that are there when a header is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AppendAction {
    /// They stay, and the new one comes after them.
    Append,
    /// Any value keeps the new one away.
    AddIfAbsent,
    /// The new one takes their place.
    Overwrite,
    /// The new one takes their place, if there are any.
    OverwriteIfExists,
}

/// A text that may have parts of the request in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Format {
    /// A text as it stands.
    Text(String),
    /// Parts that are put together.
    Parts(Vec<FormatPart>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FormatPart {
    /// A text as it stands.
    Text(String),
    /// Something of the request or the response.
    Command(Command),
}

/// Something of the request or the response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    /// Envoy's name of it, in lower case.
    pub command: String,
    /// The header that it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The header that it reads where the first one is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// Which address of X-Forwarded-For is the client's, counted from the end; without it, the connection's is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<u32>,
    /// How a time is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How many bytes of it are used at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
}
