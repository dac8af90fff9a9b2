//! A control plane that keeps the rules of both variants, on a port of this machine and a thread of its own. It writes
//! down what it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use amesh_core::ResourceType;
use amesh_xds::session::{Request, Response, is_wildcard};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Status, Streaming};

/// A request, as far as both variants have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) kind: ResourceType,
    /// All names in state of the world, new names in delta.
    pub(crate) names: BTreeSet<String>,
    pub(crate) unsubscribe: BTreeSet<String>,
    /// What is held of the type, by name, with its version.
    pub(crate) held: BTreeMap<String, String>,
    pub(crate) version: String,
    pub(crate) nonce: String,
    pub(crate) error: Option<String>,
    pub(crate) has_node: bool,
}

impl Asked {
    fn new(request: Request) -> Option<Self> {
        Some(match request {
            Request::StateOfTheWorld(request) => Self {
                kind: ResourceType::from_type_url(&request.type_url)?,
                names: request.resource_names.into_iter().collect(),
                unsubscribe: BTreeSet::new(),
                held: BTreeMap::new(),
                version: request.version_info,
                nonce: request.response_nonce,
                error: request.error_detail.map(|status| status.message),
                has_node: request.node.is_some(),
            },
            Request::Delta(request) => Self {
                kind: ResourceType::from_type_url(&request.type_url)?,
                names: request.resource_names_subscribe.into_iter().collect(),
                unsubscribe: request.resource_names_unsubscribe.into_iter().collect(),
                held: request.initial_resource_versions.into_iter().collect(),
                version: String::new(),
                nonce: request.response_nonce,
                error: request.error_detail.map(|status| status.message),
                has_node: request.node.is_some(),
            },
        })
    }
}

/// What the stream knows of a type.
#[derive(Default)]
struct Watch {
    names: BTreeSet<String>,
    nonce: String,
    /// Whether the newest response was answered.
    answered: bool,
    /// In delta: the versions that the client has.
    sent: BTreeMap<String, String>,
}

/// The stream that is open.
struct Live {
    delta: bool,
    watches: BTreeMap<ResourceType, Watch>,
    answers: mpsc::UnboundedSender<Result<Response, Status>>,
}

#[derive(Default)]
struct State {
    resources: BTreeMap<ResourceType, BTreeMap<String, (String, Any)>>,
    /// Of the responses, and of the resources that are put.
    version: String,
    nonces: usize,
    streams: usize,
    live: Option<Live>,
    asked: Vec<Asked>,
}

impl State {
    /// Answers as a control plane does that holds the state of the client.
    fn receive(&mut self, asked: &Asked) {
        let kind = asked.kind;
        let Some(live) = &mut self.live else { return };
        let first = !live.watches.contains_key(&kind);
        let delta = live.delta;
        let watch = live.watches.entry(kind).or_default();
        if delta {
            watch.names.extend(asked.names.iter().cloned());
            watch.names.retain(|name| !asked.unsubscribe.contains(name));
            watch.sent.retain(|name, _| !asked.unsubscribe.contains(name));
            watch.sent.extend(asked.held.clone());
            if asked.nonce.is_empty() && (first || !asked.names.is_empty()) {
                let mut names = asked.names.clone();
                names.extend(watch.sent.keys().cloned());
                if is_wildcard(kind) {
                    names.extend(self.resources.get(&kind).into_iter().flat_map(BTreeMap::keys).cloned());
                }
                self.respond(kind, &names, first && is_wildcard(kind));
            }
            return;
        }
        // Crossed by a response.
        if !first && asked.nonce != watch.nonce {
            return;
        }
        // An answer comes once. What asks the same after it wants an answer, as Envoy's endpoints of a changed cluster.
        let again = watch.answered && asked.names == watch.names;
        watch.answered = true;
        if asked.error.is_some() {
            return;
        }
        let names = if again {
            asked.names.clone()
        } else {
            asked.names.difference(&watch.names).cloned().collect()
        };
        watch.names.clone_from(&asked.names);
        if first || !names.is_empty() {
            self.respond(kind, &names, first);
        }
    }

    /// Sends what there is of these names, and in delta what is not there.
    fn respond(&mut self, kind: ResourceType, names: &BTreeSet<String>, even_if_empty: bool) {
        let Some(live) = &mut self.live else { return };
        let Some(watch) = live.watches.get_mut(&kind) else {
            return;
        };
        let all = self.resources.entry(kind).or_default();
        let wanted = |name: &&String| is_wildcard(kind) || watch.names.contains(*name);
        let put: Vec<(String, String, Any)> = {
            let there = |name: &String| {
                let (version, body) = all.get(name)?;
                let news = !live.delta || watch.sent.get(name) != Some(version);
                news.then(|| (name.clone(), version.clone(), body.clone()))
            };
            // A response of a wildcard is the whole state.
            if is_wildcard(kind) && !live.delta {
                all.keys().filter_map(there).collect()
            } else {
                names.iter().filter(wanted).filter_map(there).collect()
            }
        };
        let gone = |name: &&String| watch.sent.contains_key(*name) && !all.contains_key(*name);
        let removed: Vec<String> = names.iter().filter(gone).cloned().collect();
        let whole = is_wildcard(kind) && !live.delta;
        if !put.is_empty() || !removed.is_empty() || even_if_empty || whole {
            self.send(kind, put, removed);
        }
    }

