//! What can be set: one table, from which settings are read and `docs/settings.md` is printed.
//!
//! A setting comes from the JSON that the Lua package hands over (`plugin_attr.amesh` in APISIX's `config.yaml`), or else from
//! an environment variable, or else it has its default.

mod client;
mod document;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use amesh_core::{Arrival, Options, Outcome, Target};
use amesh_xds::session::Protocol;
use serde_json::Value as Json;
use tracing::level_filters::LevelFilter;

pub use document::document;

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

/// What a setting's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
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
enum Value {
    Text(String),
    List(Vec<String>),
    Texts(BTreeMap<String, String>),
    Object(BTreeMap<String, Json>),
    Seconds(u64),
    Flag(bool),
}

/// A setting.
struct Setting {
    name: &'static str,
    form: Form,
    /// What holds where nothing is set, in words.
    default: &'static str,
    /// The variables that are looked at, in this order.
    variables: &'static [&'static str],
    summary: &'static str,
    set: fn(&mut Settings, Value) -> Result<(), String>,
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

impl Form {
    fn read_json(self, json: &Json) -> Result<Value, String> {
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

    fn read_text(self, text: &str) -> Result<Value, String> {
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
    fn words(self) -> String {
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

/// The name that is most like another, if it is like it at all.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(name, known);
    let best = known
        .map(|known| (likeness(known), known))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(likeness, _)| *likeness >= 0.6)
        .map(|(_, known)| known.to_owned())
}

/// Gives a setting's value to its field; the form has made sure which it is.
macro_rules! set {
    ($form:ident, |$settings:ident, $value:ident| $body:expr) => {
        |$settings, given| match given {
            Value::$form($value) => $body,
            _ => Err("it has another form".to_owned()),
        }
    };
}

/// Every setting, in the order in which it is documented.
static SETTINGS: &[Setting] = &[
    Setting {
        name: "server",
        form: Form::List,
        default: "the servers of `bootstrap`; else the socket of Istio's agent, if it is there; else the `discoveryAddress` of \
                  `PROXY_CONFIG`, with Istio's roots and token; else `istiod.istio-system.svc.cluster.local:15010`",
        variables: &["AMESH_SERVER", "ISTIO_XDS_SOURCE"],
        summary: "The control plane, `HOST:PORT` or `unix:PATH`. Of several the first that answers is used.",
        set: set!(List, |settings, list| {
            settings.servers = list;
            Ok(())
        }),
    },
    Setting {
        name: "ca_cert",
        form: Form::Path,
        default: "plain text",
        variables: &["AMESH_CA_CERT"],
        summary: "Speak TLS with `server`, and trust the roots in this PEM file.",
        set: set!(Text, |settings, text| {
            settings.ca_cert = Some(text.into());
            Ok(())
        }),
    },
    Setting {
        name: "server_name",
        form: Form::Text,
        default: "the host of `server`",
        variables: &["AMESH_SERVER_NAME"],
        summary: "The name in the server's certificate, such as `istiod.istio-system.svc`. Needs `ca_cert`.",
        set: set!(Text, |settings, text| {
            settings.server_name = Some(text);
            Ok(())
        }),
    },
    Setting {
        name: "token",
        form: Form::Path,
        default: "none",
        variables: &["AMESH_TOKEN"],
        summary: "A file with the bearer token for the server; it is read again for every connection.",
        set: set!(Text, |settings, text| {
            settings.token = Some(text.into());
            Ok(())
        }),
    },
    Setting {
        name: "client_cert",
        form: Form::Path,
        default: "none",
        variables: &["AMESH_CLIENT_CERT"],
        summary: "A PEM file with a certificate chain to show the server. Needs `client_key` and `ca_cert`.",
        set: set!(Text, |settings, text| {
            settings.client_cert = Some(text.into());
            Ok(())
        }),
    },
    Setting {
        name: "client_key",
        form: Form::Path,
        default: "none",
        variables: &["AMESH_CLIENT_KEY"],
        summary: "A PEM file with the key of `client_cert`.",
        set: set!(Text, |settings, text| {
            settings.client_key = Some(text.into());
            Ok(())
        }),
    },
    Setting {
        name: "protocol",
        form: Form::Choice(&["delta", "sotw"]),
        default: "`delta`",
        variables: &["AMESH_PROTOCOL"],
        summary: "The variant of xDS: differences, or the state of the world.",
        set: set!(Text, |settings, text| {
            settings.protocol = if text == "sotw" {
                Protocol::StateOfTheWorld
            } else {
                Protocol::Delta
            };
            Ok(())
        }),
    },
    Setting {
        name: "node",
        form: Form::Text,
        default: "from `bootstrap`; else from `POD_NAME`, `POD_NAMESPACE`, `INSTANCE_IP`, `ISTIO_META_*` and the like, as \
                  Istio's injector sets them",
        variables: &["AMESH_NODE"],
        summary: "Who asks: `KIND~IP~POD.NAMESPACE~DOMAIN`, with the kind `sidecar` or `router` (a gateway).",
        set: set!(Text, |settings, text| {
            settings.node = Some(text);
            Ok(())
        }),
    },
    Setting {
        name: "bootstrap",
        form: Form::Path,
        default: "`GRPC_XDS_BOOTSTRAP`'s, if that is set; else none",
        variables: &["AMESH_BOOTSTRAP", "GRPC_XDS_BOOTSTRAP"],
        summary: "A bootstrap file of Envoy or gRPC that says who asks and, if `server` does not, whom.",
        set: set!(Text, |settings, text| {
            settings.bootstrap = Some(text.into());
            Ok(())
        }),
    },
    Setting {
        name: "proxy",
        form: Form::Choice(&["sidecar", "router"]),
        default: "`sidecar`",
        variables: &["AMESH_PROXY"],
        summary: "The kind of a node that is taken from the environment: a sidecar, or a gateway.",
        set: set!(Text, |settings, text| {
            settings.proxy = text;
            Ok(())
        }),
    },
    Setting {
        name: "domain",
        form: Form::Text,
        default: "`cluster.local`",
        variables: &["AMESH_DOMAIN"],
        summary: "The cluster's domain, for a node that is taken from the environment.",
        set: set!(Text, |settings, text| {
            settings.domain = text;
            Ok(())
        }),
    },
    Setting {
        name: "labels",
        form: Form::Texts,
        default: "none",
        variables: &["AMESH_LABELS"],
        summary: "Labels of the node's pod, besides those that it has.",
        set: set!(Texts, |settings, texts| {
            settings.labels = texts;
            Ok(())
        }),
    },
    Setting {
        name: "metadata",
        form: Form::Object,
        default: "none",
        variables: &["AMESH_METADATA"],
        summary: "Metadata of the node, besides what it has: `CLUSTER_ID`, `NETWORK` and the like.",
        set: set!(Object, |settings, fields| {
            settings.metadata = fields;
            Ok(())
        }),
    },
    Setting {
        name: "target",
        form: Form::Choice(&["native", "amesh"]),
        default: "`amesh` with Amesh's Lua package, else `native`",
        variables: &["AMESH_TARGET"],
        summary: "What the APISIX around the library understands: what any APISIX does, or also what the Lua package adds.",
        set: set!(Text, |settings, text| {
            settings.options.target = if text == "amesh" { Target::Amesh } else { Target::Native };
            Ok(())
        }),
    },
    Setting {
        name: "arrival",
        form: Form::Choice(&["direct", "redirect", "host"]),
        default: "as the listeners suggest",
        variables: &["AMESH_ARRIVAL"],
        summary: "How requests come: to the listener's own port, redirected by iptables, or told apart by the Host header.",
        set: set!(Text, |settings, text| {
            settings.options.arrival = Some(match text.as_str() {
                "direct" => Arrival::Direct,
                "redirect" => Arrival::Redirect,
                _ => Arrival::Host,
            });
            Ok(())
        }),
    },
    Setting {
        name: "permit",
        form: Form::List,
        default: "none",
        variables: &["AMESH_PERMIT"],
        summary: "Rules that fail closed and shall not: traffic goes on without what they guard. See [findings](findings.md).",
        set: set!(List, |settings, list| {
            for name in &list {
                permit(name)?;
            }
            settings.options.permitted = list.into_iter().collect();
            Ok(())
        }),
    },
    Setting {
        name: "keep_when_all_removed",
        form: Form::Flag,
        default: "`false`",
        variables: &["AMESH_KEEP_WHEN_ALL_REMOVED"],
        summary: "Keep all clusters, or all listeners, when the control plane takes all of them away at once.",
        set: set!(Flag, |settings, flag| {
            settings.keep_when_all_removed = flag;
            Ok(())
        }),
    },
    Setting {
        name: "wait",
        form: Form::Seconds,
        default: "`30`",
        variables: &["AMESH_WAIT"],
        summary: "How long an APISIX that has no configuration yet waits for the first one. Then it starts with what has come.",
        set: set!(Seconds, |settings, seconds| {
            settings.wait = Duration::from_secs(seconds);
            Ok(())
        }),
    },
    Setting {
        name: "wake_socket",
        form: Form::Path,
        default: "none",
        variables: &["AMESH_WAKE_SOCKET"],
        summary: "A Unix socket to make, at which workers wait for a byte after each change. A path from APISIX's folder on, or \
                  an absolute one.",
        set: set!(Text, |settings, text| {
            settings.wake_socket = Some(text.into());
            Ok(())
        }),
    },
    Setting {
        name: "log_level",
        form: Form::Choice(&["error", "warn", "info", "debug"]),
        default: "`info`",
        variables: &["AMESH_LOG_LEVEL"],
        summary: "What the library writes into nginx's error log.",
        set: set!(Text, |settings, text| {
            settings.log_level = match text.as_str() {
                "error" => LevelFilter::ERROR,
                "warn" => LevelFilter::WARN,
                "debug" => LevelFilter::DEBUG,
                _ => LevelFilter::INFO,
            };
            Ok(())
        }),
    },
];

/// Fails if permitting that rule would change nothing.
fn permit(name: &str) -> Result<(), String> {
    let rules = || {
        amesh_core::coverage::rules()
            .into_iter()
            .filter(|rule| rule.outcome == Outcome::FailsClosed)
    };
    if rules().any(|rule| rule.name == name) {
        return Ok(());
    }
    let near = nearest(name, rules().map(|rule| rule.name));
    Err(format!(
        "no rule that fails closed is called {name:?}{}",
        question(near.as_deref())
    ))
}
