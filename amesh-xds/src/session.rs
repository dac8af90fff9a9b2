//! The protocol as a state machine: events in, requests and updates out.
//!
//! No network, no clock, no threads: time is an event, and the same events give the same actions.
//!
//! What is asked for: every cluster, then the endpoints that clusters refer to, then every listener, then the routes that
//! listeners refer to, then secrets and extensions by name. The names come from the consumer, with its verdict or on their
//! own. A session outlives its streams: after a reconnect it asks again for all that it wants, and says what it holds.

mod message;
mod read;
mod request;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use amesh_core::ResourceType;
use amesh_core::finding::ResourceName;
use envoy_types::pb::envoy::config::core::v3::Node;

pub use message::{Action, Changes, Delivery, Event, Request, Response, Verdict};
use state::{Accepted, State};

/// The order in which types are asked for: what is referred to before what refers to it.
pub const ORDER: [ResourceType; 6] = [
    ResourceType::Cluster,
    ResourceType::ClusterLoadAssignment,
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
    ResourceType::Secret,
    ResourceType::TypedExtensionConfig,
];

/// What a control plane is asked for, and by which service of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// Every type in [`ORDER`] over one stream (ADS).
    #[default]
    Aggregated,
    /// Secrets alone, by name (SDS), as Istio's agent serves them.
    Secrets,
}

impl Service {
    /// The types that are asked for, in order.
    #[must_use]
    pub const fn kinds(self) -> &'static [ResourceType] {
        match self {
            Self::Aggregated => &ORDER,
            Self::Secrets => &[ResourceType::Secret],
        }
    }
}

/// Whether a type is subscribed to as a whole, not by names.
#[must_use]
pub const fn is_wildcard(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Listener)
}

/// The two variants of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Every response of listeners or clusters holds all of them.
    #[default]
    StateOfTheWorld,
    /// A response holds what changed.
    Delta,
}

/// How a session behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// What is asked for.
    pub service: Service,
    /// What is wanted by name from the start, before a consumer says so.
    pub wanted: BTreeSet<ResourceName>,
    /// The variant of the protocol.
    pub protocol: Protocol,
    /// Who asks: sent with the first request of a stream.
    pub node: Node,
    /// How long a named resource may be awaited before it counts as absent; 15 s, as for Envoy and gRPC.
    pub timeout: Duration,
    /// Keeps all clusters, or all listeners, when the control plane takes all of them away at once. Off: an empty mesh is
    /// a mesh.
    pub keep_when_all_removed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            service: Service::default(),
            wanted: BTreeSet::new(),
            protocol: Protocol::default(),
            node: Node::default(),
            timeout: Duration::from_secs(15),
            keep_when_all_removed: false,
        }
    }
}

/// A delivery whose verdict is awaited.
#[derive(Debug)]
struct Pending {
    kind: ResourceType,
    nonce: String,
    version: String,
    accepted: Vec<Accepted>,
    removed: Vec<String>,
    rejected: Vec<String>,
    /// Whether the stream that it came on is still open.
    answerable: bool,
}

impl Pending {
    /// What is accepted later still is what another server called by these versions.
    fn forget_versions(&mut self) {
        self.version.clear();
        for accepted in &mut self.accepted {
            accepted.version = "".into();
        }
    }
}

/// An open stream.
#[derive(Debug)]
struct Stream {
    since: Duration,
    node_sent: bool,
}

/// A session with a control plane.
#[derive(Debug)]
pub struct Session {
    options: Options,
    states: BTreeMap<ResourceType, State>,
    now: Duration,
    stream: Option<Stream>,
    pending: Option<Pending>,
    queue: VecDeque<Response>,
    /// Whether clusters and endpoints have come once, so that listeners may be asked for.
    started: bool,
}