    /// Sends resources, each with its name and version, asked for or not.
    fn send(&mut self, kind: ResourceType, put: Vec<(String, String, Any)>, removed: Vec<String>) {
        let Some(live) = &mut self.live else { return };
        self.nonces += 1;
        let nonce = format!("n{}", self.nonces);
        if let Some(watch) = live.watches.get_mut(&kind) {
            watch.nonce.clone_from(&nonce);
            watch.answered = false;
            if live.delta {
                watch.sent.retain(|name, _| !removed.contains(name));
                watch
                    .sent
                    .extend(put.iter().map(|(name, version, _)| (name.clone(), version.clone())));
            }
        }
        let type_url = format!("type.googleapis.com/{}", kind.message());
        let version = self.version.clone();
        let response = if live.delta {
            let resource = |(name, version, body)| Resource {
                name,
                version,
                resource: Some(body),
                ..Resource::default()
            };
            Response::Delta(DeltaDiscoveryResponse {
                system_version_info: version,
                resources: put.into_iter().map(resource).collect(),
                type_url,
                removed_resources: removed,
                nonce,
                ..DeltaDiscoveryResponse::default()
            })
        } else {
            Response::StateOfTheWorld(DiscoveryResponse {
                version_info: version,
                resources: put.into_iter().map(|(_, _, body)| body).collect(),
                type_url,
                nonce,
                ..DiscoveryResponse::default()
            })
        };
        // Where the stream has ended there is nobody to tell.
        let _ = live.answers.send(Ok(response));
    }
}

/// A running control plane; it ends when it is dropped.
pub(crate) struct Plane {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Plane {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let service = AggregatedDiscoveryServiceServer::new(Service(Arc::clone(&state)));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let listener = TcpListenerStream::new(listener);
                // As any server of gRPC does: nothing waits for the acknowledgement of what went before.
                let incoming =
                    listener.map(|stream| stream.inspect(|stream| stream.set_nodelay(true).expect("a socket")));
                let server = tonic::transport::Server::builder();
                tokio::select! {
                    served = server.serve_with_incoming(service, incoming) => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }

    /// The version of what is put and said from now on.
    pub(crate) fn version(&self, version: &str) {
        version.clone_into(&mut self.state().version);
    }

    /// Changes a resource, without telling anybody.
    pub(crate) fn put(&self, kind: ResourceType, name: &str, body: Vec<u8>) {
        let mut state = self.state();
        let version = state.version.clone();
        let type_url = format!("type.googleapis.com/{}", kind.message());
        let any = Any { type_url, value: body };
        state
            .resources
            .entry(kind)
            .or_default()
            .insert(name.to_owned(), (version, any));
    }

    /// Takes a resource away, without telling anybody.
    pub(crate) fn remove(&self, kind: ResourceType, name: &str) {
        self.state().resources.entry(kind).or_default().remove(name);
    }

    /// Tells the client what changed of these names, if it wants to know.
    pub(crate) fn push(&self, kind: ResourceType, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.state().respond(kind, &names, false);
    }

    /// Sends these resources, asked for or not.
    pub(crate) fn say(&self, kind: ResourceType, names: &[&str]) {
        let mut state = self.state();
        let all = state.resources.entry(kind).or_default();
        let put = names.iter().map(|name| {
            let (version, body) = all[*name].clone();
            ((*name).to_owned(), version, body)
        });
        let put = put.collect();
        state.send(kind, put, Vec::new());
    }

    /// Ends the stream in good order.
    pub(crate) fn hang_up(&self) {
        self.state().live = None;
    }

    /// What was asked since the last time.
    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// How many requests wait to be taken.
    pub(crate) fn count(&self) -> usize {
        self.state().asked.len()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.hang_up();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

struct Service(Arc<Mutex<State>>);

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    /// Reads the requests of a stream, and gives the way of the answers.
    fn open<Q: Send + 'static>(
        &self,
        delta: bool,
        mut requests: Streaming<Q>,
        wrap: fn(Q) -> Request,
    ) -> UnboundedReceiverStream<Result<Response, Status>> {
        let (answers, responses) = mpsc::unbounded_channel();
        let number = {
            let mut state = self.0.lock().expect("nobody panicked");
            state.live = Some(Live {
                delta,
                watches: BTreeMap::new(),
                answers,
            });
            state.streams += 1;
            state.streams
        };
        let state = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                if let Some(asked) = Asked::new(wrap(request)) {
                    let mut state = state.lock().expect("nobody panicked");
                    // What is left of a stream before asks nothing any more.
                    if state.streams == number {
                        state.receive(&asked);
                        state.asked.push(asked);
                    }
                }
            }
        });
        UnboundedReceiverStream::new(responses)
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Out<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Out<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: tonic::Request<Streaming<DiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::StreamAggregatedResourcesStream>, Status> {
        let responses = self.open(false, request.into_inner(), Request::StateOfTheWorld);
        let responses = responses.map(|response| match response? {
            Response::StateOfTheWorld(response) => Ok(response),
            Response::Delta(_) => Err(Status::internal("an answer of the other variant")),
        });
        Ok(tonic::Response::new(Box::pin(responses)))
    }

    async fn delta_aggregated_resources(
        &self,
        request: tonic::Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let responses = self.open(true, request.into_inner(), Request::Delta);
        let responses = responses.map(|response| match response? {
            Response::Delta(response) => Ok(response),
            Response::StateOfTheWorld(_) => Err(Status::internal("an answer of the other variant")),
        });
        Ok(tonic::Response::new(Box::pin(responses)))
    }
}
