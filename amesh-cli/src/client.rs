//! Which control plane to ask, and as whom: the options that `capture` and `watch` share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use amesh_core::dump;
use amesh_core::envoy_types::pb::envoy::config::core::v3::Node;
use amesh_xds::node::{self, NodeError};
use amesh_xds::server::{self, Address, BootstrapError, Credentials, Server};
use amesh_xds::session::{Options, Protocol};
use amesh_xds::stream::Config;
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::input::plain;

/// The control plane and the node.
#[derive(Debug, Clone, Args)]
pub(crate) struct Client {
    #[command(flatten)]
    plane: Plane,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Control plane")]
struct Plane {
    /// The control plane: HOST:PORT or unix:PATH. Repeatable; the first that answers is used
    #[arg(long, value_name = "ADDR")]
    server: Vec<Address>,
    /// The variant of the protocol
    #[arg(long, value_enum, default_value_t = Variant::Delta)]
    protocol: Variant,
    /// Speak TLS and trust these roots, a PEM file
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// The name in the server's certificate, if it is not the host of ADDR: `istiod.istio-system.svc`
    #[arg(long, value_name = "NAME", requires = "ca_cert")]
    server_name: Option<String>,
    /// A file with the bearer token: `/var/run/secrets/tokens/istio-token`
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// A certificate chain of ours, a PEM file
    #[arg(long, value_name = "FILE", requires_all = ["ca_cert", "client_key"])]
    client_cert: Option<PathBuf>,
    /// The key of that certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who asks")]
struct Who {
    /// The proxy to stand in for: KIND~IP~POD.NAMESPACE~DOMAIN, with KIND `sidecar` or `router` (a gateway)
    #[arg(long, value_name = "ID", conflicts_with_all = ["bootstrap", "node_from_env"])]
    node: Option<String>,
    /// A label of its pod; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Metadata of the node: a VALUE in JSON or, if it is none, a text; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Take the node, and the control plane if none is named, from an Envoy or gRPC bootstrap file or from a dump
    #[arg(long, value_name = "FILE", conflicts_with = "node_from_env")]
    bootstrap: Option<PathBuf>,
    /// Take the node from the environment variables that Istio's injector sets in a pod
    #[arg(long, value_enum, value_name = "KIND")]
    node_from_env: Option<Kind>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Variant {
    /// Differences
    Delta,
    /// State of the world
    Sotw,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A proxy beside a workload
    Sidecar,
    /// A gateway
    Router,
}

/// `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

impl Client {
    /// What the client of the control plane needs to know.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let file = self.who.bootstrap.as_deref().map(read).transpose()?;
        let mut options = Options::default();
        options.protocol = match self.plane.protocol {
            Variant::Delta => Protocol::Delta,
            Variant::Sotw => Protocol::StateOfTheWorld,
        };
        options.node = self.who.node(file.as_ref())?;
        Ok(Config::new(self.plane.servers(file.as_ref())?, options))
    }
}

/// A file that was read, with its name for messages.
type Text<'p> = (&'p Path, String);

fn read(path: &Path) -> Result<Text<'_>, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("failed to read {}: {}", path.display(), plain(&error))))?;
    Ok((path, text))
}

impl Plane {
    fn servers(&self, bootstrap: Option<&Text<'_>>) -> Result<Vec<Server>, Failure> {
        let mut servers: Vec<Server> = self.server.iter().cloned().map(Server::new).collect();
        let nowhere = |message| Failure::usage(message).help("name it with --server HOST:PORT or --server unix:PATH");
        if servers.is_empty() {
            let Some((path, text)) = bootstrap else {
                return Err(nowhere("no control plane to ask".to_owned()));
            };
            servers = server::from_bootstrap(text).map_err(|error| match error {
                BootstrapError::NoServer | BootstrapError::Text(_) => {
                    nowhere(format!("{} does not say where the control plane is", path.display()))
                }
                other => Failure::input(format!("failed to understand {}: {other}", path.display())),
            })?;
        }
        let mut credentials = Credentials::default();
        credentials.roots.clone_from(&self.ca_cert);
        credentials.server_name.clone_from(&self.server_name);
        credentials.identity = self.client_cert.clone().zip(self.client_key.clone());
        credentials.token.clone_from(&self.token);
        let each = servers.into_iter().map(|server| server.with(&credentials));
        each.collect::<Result<_, _>>().map_err(|error| {
            Failure::usage(error.to_string()).help("speak TLS: name the roots to trust with --ca-cert FILE")
        })
    }
}

impl Who {
    fn node(&self, bootstrap: Option<&Text<'_>>) -> Result<Node, Failure> {
        let mut node = match (&self.node, bootstrap, self.node_from_env) {
            (Some(id), _, _) => from_id(id)?,
            (None, Some((path, text)), _) => from_file(path, text)?,
            (None, None, Some(kind)) => {
                let kind = match kind {
                    Kind::Sidecar => "sidecar",
                    Kind::Router => "router",
                };
                let variables: BTreeMap<String, String> = std::env::vars_os()
                    .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                    .collect();
                node::from_environment(kind, "cluster.local", &variables).map_err(|error| {
                    Failure::usage(format!("the environment does not say who asks: {error}"))
                        .help("Istio's injector sets POD_NAME, POD_NAMESPACE and INSTANCE_IP; or use --node")
                })?
            }
            (None, None, None) => {
                let help = "--node router~127.0.0.1~POD.NAMESPACE~NAMESPACE.svc.cluster.local asks as a gateway; \
                            --bootstrap FILE and --node-from-env KIND take it from elsewhere";
                return Err(Failure::usage("who asks? Istio sends each proxy its own configuration").help(help));
            }
        };
        let labels = self.label.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        node::add_labels(&mut node, labels);
        for (key, value) in &self.metadata {
            node::add_metadata(&mut node, key, value);
        }
        Ok(node)
    }
}

/// A node by its id alone: what more istiod wants to know of it is in there.
fn from_id(id: &str) -> Result<Node, Failure> {
    node::from_id(id).map_err(|error| {
        Failure::usage(format!("{id:?} is no node: {error}"))
            .help("write KIND~IP~POD.NAMESPACE~DOMAIN, as sidecar~10.0.0.1~app-1.default~default.svc.cluster.local")
    })
}

/// The node of a bootstrap file, or of a dump.
fn from_file(path: &Path, text: &str) -> Result<Node, Failure> {
    node::from_bootstrap(text).or_else(|error| {
        let dumped = dump::read(text.as_bytes()).ok().and_then(|dump| dump.node);
        dumped.filter(|node| !node.id.is_empty()).ok_or_else(|| {
            let message = match error {
                NodeError::NoNode => format!("{} has no node with an id", path.display()),
                other => format!("failed to understand {}: {other}", path.display()),
            };
            Failure::input(message).help("give an Envoy or gRPC bootstrap file, or a dump of a whole proxy")
        })
    })
}
