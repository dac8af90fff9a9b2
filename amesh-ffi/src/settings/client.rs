//! Whom to ask, and who asks.

use std::fs;
use std::path::Path;

use amesh_core::envoy_types::pb::envoy::config::core::v3::Node;
use amesh_xds::node;
use amesh_xds::server::{self, Address, Credentials, Server, Tls};
use amesh_xds::session::Options;
use amesh_xds::stream::Config;

use super::{Error, Settings};

/// Where Istio's agent serves xDS.
const AGENT: &str = "/etc/istio/proxy/XDS";

/// What Istio's injector mounts for whoever speaks with istiod.
const ISTIO_ROOTS: &str = "/var/run/secrets/istio/root-cert.pem";
const ISTIO_TOKEN: &str = "/var/run/secrets/tokens/istio-token";

/// Where istiod is in a cluster that says nothing else.
const ISTIOD: &str = "istiod.istio-system.svc.cluster.local:15010";

impl Settings {
    /// What the client of the control plane needs to know.
    pub(crate) fn client(&self) -> Result<Config, Error> {
        let file = self.bootstrap.as_deref().map(read).transpose()?;
        let mut options = Options::default();
        options.protocol = self.protocol;
        options.keep_when_all_removed = self.keep_when_all_removed;
        options.node = self.node(file.as_deref())?;
        Ok(Config::new(self.servers(file.as_deref())?, options))
    }

    fn servers(&self, bootstrap: Option<&str>) -> Result<Vec<Server>, Error> {
        let servers = self.named_servers(bootstrap)?;
        if self.ca_cert.is_none() && (self.server_name.is_some() || self.client_cert.is_some()) {
            return Err(Error::Missing("server_name and client_cert need ca_cert".to_owned()));
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            return Err(Error::Missing("client_cert and client_key need each other".to_owned()));
        }
        let mut credentials = Credentials::default();
        credentials.roots.clone_from(&self.ca_cert);
        credentials.server_name.clone_from(&self.server_name);
        credentials.identity = self.client_cert.clone().zip(self.client_key.clone());
        credentials.token.clone_from(&self.token);
        let each = servers.into_iter().map(|server| server.with(&credentials));
        each.collect::<Result<_, _>>()
            .map_err(|error| Error::Missing(format!("{error}: set ca_cert")))
    }

    fn named_servers(&self, bootstrap: Option<&str>) -> Result<Vec<Server>, Error> {
        if !self.servers.is_empty() {
            return self
                .servers
                .iter()
                .map(|text| Ok(Server::new(address(text)?)))
                .collect();
        }
        let named = bootstrap.map(server::from_bootstrap);
        match named {
            Some(Ok(servers)) => return Ok(servers),
            // One of Envoy's, which says where the control plane is in another way.
            None | Some(Err(server::BootstrapError::NoServer | server::BootstrapError::Text(_))) => {}
            Some(Err(error)) => return Err(Error::Missing(error.to_string())),
        }
        if Path::new(AGENT).exists() {
            return Ok(vec![Server::new(Address::Unix(AGENT.into()))]);
        }
        if let Some(text) = self.discovery_address() {
            let mut server = Server::new(address(&text)?);
            if Path::new(ISTIO_ROOTS).exists() {
                server.tls = Some(Tls::new(ISTIO_ROOTS));
                server.token = Path::new(ISTIO_TOKEN).exists().then(|| ISTIO_TOKEN.into());
                return Ok(vec![server]);
            }
        }
        Ok(vec![Server::new(address(ISTIOD)?)])
    }

    /// Where Istio's injector says that istiod is.
    fn discovery_address(&self) -> Option<String> {
        let proxy: serde_json::Value = serde_json::from_str(self.environment.get("PROXY_CONFIG")?).ok()?;
        proxy.get("discoveryAddress")?.as_str().map(str::to_owned)
    }

    fn node(&self, bootstrap: Option<&str>) -> Result<Node, Error> {
        let mut node = match (&self.node, bootstrap) {
            (Some(id), _) => node::from_id(id).map_err(|error| Error::Value {
                place: "node".to_owned(),
                reason: error.to_string(),
            })?,
            (None, Some(file)) => node::from_bootstrap(file).map_err(|error| Error::Missing(error.to_string()))?,
            (None, None) => {
                let read = node::from_environment(&self.proxy, &self.domain, &self.environment);
                read.map_err(|error| {
                    Error::Missing(format!(
                        "nothing says who asks: node and bootstrap are not set, and {error}"
                    ))
                })?
            }
        };
        node::add_labels(
            &mut node,
            self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())),
        );
        for (key, value) in &self.metadata {
            node::add_metadata(&mut node, key, &value.to_string());
        }
        Ok(node)
    }
}

/// An address in any form that gRPC knows; Go's Amesh writes `grpc://HOST:PORT`.
fn address(text: &str) -> Result<Address, Error> {
    let plain = text.strip_prefix("grpc://").unwrap_or(text);
    plain.parse().map_err(|error: server::AddressError| Error::Value {
        place: "server".to_owned(),
        reason: error.to_string(),
    })
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::Value {
        place: "bootstrap".to_owned(),
        reason: format!("{}: {error}", path.display()),
    })
}