impl Session {
    /// A session that is not connected yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let kinds = options.service.kinds().iter();
        let wanted = options.wanted.clone();
        let mut session = Self {
            states: kinds.map(|kind| (*kind, State::new(*kind))).collect(),
            options,
            now: Duration::ZERO,
            stream: None,
            pending: None,
            queue: VecDeque::new(),
            started: false,
        };
        session.want(Changes {
            wanted,
            ..Changes::default()
        });
        session
    }

    /// Takes an event, and says what to do, in that order.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Connected { same_server } => {
                self.queue.clear();
                self.abandon();
                if !same_server && let Some(pending) = &mut self.pending {
                    pending.forget_versions();
                }
                for state in self.states.values_mut() {
                    state.reconnect(same_server);
                }
                self.stream = Some(Stream {
                    since: self.now,
                    node_sent: false,
                });
            }
            Event::Closed => {
                self.stream = None;
                self.queue.clear();
                self.abandon();
                for state in self.states.values_mut() {
                    state.reconnect(true);
                }
            }
            Event::Response(response) => {
                if self.stream.is_some() {
                    self.queue.push_back(response);
                }
            }
            Event::Subscribe(changes) => self.want(changes),
            Event::Verdict(verdict) => self.conclude(verdict, &mut actions),
            Event::Tick(now) => {
                self.now = self.now.max(now);
                self.expire(&mut actions);
            }
        }
        self.release();
        self.ask(self.pending.as_ref().map(|pending| pending.kind), &mut actions);
        self.next(&mut actions);
        actions
    }

    /// When the next [`Event::Tick`] is due, on the same scale.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let stream = self.stream.as_ref()?;
        let start = (!self.started).then_some(stream.since + self.options.timeout);
        let awaited = self.states.values().flat_map(|state| state.awaited.values()).copied();
        awaited.chain(start).min()
    }

    /// Whether a verdict is awaited. Until it came there is no use in reading more from the stream.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether a stream is open and everything that is wanted has come or counts as absent.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.started
            && self.pending.is_none()
            && self.states.values().all(|state| {
                state.awaited.is_empty() && !state.is_behind() && (!is_wildcard(state.kind) || state.answered)
            })
    }

    /// The last accepted version of each resource of a type.
    pub fn held(&self, kind: ResourceType) -> impl Iterator<Item = (&str, &str)> {
        self.states.get(&kind).into_iter().flat_map(|state| state.held.iter())
    }

    fn abandon(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.answerable = false;
        }
    }

    fn want(&mut self, changes: Changes) {
        for name in changes.unwanted {
            if let Some(state) = self.states.get_mut(&name.kind) {
                state.unwant(name.name);
            }
        }
        for name in changes.wanted {
            if let Some(state) = self.states.get_mut(&name.kind) {
                state.want(name.name);
            }
        }
    }

    /// Listeners wait for clusters and their endpoints, once, and no longer than a named resource is awaited.
    fn release(&mut self) {
        let Some(stream) = &self.stream else { return };
        if self.started {
            return;
        }
        // Where neither is asked for, nothing waits.
        let answered = self
            .states
            .get(&ResourceType::Cluster)
            .is_none_or(|state| state.answered);
        let endpoints = self
            .states
            .get(&ResourceType::ClusterLoadAssignment)
            .is_none_or(|state| state.awaited.is_empty() && !state.is_behind());
        let in_time = answered && endpoints && self.pending.is_none();
        self.started = in_time || self.now >= stream.since + self.options.timeout;
    }

    /// Counts as absent what was awaited too long.
    fn expire(&mut self, actions: &mut Vec<Action>) {
        let mut absent = Vec::new();
        for state in self.states.values_mut() {
            let now = self.now;
            let kind = state.kind;
            state.awaited.retain(|name, deadline| {
                let expired = *deadline <= now;
                if expired {
                    absent.push(ResourceName {
                        kind,
                        name: name.clone(),
                    });
                }
                !expired
            });
        }
        if !absent.is_empty() {
            actions.push(Action::Absent(absent));
        }
    }

    /// Sends what the control plane does not know yet, in order.
    fn ask(&mut self, judged: Option<ResourceType>, actions: &mut Vec<Action>) {
        let Some(stream) = &mut self.stream else { return };
        for kind in self.options.service.kinds().iter().copied() {
            // Nothing after clusters and endpoints until these came.
            let waits = !matches!(kind, ResourceType::Cluster | ResourceType::ClusterLoadAssignment);
            if waits && !self.started {
                break;
            }
            let Some(state) = self.states.get_mut(&kind) else {
                continue;
            };
            // In state of the world every request answers the newest response, so it has to wait for the verdict. So has
            // the first request of a stream, which says what is held: what is accepted later is not in it, and a server
            // would never say that it is gone.
            let waits = self.options.protocol == Protocol::StateOfTheWorld || !state.asked;
            if judged == Some(kind) && waits {
                continue;
            }
            let until = self.now + self.options.timeout;
            for request in state.ask(self.options.protocol, until) {
                actions.push(Action::Send(signed(request, stream, &self.options.node)));
            }
        }
    }

    /// Reads responses until one has to be judged.
    fn next(&mut self, actions: &mut Vec<Action>) {
        while self.pending.is_none() {
            let Some(response) = self.queue.pop_front() else { return };
            // What was not asked for on this stream cannot be answered either.
            let Some(state) = ResourceType::from_type_url(response.type_url())
                .and_then(|kind| self.states.get_mut(&kind))
                .filter(|state| state.asked)
            else {
                continue;
            };
            let read = read::read(state, response, self.options.keep_when_all_removed);
            state.nonce.clone_from(&read.nonce);
            for name in &read.delivery.answered {
                state.awaited.remove(name);
            }
            self.pending = Some(Pending {
                kind: state.kind,
                nonce: read.nonce,
                version: read.delivery.version.clone(),
                accepted: read.accepted,
                removed: read
                    .delivery
                    .update
                    .removed
                    .iter()
                    .map(|name| name.name.clone())
                    .collect(),
                rejected: read.delivery.rejected.iter().map(ToString::to_string).collect(),
                answerable: true,
            });
            actions.push(Action::Deliver(read.delivery));
        }
    }

    /// Remembers what the consumer accepted, and answers the response.
    fn conclude(&mut self, verdict: Verdict, actions: &mut Vec<Action>) {
        let Some(mut pending) = self.pending.take() else {
            self.want(verdict.changes);
            return;
        };
        let refused: BTreeSet<&str> = verdict
            .rejected
            .iter()
            .filter(|(name, _)| name.kind == pending.kind)
            .map(|(name, _)| name.name.as_str())
            .collect();
        let Some(state) = self.states.get_mut(&pending.kind) else {
            return;
        };
        for accepted in pending.accepted {
            if !refused.contains(accepted.name.as_str()) && state.wants(&accepted.name) {
                state.held.insert(accepted);
            }
        }
        for name in &pending.removed {
            state.held.remove(name);
        }
        state.answered = true;
        let reasons = verdict
            .rejected
            .iter()
            .map(|(name, reason)| format!("{name}: {reason}"));
        pending.rejected.extend(reasons);
        let refusal = request::refusal(&pending.rejected);
        if refusal.is_none() {
            state.version = pending.version;
        }
        if let Some(message) = &refusal
            && state.last_refusal.as_ref() != Some(message)
        {
            actions.push(Action::Refused {
                kind: pending.kind,
                message: message.clone(),
            });
        }
        state.last_refusal.clone_from(&refusal);

        self.want(verdict.changes);
        // First what the response makes wanted or unwanted elsewhere, then its answer, as Envoy does.
        self.release();
        self.ask(Some(pending.kind), actions);
        let Some(stream) = self.stream.as_mut().filter(|_| pending.answerable) else {
            return;
        };
        let until = self.now + self.options.timeout;
        if let Some(state) = self.states.get_mut(&pending.kind) {
            for request in state.answer(self.options.protocol, pending.nonce, refusal, until) {
                actions.push(Action::Send(signed(request, stream, &self.options.node)));
            }
        }
    }
}

/// Puts the node into the first request of a stream.
fn signed(mut request: Request, stream: &mut Stream, node: &Node) -> Request {
    if !stream.node_sent {
        stream.node_sent = true;
        match &mut request {
            Request::StateOfTheWorld(request) => request.node = Some(node.clone()),
            Request::Delta(request) => request.node = Some(node.clone()),
        }
    }
    request
}
