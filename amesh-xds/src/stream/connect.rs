//! A connection to a server, and the exchange of messages over it.

use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::{Protocol, Request, Response};
use crate::server::{Address, Server, Tls};
use crate::session::Service;

/// Why there is no stream, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the TLS settings, or the token, cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The token cannot be sent in a header.
    #[error("{}: the token has characters that a header cannot have", .0.display())]
    Token(PathBuf),
    /// A file that should hold certificates in PEM form holds none.
    #[error("{}: there is no certificate in it", .0.display())]
    NoCertificate(PathBuf),
    /// There is no connection: nobody listens there, or who does is not trusted.
    #[error("{0}")]
    Connect(String),
    /// There was a connection, which ended before the server answered as gRPC does.
    #[error("the connection ended before an answer of gRPC: is this an xDS server{}?", if *.tls { "" } else { ", and one without TLS" })]
    NoAnswer {
        /// Whether the connection was over TLS.
        tls: bool,
        /// What broke.
        cause: String,
    },
    /// The server ended the stream with an error, or it broke.
    #[error("{code:?}: {message}")]
    Status {
        /// gRPC's code.
        code: tonic::Code,
        /// What the server said, or what broke.
        message: String,
    },
    /// A fault in this crate.
    #[error("the task of the stream failed: {0}")]
    Task(String),
}

/// A connection to a server.
pub(crate) type Connection = InterceptedService<Channel, Bearer>;

/// How long to wait for the other side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) keepalive_timeout: Duration,
}

/// Adds the token to the request.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Connects, having read again the files that may have been rotated.
pub(crate) async fn connect(server: &Server, patience: Patience) -> Result<Connection, Error> {
    let bearer = Bearer(server.token.as_deref().map(token).transpose()?);
    let endpoint = endpoint(server)?
        .connect_timeout(patience.connect)
        .tcp_keepalive(Some(patience.keepalive))
        .http2_keep_alive_interval(patience.keepalive)
        .keep_alive_timeout(patience.keepalive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024);
    let channel = tokio::time::timeout(patience.connect, endpoint.connect())
        .await
        .map_err(|_| Error::Connect(format!("no connection within {:?}", patience.connect)))?
        .map_err(|error| Error::Connect(causes(&error)))?;
    Ok(InterceptedService::new(channel, bearer))
}

fn endpoint(server: &Server) -> Result<Endpoint, Error> {
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    let uri = match &server.address {
        Address::Unix(path) => format!("unix:{}", path.display()),
        address @ Address::Tcp { .. } => format!("{scheme}://{address}"),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(|error| Error::Connect(causes(&error)))?;
    match &server.tls {
        Some(settings) => endpoint
            .tls_config(tls(settings)?)
            .map_err(|error| Error::Connect(causes(&error))),
        None => Ok(endpoint),
    }
}

fn tls(settings: &Tls) -> Result<ClientTlsConfig, Error> {
    let roots = read(&settings.roots)?;
    // No certificate would mean that nobody is trusted, which a server's name in an error does not tell.
    if !String::from_utf8_lossy(&roots).contains("-----BEGIN CERTIFICATE-----") {
        return Err(Error::NoCertificate(settings.roots.clone()));
    }
    let roots = Certificate::from_pem(roots);
    let mut config = ClientTlsConfig::new()
        .ca_certificate(roots)
        .timeout(Duration::from_secs(10));
    if let Some(name) = &settings.server_name {
        config = config.domain_name(name);
    }
    if let Some((chain, key)) = &settings.identity {
        config = config.identity(Identity::from_pem(read(chain)?, read(key)?));
    }
    Ok(config)
}

fn token(path: &Path) -> Result<MetadataValue<Ascii>, Error> {
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", text.trim())
        .parse()
        .map_err(|_| Error::Token(path.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::File {
        path: path.to_owned(),
        error,
    })
}

/// What a server said instead of an answer, or what broke.
pub(crate) fn failed(status: &tonic::Status) -> Error {
    Error::Status {
        code: status.code(),
        message: match status.source() {
            Some(source) => causes(source),
            None => status.message().to_owned(),
        },
    }
}

/// Sends what comes out of one channel, and puts what is received into the other, until the stream ends.
pub(super) async fn exchange(
    connection: Connection,
    (service, protocol): (Service, Protocol),
    tls: bool,
    requests: mpsc::UnboundedReceiver<Request>,
    responses: mpsc::Sender<Response>,
) -> Result<(), Error> {
    let requests = UnboundedReceiverStream::new(requests);
    // A big mesh is one message: fifteen megabytes for ten thousand services.
    let all = || AggregatedDiscoveryServiceClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
    let secrets = || SecretDiscoveryServiceClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
    // What breaks before the first answer was hardly an xDS server.
    let unanswered = |status: tonic::Status| match status.source() {
        Some(source) => Error::NoAnswer {
            tls,
            cause: causes(source),
        },
        None => failed(&status),
    };
    match protocol {
        Protocol::StateOfTheWorld => {
            let requests = requests.filter_map(|request| match request {
                Request::StateOfTheWorld(request) => Some(request),
                Request::Delta(_) => None,
            });
            let answer = match service {
                Service::Aggregated => all().stream_aggregated_resources(requests).await,
                Service::Secrets => secrets().stream_secrets(requests).await,
            };
            let mut stream = answer.map_err(unanswered)?.into_inner();
            while let Some(response) = stream.message().await.map_err(|status| failed(&status))? {
                if responses.send(Response::StateOfTheWorld(response)).await.is_err() {
                    break;
                }
            }
        }
        Protocol::Delta => {
            let requests = requests.filter_map(|request| match request {
                Request::Delta(request) => Some(request),
                Request::StateOfTheWorld(_) => None,
            });
            let answer = match service {
                Service::Aggregated => all().delta_aggregated_resources(requests).await,
                Service::Secrets => secrets().delta_secrets(requests).await,
            };
            let mut stream = answer.map_err(unanswered)?.into_inner();
            while let Some(response) = stream.message().await.map_err(|status| failed(&status))? {
                if responses.send(Response::Delta(response)).await.is_err() {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// An error with its causes, in one line. That it was the transport's says nothing.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if cause_text != "transport error" && !text.ends_with(&cause_text) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
