//! A control plane whose every move the test makes.

use std::pin::Pin;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A stream that a client opened: what it asks, and the way to answer.
pub(crate) struct Opened<Q, A> {
    pub(crate) token: Option<String>,
    pub(crate) requests: Streaming<Q>,
    pub(crate) answers: mpsc::Sender<Result<A, Status>>,
}

pub(crate) type Sotw = Opened<DiscoveryRequest, DiscoveryResponse>;
pub(crate) type Incremental = Opened<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

impl<Q, A> Opened<Q, A> {
    pub(crate) async fn request(&mut self) -> Q {
        self.requests
            .message()
            .await
            .expect("a sound stream")
            .expect("a request")
    }

    pub(crate) async fn answer(&self, answer: A) {
        self.answers.send(Ok(answer)).await.expect("an open stream");
    }
}

/// Hands every stream to the test.
#[derive(Clone)]
pub(crate) struct Mock {
    sotw: mpsc::Sender<Sotw>,
    delta: mpsc::Sender<Incremental>,
}

/// A running mock, with the streams that clients open.
pub(crate) struct Running {
    pub(crate) sotw: mpsc::Receiver<Sotw>,
    pub(crate) delta: mpsc::Receiver<Incremental>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn serve_with<F>(start: impl FnOnce(AggregatedDiscoveryServiceServer<Mock>) -> F) -> Running
where
    F: Future<Output = Result<(), tonic::transport::Error>> + Send + 'static,
{
    let (sotw, sotw_streams) = mpsc::channel(8);
    let (delta, delta_streams) = mpsc::channel(8);
    let server = start(AggregatedDiscoveryServiceServer::new(Mock { sotw, delta }));
    Running {
        sotw: sotw_streams,
        delta: delta_streams,
        task: tokio::spawn(async move { server.await.expect("the mock runs") }),
    }
}

/// On a port of this machine.
pub(crate) async fn serve() -> (String, Running) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let incoming = TcpListenerStream::new(listener);
    let running = serve_with(|service| Server::builder().serve_with_incoming(service, incoming));
    (address, running)
}

fn open<Q, A: Send + 'static>(request: Request<Streaming<Q>>) -> (Opened<Q, A>, Response<Out<A>>) {
    let (answers, out) = mpsc::channel(8);
    let token = request
        .metadata()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let token = token.map(str::to_owned);
    let opened = Opened {
        token,
        requests: request.into_inner(),
        answers,
    };
    (opened, Response::new(Box::pin(ReceiverStream::new(out))))
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Mock {
    type StreamAggregatedResourcesStream = Out<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Out<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (opened, response) = open(request);
        self.sotw
            .send(opened)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(response)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (opened, response) = open(request);
        self.delta
            .send(opened)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(response)
    }
}
