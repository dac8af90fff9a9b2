//! What a setting's value looks like, in JSON and in a variable.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// What a setting's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A text.
    Text,
    /// A path.
    Path,
    /// A list of texts; in a variable with commas between them.
    List,
    /// Texts by name; in a variable `name=value` with commas between them.
    Texts,
    /// Any JSON by name; in a variable a JSON object.
    Object,
    /// Whole seconds from 1 on.
    Seconds,
    /// `true` or `false`.
    Flag,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// A value of one of those forms.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
    Texts(BTreeMap<String, String>),
    Object(BTreeMap<String, Json>),
    Seconds(u64),
    Flag(bool),
}

impl Form {
    pub(super) fn read_json(self, json: &Json) -> Result<Value, String> {
        let wrong = || format!("it has to be {}", self.words());
        match (self, json) {
            (Self::Text | Self::Path | Self::Choice(_), Json::String(text)) => self.read_text(text),
            (Self::List, Json::String(text)) => Ok(Value::List(vec![text.clone()])),
            (Self::List, Json::Array(list)) => {
                let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().map(Value::List).ok_or_else(wrong)
            }
            (Self::Texts, Json::Object(fields)) => {
                let texts = fields
                    .iter()
                    .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
                texts.collect::<Option<_>>().map(Value::Texts).ok_or_else(wrong)
            }
            (Self::Object, Json::Object(fields)) => Ok(Value::Object(fields.clone().into_iter().collect())),
            // An empty table of Lua.
            (Self::Texts, Json::Array(list)) if list.is_empty() => Ok(Value::Texts(BTreeMap::new())),
            (Self::Object, Json::Array(list)) if list.is_empty() => Ok(Value::Object(BTreeMap::new())),
            (Self::Seconds, Json::Number(number)) => {
                // Lua's numbers are doubles, and 30 may come as 30.0.
                let text = number.to_string();
                self.read_text(text.strip_suffix(".0").unwrap_or(&text))
            }
            (Self::Flag, Json::Bool(flag)) => Ok(Value::Flag(*flag)),
            _ => Err(wrong()),
        }
    }

    pub(super) fn read_text(self, text: &str) -> Result<Value, String> {
        let wrong = || format!("it has to be {}", self.words());
        let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
        match self {
            Self::Text | Self::Path => Ok(Value::Text(text.to_owned())),
            Self::List => Ok(Value::List(items().map(str::to_owned).collect())),
            Self::Texts => {
                let pairs = items().map(|item| {
                    let (name, value) = item.split_once('=')?;
                    (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
                });
                pairs.collect::<Option<_>>().map(Value::Texts).ok_or_else(wrong)
            }
            Self::Object => serde_json::from_str(text).map(Value::Object).map_err(|_| wrong()),
            Self::Seconds => match text.parse() {
                Ok(seconds @ 1..=86_400) => Ok(Value::Seconds(seconds)),
                _ => Err(wrong()),
            },
            Self::Flag => text.parse().map(Value::Flag).map_err(|_| wrong()),
            Self::Choice(all) if all.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(_) => Err(wrong()),
        }
    }

    /// As it is told to a user.
    pub(super) fn words(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::List => "a text or a list of texts".to_owned(),
            Self::Texts => "texts by name".to_owned(),
            Self::Object => "a JSON object".to_owned(),
            Self::Seconds => "whole seconds, from 1 to 86400".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Choice(all) => format!("one of {}", all.join(", ")),
        }
    }
}
