//! Servers at a Unix socket whose every move the test makes: Istio's certificate authority, and SDS as of Istio's agent.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{NamedService, UnaryService};
use tonic::{Request, Response, Status, Streaming};

use crate::PATIENCE;

/// A server, and what clients do with it. Its socket is gone with it.
pub(crate) struct Running<T> {
    opened: mpsc::Receiver<T>,
    task: JoinHandle<()>,
}

impl<T> Running<T> {
    pub(crate) async fn next(&mut self) -> T {
        let opened = timeout(PATIENCE, self.opened.recv()).await;
        opened.expect("in time").expect("the mock runs")
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn incoming(path: &Path) -> UnixListenerStream {
    // Left over from a mock that is gone.
    let _ = std::fs::remove_file(path);
    UnixListenerStream::new(UnixListener::bind(path).expect("a socket"))
}

/// A request for a certificate, and the place for the answer.
pub(crate) struct Asked {
    pub(crate) token: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) csr: String,
    pub(crate) seconds: i64,
    reply: oneshot::Sender<Result<Vec<String>, Status>>,
}

impl Asked {
    pub(crate) fn answer(self, answer: Result<Vec<String>, Status>) {
        self.reply.send(answer).expect("somebody waits");
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct CertificateRequest {
    #[prost(string, tag = "1")]
    csr: String,
    #[prost(int64, tag = "3")]
    validity_duration: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CertificateResponse {
    #[prost(string, repeated, tag = "1")]
    cert_chain: Vec<String>,
}

#[derive(Clone)]
struct Authority(mpsc::Sender<Asked>);

impl NamedService for Authority {
    const NAME: &'static str = "istio.v1.auth.IstioCertificateService";
}

impl UnaryService<CertificateRequest> for Authority {
    type Response = CertificateResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<CertificateRequest>) -> Self::Future {
        let asked = self.0.clone();
        Box::pin(async move {
            let header = |name: &str| {
                let value = request.metadata().get(name).and_then(|value| value.to_str().ok());
                value.map(str::to_owned)
            };
            let (token, cluster) = (header("authorization"), header("clusterid"));
            let CertificateRequest { csr, validity_duration } = request.into_inner();
            let (reply, answer) = oneshot::channel();
            let request = Asked {
                token,
                cluster,
                csr,
                seconds: validity_duration,
                reply,
            };
            let over = || Status::unavailable("the test is over");
            asked.send(request).await.map_err(|_| over())?;
            let cert_chain = answer.await.map_err(|_| over())??;
            Ok(Response::new(CertificateResponse { cert_chain }))
        })
    }
}

impl<B> Service<http::Request<B>> for Authority
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        assert_eq!(
            request.uri().path(),
            "/istio.v1.auth.IstioCertificateService/CreateCertificate"
        );
        let authority = self.clone();
        let codec = tonic_prost::ProstCodec::<CertificateResponse, CertificateRequest>::default();
        Box::pin(async move { Ok(tonic::server::Grpc::new(codec).unary(authority, request).await) })
    }
}

/// Istio's certificate authority.
pub(crate) fn authority(path: &Path) -> Running<Asked> {
    let (sender, opened) = mpsc::channel(8);
    let incoming = incoming(path);
    let task = tokio::spawn(async move {
        let server = tonic::transport::Server::builder();
        let end = server.serve_with_incoming(Authority(sender), incoming).await;
        end.expect("the mock runs");
    });
    Running { opened, task }
}

/// A stream that a client opened.
pub(crate) struct Opened {
    requests: Streaming<DiscoveryRequest>,
    answers: mpsc::Sender<Result<DiscoveryResponse, Status>>,
}

impl Opened {
    pub(crate) async fn request(&mut self) -> DiscoveryRequest {
        let request = timeout(PATIENCE, self.requests.message()).await;
        request.expect("in time").expect("a sound stream").expect("a request")
    }

    pub(crate) async fn answer(&self, answer: DiscoveryResponse) {
        self.answers.send(Ok(answer)).await.expect("an open stream");
    }

    /// Ends the stream.
    pub(crate) async fn fail(&self, status: Status) {
        self.answers.send(Err(status)).await.expect("an open stream");
    }

    /// Whether the client has ended the stream.
    pub(crate) async fn is_over(&mut self) -> bool {
        let end = timeout(PATIENCE, self.requests.message()).await.expect("in time");
        !matches!(end, Ok(Some(_)))
    }
}

struct Agent(mpsc::Sender<Opened>);

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SecretDiscoveryService for Agent {
    type StreamSecretsStream = Out<DiscoveryResponse>;
    type DeltaSecretsStream = Out<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let (answers, out) = mpsc::channel(8);
        let requests = request.into_inner();
        let opened = Opened { requests, answers };
        let sent = self.0.send(opened).await;
        sent.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(out))))
    }

    async fn delta_secrets(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(Status::unimplemented("DeltaSecrets not implemented"))
    }

    async fn fetch_secrets(&self, _: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("FetchSecrets not implemented"))
    }
}

/// SDS as Istio's agent serves it.
pub(crate) fn agent(path: &Path) -> Running<Opened> {
    let (sender, opened) = mpsc::channel(8);
    let incoming = incoming(path);
    let task = tokio::spawn(async move {
        let server = tonic::transport::Server::builder();
        let service = SecretDiscoveryServiceServer::new(Agent(sender));
        let end = server.serve_with_incoming(service, incoming).await;
        end.expect("the mock runs");
    });
    Running { opened, task }
}
