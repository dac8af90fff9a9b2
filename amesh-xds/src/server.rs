//! Where a control plane is, and how to talk to it.

mod bootstrap;

pub use bootstrap::{BootstrapError, from_bootstrap};

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// How to be sure of it, and it of us; plaintext without.
    pub tls: Option<Tls>,
    /// A file with a bearer token, read again for every connection.
    pub token: Option<PathBuf>,
}

/// Files are read again for every connection, so that rotated ones are used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tls {
    /// A PEM file with the roots to trust.
    pub roots: PathBuf,
    /// The name that the server's certificate must have, where it is not the address's host.
    pub server_name: Option<String>,
    /// PEM files with a certificate chain of ours, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// TLS that trusts the roots in a PEM file.
    #[must_use]
    pub fn new(roots: impl Into<PathBuf>) -> Self {
        Self {
            roots: roots.into(),
            ..Self::default()
        }
    }
}

/// What is said of all servers at once, by a command line or by settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Credentials {
    /// A PEM file with the roots to trust: speak TLS.
    pub roots: Option<PathBuf>,
    /// As [`Tls::server_name`]; nothing without roots.
    pub server_name: Option<String>,
    /// As [`Tls::identity`]; nothing without roots.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// As [`Server::token`].
    pub token: Option<PathBuf>,
}

/// A token would be sent in plain text over a network, where whoever listens on the way could use it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token is not sent to {0} in plain text")]
pub struct PlainToken(pub Address);

/// The address of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host, by name or number, and a port.
    Tcp {
        /// A name, an IPv4 address or an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no port.
    #[error("{0:?} has no port: write HOST:PORT, or unix:PATH")]
    NoPort(String),
    /// What should be the port is no number from 1 to 65535.
    #[error("{1:?} in {0:?} is no port")]
    BadPort(String, String),
    /// There is no host, or no path.
    #[error("{0:?} names neither a host nor a socket")]
    Empty(String),
    /// An IPv6 address without brackets.
    #[error("{0:?} is ambiguous: write an IPv6 address as [ADDRESS]:PORT")]
    Brackets(String),
    /// A scheme that gRPC may know and this client does not.
    #[error("{1:?} in {0:?} is no scheme that is known: dns, ipv4, ipv6, unix, passthrough, http, https")]
    Scheme(String, String),
}

impl Server {
    /// A control plane in plaintext.
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self {
            address,
            tls: None,
            token: None,
        }
    }

    /// Takes these credentials; what they do not say stays as it is.
    ///
    /// # Errors
    ///
    /// [`PlainToken`] when there is a token and no TLS, unless the server is a Unix socket.
    pub fn with(mut self, credentials: &Credentials) -> Result<Self, PlainToken> {
        if let Some(roots) = &credentials.roots {
            self.tls = Some(Tls {
                roots: roots.clone(),
                server_name: credentials.server_name.clone(),
                identity: credentials.identity.clone(),
            });
        }
        if let Some(token) = &credentials.token {
            self.token = Some(token.clone());
        }
        if self.token.is_some() && self.tls.is_none() && matches!(self.address, Address::Tcp { .. }) {
            return Err(PlainToken(self.address));
        }
        Ok(self)
    }
}

/// Every form of `server_uri` in a gRPC bootstrap file: `HOST:PORT`, `dns:///HOST:PORT`, `dns://RESOLVER/HOST:PORT`,
/// `ipv4:IP:PORT`, `ipv6:[IP]:PORT`, `passthrough:///HOST:PORT`, `unix:PATH`, `unix:///PATH`; and `http://HOST:PORT`.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(AddressError::Empty(text.to_owned()));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        for scheme in ["http://", "https://", "ipv4:", "ipv6:"] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return host_and_port(text, rest.strip_suffix('/').unwrap_or(rest));
            }
        }
        for scheme in ["dns:", "passthrough:"] {
            if let Some(rest) = text.strip_prefix(scheme) {
                // After the authority, which names a resolver, if there is one.
                let rest = match rest.strip_prefix("//") {
                    Some(rest) => rest.split_once('/').map_or(rest, |(_, host)| host),
                    None => rest,
                };
                return host_and_port(text, rest);
            }
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(AddressError::Scheme(text.to_owned(), scheme.to_owned()));
        }
        host_and_port(text, text)
    }
}

fn host_and_port(text: &str, rest: &str) -> Result<Address, AddressError> {
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or_default()),
        None => rest.rsplit_once(':').unwrap_or((rest, "")),
    };
    if host.is_empty() {
        return Err(AddressError::Empty(text.to_owned()));
    }
    if host.contains(':') && !rest.starts_with('[') {
        return Err(AddressError::Brackets(text.to_owned()));
    }
    if port.is_empty() {
        return Err(AddressError::NoPort(text.to_owned()));
    }
    match port.parse() {
        Ok(number) if number > 0 => Ok(Address::Tcp {
            host: host.to_owned(),
            port: number,
        }),
        _ => Err(AddressError::BadPort(text.to_owned(), port.to_owned())),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match text.parse::<Address>() {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_form_of_a_bootstrap_file_is_read() {
        for (text, expected) in [
            ("istiod.istio-system.svc:15010", "istiod.istio-system.svc:15010"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:15010", "[::1]:15010"),
            ("ipv6:[::1]:15010", "[::1]:15010"),
            ("ipv4:10.0.0.1:15010", "10.0.0.1:15010"),
            ("dns:istiod:15010", "istiod:15010"),
            ("dns:///istiod:15010", "istiod:15010"),
            ("dns://8.8.8.8/istiod:15010", "istiod:15010"),
            ("passthrough:///istiod:15010", "istiod:15010"),
            ("http://istiod:15010/", "istiod:15010"),
            ("unix:///etc/istio/proxy/XDS", "unix:/etc/istio/proxy/XDS"),
            ("unix:/etc/istio/proxy/XDS", "unix:/etc/istio/proxy/XDS"),
            ("unix:etc/istio/proxy/XDS", "unix:etc/istio/proxy/XDS"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_token_goes_over_tls_or_to_a_socket() {
        let server = |address: &str| Server::new(address.parse().unwrap());
        let token = Credentials {
            token: Some("/token".into()),
            ..Credentials::default()
        };
        let both = Credentials {
            roots: Some("/roots".into()),
            ..token.clone()
        };
        let error = server("istiod:15010").with(&token).unwrap_err();
        assert_eq!(error.to_string(), "a token is not sent to istiod:15010 in plain text");
        for (address, credentials) in [("unix:/socket", &token), ("istiod:15012", &both)] {
            let server = server(address).with(credentials).unwrap();
            assert_eq!(
                (server.token, server.tls),
                (token.token.clone(), credentials.roots.clone().map(Tls::new))
            );
        }
        // What is not said stays.
        let before = server("istiod:15012").with(&both).unwrap();
        assert_eq!(before.clone().with(&Credentials::default()), Ok(before));
    }

    #[test]
    fn what_is_no_address_is_said() {
        for (text, expected) in [
            ("istiod", "\"istiod\" has no port: write HOST:PORT, or unix:PATH"),
            ("istiod:0", "\"0\" in \"istiod:0\" is no port"),
            ("istiod:http", "\"http\" in \"istiod:http\" is no port"),
            (":15010", "\":15010\" names neither a host nor a socket"),
            ("unix:", "\"unix:\" names neither a host nor a socket"),
            (
                "::1:15010",
                "\"::1:15010\" is ambiguous: write an IPv6 address as [ADDRESS]:PORT",
            ),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert!(read("xds://istiod:15010").contains("no scheme"));
    }
}
