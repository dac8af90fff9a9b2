//! The table of settings.

use std::time::Duration;

use amesh_core::{Arrival, Outcome, Target};
use amesh_xds::session::Protocol;
use tracing::level_filters::LevelFilter;

use super::form::{Form, Value};
use super::{Settings, nearest, question};

/// A setting.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// What holds where nothing is set, in words.
    pub(super) default: &'static str,
    /// The variables that are looked at, in this order.
    pub(super) variables: &'static [&'static str],
    pub(super) summary: &'static str,
    pub(super) set: fn(&mut Settings, Value) -> Result<(), String>,
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
pub(super) static SETTINGS: &[Setting] = &[
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
