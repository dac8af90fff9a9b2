//! A control plane that has its responses as bytes before anybody asks, so that what it costs is not measured.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};

/// Messages as they are on the wire.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(item.len());
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What is said to the first request of each type, by its URL.
#[derive(Clone)]
struct Prepared(Arc<Vec<(String, Bytes)>>);

impl StreamingService<Bytes> for Prepared {
    type Response = Bytes;
    type ResponseStream = UnboundedReceiverStream<Result<Bytes, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (answers, out) = mpsc::unbounded_channel();
        let prepared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut requests = request.into_inner();
            let mut answered = BTreeSet::new();
            while let Ok(Some(bytes)) = requests.message().await {
                // In both variants a request is told by its type, but not by the same field.
                let sotw = DiscoveryRequest::decode(bytes.clone()).map(|request| request.type_url);
                let delta = DeltaDiscoveryRequest::decode(bytes).map(|request| request.type_url);
                let asked = [sotw, delta].into_iter().flatten();
                for url in asked.filter(|url| !url.is_empty()) {
                    let known = prepared.iter().find(|(of, _)| *of == url);
                    if let Some((_, response)) = known.filter(|_| answered.insert(url)) {
                        // Where the stream has ended there is nobody to tell.
                        let _ = answers.send(Ok(response.clone()));
                    }
                }
            }
        });
        std::future::ready(Ok(Response::new(UnboundedReceiverStream::new(out))))
    }
}

impl tonic::codegen::Service<http::Request<Body>> for Prepared {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(Grpc::new(Raw).streaming(this, request).await) })
    }
}

/// Serves responses, each with the URL of its type, on a thread that ends with the process. Gives the address.
pub(crate) fn serve(responses: Vec<(String, Vec<u8>)>) -> String {
    let responses = responses.into_iter().map(|(url, bytes)| (url, Bytes::from(bytes)));
    let prepared = Prepared(Arc::new(responses.collect()));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket that does not block");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let listener = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).expect("a listener"));
            let incoming = listener.map(|stream| stream.inspect(|stream| stream.set_nodelay(true).expect("a socket")));
            let server = tonic::transport::Server::builder().serve_with_incoming(prepared, incoming);
            server.await.expect("it serves");
        });
    });
    address
}
