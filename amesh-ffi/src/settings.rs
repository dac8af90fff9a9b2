//! What can be set: one table, from which settings are read and `docs/settings.md` is printed.
//!
//! A setting comes from the JSON that the Lua package hands over (`plugin_attr.amesh` in APISIX's `config.yaml`), or else from
//! an environment variable, or else it has its default.

mod client;
mod document;
mod form;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use amesh_core::{Options, Target};
use amesh_xds::session::Protocol;
use serde_json::Value as Json;
use tracing::level_filters::LevelFilter;

pub use document::document;
use table::SETTINGS;

/// Why the settings are no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// They are no JSON object.
    #[error("the settings are no JSON object: {0}")]
    Text(String),
    /// There is no setting of that name.
    #[error("there is no setting {name:?}{}", question(near.as_deref()))]
    Unknown {
        /// The name.
        name: String,
        /// One that is like it.
        near: Option<String>,
    },
    /// A setting has a value that it cannot have.
    #[error("{place}: {reason}")]
    Value {
        /// The setting or the variable.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// It is not known whom to ask, or who asks.
    #[error("{0}")]
    Missing(String),
}

fn question(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!(": did you mean {near:?}?"))
}

/// All settings, as they hold.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
    pub(crate) token: Option<PathBuf>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) protocol: Protocol,
    pub(crate) node: Option<String>,
    pub(crate) bootstrap: Option<PathBuf>,
    pub(crate) proxy: String,
    pub(crate) domain: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, Json>,
    pub(crate) options: Options,
    pub(crate) keep_when_all_removed: bool,
    pub(crate) wait: Duration,
    pub(crate) wake_socket: Option<PathBuf>,
    pub(crate) log_level: LevelFilter,
    /// The variables of the environment that say who asks.
    environment: BTreeMap<String, String>,
}

impl Settings {
    fn new(target: Target) -> Self {
        let mut options = Options::default();
        options.target = target;
        Self {
            servers: Vec::new(),
            ca_cert: None,
            server_name: None,
            token: None,
            client_cert: None,
            client_key: None,
            protocol: Protocol::Delta,
            node: None,
            bootstrap: None,
            proxy: "sidecar".to_owned(),
            domain: "cluster.local".to_owned(),
            labels: BTreeMap::new(),
            metadata: BTreeMap::new(),
            options,
            keep_when_all_removed: false,
            wait: Duration::from_secs(30),
            wake_socket: None,
            log_level: LevelFilter::INFO,
            environment: BTreeMap::new(),
        }
    }

    /// Reads settings from a JSON object, if there is one, and from variables.
    pub(crate) fn read(json: Option<&[u8]>, variables: BTreeMap<String, String>) -> Result<Self, Error> {
        let target = if json.is_some() { Target::Amesh } else { Target::Native };
        let mut settings = Self::new(target);
        let given = match json.filter(|json| !json.is_empty()) {
            Some(json) => match serde_json::from_slice(json) {
                Ok(Json::Object(given)) => given,
                // An empty table of Lua is an empty array.
                Ok(Json::Array(list)) if list.is_empty() => serde_json::Map::new(),
                Ok(_) => return Err(Error::Text("it is something else".to_owned())),
                Err(error) => return Err(Error::Text(error.to_string())),
            },
            None => serde_json::Map::new(),
        };
        if let Some(name) = given
            .keys()
            .find(|name| SETTINGS.iter().all(|known| known.name != *name))
        {
            return Err(Error::Unknown {
                name: name.clone(),
                near: nearest(name, SETTINGS.iter().map(|setting| setting.name)),
            });
        }
        for setting in SETTINGS {
            let (place, value) = if let Some(value) = given.get(setting.name).filter(|value| !value.is_null()) {
                (setting.name, setting.form.read_json(value))
            } else {
                let set = setting
                    .variables
                    .iter()
                    .find_map(|name| Some((*name, variables.get(*name)?)));
                let Some((name, text)) = set.filter(|(_, text)| !text.is_empty()) else {
                    continue;
                };
                (name, setting.form.read_text(text))
            };
            let set = value.and_then(|value| (setting.set)(&mut settings, value));
            set.map_err(|reason| Error::Value {
                place: place.to_owned(),
                reason,
            })?;
        }
        settings.environment = variables;
        Ok(settings)
    }
}

/// Variables that are called almost like one that is known, with that one. They are no error: the names of services begin
/// like ours in a cluster that has some called so.
pub(crate) fn misspelt(variables: &BTreeMap<String, String>) -> Vec<(&str, String)> {
    let known = || SETTINGS.iter().flat_map(|setting| setting.variables).copied();
    let ours = variables.keys().filter(|name| name.starts_with("AMESH_"));
    let unknown = ours.filter(|name| known().all(|known| known != *name));
    unknown
        .filter_map(|name| Some((name.as_str(), near(name, known(), 0.85)?)))
        .collect()
}

/// The name that is most like another, if it is like it at all.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    near(name, known, 0.6)
}

/// The name that is most like another, if it is at least so like it, from 0 to 1.
fn near<'n>(name: &str, known: impl Iterator<Item = &'n str>, least: f64) -> Option<String> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(name, known);
    let best = known
        .map(|known| (likeness(known), known))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(likeness, _)| *likeness >= least)
        .map(|(_, known)| known.to_owned())
}
