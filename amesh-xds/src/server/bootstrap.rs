//! The control planes that a bootstrap file of gRPC names.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::{AddressError, Server, Tls};

/// Why a bootstrap file names no control plane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// The file is not JSON.
    #[error("the bootstrap file is not JSON: {0}")]
    Text(String),
    /// There is no server in it.
    #[error("the bootstrap file has no xds_servers with a server_uri")]
    NoServer,
    /// The address of a server cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A server takes none of the credentials that are known.
    #[error("{0}: none of its channel_creds is known: insecure, or tls with a ca_certificate_file")]
    Credentials(String),
}

/// The control planes in the text of a gRPC bootstrap file, in its order. Of each server's credentials the first that is
/// known is used, as gRPC does.
///
/// # Errors
///
/// [`BootstrapError`] says what is not understood; a server is never left out in silence.
pub fn from_bootstrap(file: &str) -> Result<Vec<Server>, BootstrapError> {
    let document: Json = serde_json::from_str(file).map_err(|error| BootstrapError::Text(error.to_string()))?;
    let list = document.get("xds_servers").and_then(Json::as_array);
    let servers: Vec<Server> = list.into_iter().flatten().map(server).collect::<Result<_, _>>()?;
    if servers.is_empty() {
        return Err(BootstrapError::NoServer);
    }
    Ok(servers)
}

fn server(entry: &Json) -> Result<Server, BootstrapError> {
    let uri = entry
        .get("server_uri")
        .and_then(Json::as_str)
        .ok_or(BootstrapError::NoServer)?;
    let mut server = Server::new(uri.parse()?);
    let credentials = entry.get("channel_creds").and_then(Json::as_array);
    for credential in credentials.into_iter().flatten() {
        let path = |name: &str| {
            let value = credential.get("config").and_then(|config| config.get(name));
            value.and_then(Json::as_str).map(PathBuf::from)
        };
        match credential.get("type").and_then(Json::as_str) {
            Some("insecure") => return Ok(server),
            Some("tls") => {
                let Some(roots) = path("ca_certificate_file") else {
                    continue;
                };
                server.tls = Some(Tls {
                    identity: path("certificate_file").zip(path("private_key_file")),
                    ..Tls::new(roots)
                });
                return Ok(server);
            }
            _ => {}
        }
    }
    Err(BootstrapError::Credentials(uri.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_istios_agent_leaves_is_read() {
        let servers = from_bootstrap(
            r#"{"xds_servers": [{"server_uri": "unix:///etc/istio/proxy/XDS",
                "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}]}"#,
        )
        .unwrap();
        assert_eq!(servers, [Server::new("unix:/etc/istio/proxy/XDS".parse().unwrap())]);
    }

    #[test]
    fn the_first_credentials_that_are_known_are_used() {
        let servers = from_bootstrap(
            r#"{"xds_servers": [
                {"server_uri": "dns:///istiod:15012", "channel_creds": [
                    {"type": "google_default"},
                    {"type": "tls", "config": {"ca_certificate_file": "/r.pem", "certificate_file": "/c.pem",
                                               "private_key_file": "/k.pem"}},
                    {"type": "insecure"}]},
                {"server_uri": "istiod:15010", "channel_creds": [{"type": "insecure"}]}]}"#,
        )
        .unwrap();
        let tls = servers[0].tls.as_ref().unwrap();
        assert_eq!(tls.roots, PathBuf::from("/r.pem"));
        assert_eq!(tls.identity, Some((PathBuf::from("/c.pem"), PathBuf::from("/k.pem"))));
        assert_eq!((servers.len(), &servers[1].tls), (2, &None));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (file, expected) in [
            ("{", "the bootstrap file is not JSON"),
            ("{}", "the bootstrap file has no xds_servers"),
            (r#"{"xds_servers": [{}]}"#, "the bootstrap file has no xds_servers"),
            (
                r#"{"xds_servers": [{"server_uri": "istiod"}]}"#,
                "\"istiod\" has no port",
            ),
            (
                r#"{"xds_servers": [{"server_uri": "istiod:1", "channel_creds": [{"type": "tls"}]}]}"#,
                "istiod:1: none of its channel_creds is known",
            ),
        ] {
            let error = from_bootstrap(file).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{file}: {error}");
        }
    }
}
