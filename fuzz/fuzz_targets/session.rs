//! Any bytes as what happens to a session and its consumer: responses of any content, verdicts, broken streams, time.
//!
//! Resources of the fixtures are at hand, whole or with a byte changed, so that what is sent is often worth reading.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use amesh_core::envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource as Wrapper,
};
use amesh_core::envoy_types::pb::google::protobuf::Any;
use amesh_core::finding::ResourceName;
use amesh_core::{ResourceType, Update, dump};
use amesh_xds::Replica;
use amesh_xds::session::{
    Action, Changes, Delivery, Event, ORDER, Options, Protocol, Request, Response, Session, Verdict,
};
use libfuzzer_sys::fuzz_target;
use prost::{Message as _, Name as _};

/// The longest message that a control plane is told, in bytes.
const LONGEST: usize = 2048;

/// Type, name and bytes of every resource in the fixtures.
static POOL: LazyLock<Vec<(ResourceType, String, Vec<u8>)>> = LazyLock::new(|| {
    let mut pool = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the fixtures") {
            let path = entry.expect("a fixture").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".in.yaml") {
                let text = std::fs::read(&path).expect("a fixture");
                let resources = dump::read(&text).map(|dump| dump.resources).unwrap_or_default();
                pool.extend(
                    resources
                        .into_iter()
                        .map(|one| (one.body.kind(), one.name, one.body.encode())),
                );
            }
        }
    }
    // The order of a folder is the machine's own.
    pool.sort();
    assert!(pool.len() > 100, "only {} resources in the fixtures", pool.len());
    pool
});

/// What is left of the input. Zeros, when nothing is.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    fn index(&mut self, below: usize) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % below
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.index(2048).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_vec()
    }

    fn kind(&mut self) -> ResourceType {
        ORDER[usize::from(self.byte()) % ORDER.len()]
    }

    fn name(&mut self, kind: ResourceType) -> ResourceName {
        let at = self.index(POOL.len());
        let name = POOL[at..].iter().chain(&POOL[..at]).find(|(of, _, _)| *of == kind);
        let name = name.map_or_else(|| "nobody".to_owned(), |(_, name, _)| name.clone());
        ResourceName { kind, name }
    }

    /// A resource with the name that its wrapper has.
    fn resource(&mut self, kind: ResourceType) -> Wrapper {
        let how = self.byte();
        let url = |kind: ResourceType| format!("type.googleapis.com/{}", kind.message());
        let (name, type_url, value) = if how & 1 == 0 {
            // Of the type of the response, as a rule.
            let kind = if how & 14 == 14 { self.kind() } else { kind };
            let at = self.index(POOL.len());
            let found = POOL[at..].iter().chain(&POOL[..at]).find(|(of, _, _)| *of == kind);
            let (_, name, bytes) = found.unwrap_or(&POOL[at]);
            let mut bytes = bytes.clone();
            if how & 48 == 48 && !bytes.is_empty() {
                let at = self.index(bytes.len());
                bytes[at] ^= self.byte();
            }
            (name.clone(), url(kind), bytes)
        } else {
            let type_url = if how & 6 == 6 {
                String::from_utf8_lossy(&self.bytes()).into_owned()
            } else {
                url(kind)
            };
            ("any".to_owned(), type_url, self.bytes())
        };
        Wrapper {
            name: if how & 64 == 0 { name } else { self.name(kind).name },
            version: self.byte().to_string(),
            resource: (how & 128 == 0 || how & 8 == 0).then_some(Any { type_url, value }),
            ..Wrapper::default()
        }
    }

    fn response(&mut self, delta: bool, nonce: String) -> Response {
        let how = self.byte();
        if how & 7 == 7 {
            let bytes = self.bytes();
            if delta {
                let response = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap_or_default();
                return Response::Delta(DeltaDiscoveryResponse { nonce, ..response });
            }
            let response = DiscoveryResponse::decode(bytes.as_slice()).unwrap_or_default();
            return Response::StateOfTheWorld(DiscoveryResponse { nonce, ..response });
        }
        let kind = self.kind();
        let resources: Vec<Wrapper> = (0..self.byte() % 6).map(|_| self.resource(kind)).collect();
        let type_url = format!(
            "type.googleapis.com/{}{}",
            kind.message(),
            if how == 64 { "s" } else { "" }
        );
        if delta {
            return Response::Delta(DeltaDiscoveryResponse {
                resources,
                type_url,
                nonce,
                removed_resources: (0..self.byte() % 4).map(|_| self.name(kind).name).collect(),
                ..DeltaDiscoveryResponse::default()
            });
        }
        let wrap = |resource: Wrapper| Any {
            type_url: format!("type.googleapis.com/{}", Wrapper::full_name()),
            value: resource.encode_to_vec(),
        };
        let bare = |resource: Wrapper| resource.resource.unwrap_or_default();
        Response::StateOfTheWorld(DiscoveryResponse {
            version_info: nonce.clone(),
            resources: resources
                .into_iter()
                .map(if how & 8 == 0 { bare } else { wrap })
                .collect(),
            type_url,
            nonce,
            ..DiscoveryResponse::default()
        })
    }
}

/// A request, as far as both variants have it.
struct Sent {
    url: String,
    nonce: String,
    error: Option<String>,
    version: Option<String>,
    has_node: bool,
}

impl From<Request> for Sent {
    fn from(request: Request) -> Self {
        match request {
            Request::StateOfTheWorld(DiscoveryRequest {
                type_url,
                response_nonce,
                error_detail,
                version_info,
                node,
                ..
            }) => Self {
                url: type_url,
                nonce: response_nonce,
                error: error_detail.map(|status| status.message),
                version: Some(version_info),
                has_node: node.is_some(),
            },
            Request::Delta(request) => {
                let DeltaDiscoveryRequest {
                    resource_names_subscribe: more,
                    resource_names_unsubscribe: less,
                    ..
                } = &request;
                assert!(
                    more.iter().all(|name| !less.contains(name)),
                    "asked for and taken back: {request:?}"
                );
                Self {
                    url: request.type_url,
                    nonce: request.response_nonce,
                    error: request.error_detail.map(|status| status.message),
                    version: None,
                    has_node: request.node.is_some(),
                }
            }
        }
    }
}

struct World {
    protocol: Protocol,
    session: Session,
    replica: Replica,
    now: Duration,
    /// Whether a stream is open, and whether anything was sent on it.
    stream: Option<bool>,
    /// The delivery that waits for a verdict, its nonce, and whether its stream is still open.
    pending: Option<(Delivery, String, bool)>,
    /// The nonces on this stream of the responses that no delivery came from yet, in order.
    queued: Vec<(String, String)>,
    /// The nonces of this stream that were answered.
    answered: BTreeSet<String>,
    /// The version of the last response of each type that was accepted whole.
    accepted: BTreeMap<ResourceType, String>,
}

impl World {
    /// A new stream, or none.
    fn reset(&mut self) {
        self.queued.clear();
        self.answered.clear();
        if let Some((_, _, open)) = &mut self.pending {
            *open = false;
        }
    }

    /// Lets the session take an event, and gives what was sent.
    fn handle(&mut self, event: Event) -> Vec<Sent> {
        let mut sent = Vec::new();
        for action in self.session.handle(event) {
            match action {
                Action::Send(request) => {
                    let first = self.stream.replace(true).expect("a request without a stream");
                    let request = Sent::from(request);
                    assert_eq!(
                        request.has_node, !first,
                        "the node goes with the first request, and no other"
                    );
                    assert!(
                        request
                            .error
                            .as_ref()
                            .is_none_or(|error| !error.is_empty() && error.len() <= LONGEST)
                    );
                    if let Some(version) = &request.version
                        && self.pending.is_none()
                    {
                        let kind = ResourceType::from_type_url(&request.url).expect("a type that is known");
                        assert_eq!(version, self.accepted.get(&kind).map_or("", String::as_str));
                    }
                    let early = self
                        .queued
                        .iter()
                        .any(|(_, nonce)| !nonce.is_empty() && *nonce == request.nonce);
                    assert!(!early, "answered before it was delivered");
                    sent.push(request);
                }
                Action::Deliver(delivery) => {
                    assert!(self.pending.is_none(), "two deliveries at once");
                    let url = format!("type.googleapis.com/{}", delivery.kind.message());
                    // What was not asked for is passed over.
                    let at = self
                        .queued
                        .iter()
                        .position(|(of, _)| *of == url)
                        .expect("a response of that type");
                    let (_, nonce) = self.queued.drain(..=at).next_back().expect("the one found");
                    self.pending = Some((delivery, nonce, true));
                }
                Action::Refused { message, .. } => assert!(!message.is_empty() && message.len() <= LONGEST),
                Action::Absent(names) => assert!(!names.is_empty()),
            }
        }
        assert_eq!(self.session.is_busy(), self.pending.is_some());
        assert!(
            self.session.deadline().is_none_or(|deadline| deadline > self.now),
            "a time that is past is awaited"
        );
        if self.pending.is_none() {
            self.queued.clear();
            self.agree();
        }
        sent
    }

    /// The session and its consumer hold the same, and endpoints and routes only where something refers to them.
    fn agree(&self) {
        let snapshot = self.replica.snapshot();
        for kind in ORDER {
            let held = self.session.held(kind).map(|(name, _)| name);
            assert!(
                held.eq(snapshot.resources(kind).map(|resource| resource.name.as_str())),
                "{kind}"
            );
        }
        for kind in [ResourceType::ClusterLoadAssignment, ResourceType::RouteConfiguration] {
            for resource in snapshot.resources(kind) {
                let name = ResourceName {
                    kind,
                    name: resource.name.clone(),
                };
                assert!(snapshot.referrers(&name).next().is_some(), "{name} is held for nothing");
            }
        }
    }

    fn judge(&mut self, refuse: u8) {
        let Some((delivery, nonce, open)) = self.pending.take() else {
            // A consumer that speaks unasked.
            self.handle(Event::Verdict(Verdict::default()));
            return;
        };
        let mut update = delivery.update;
        let mut refused = Vec::new();
        let mut index = 0;
        update.put.retain(|put| {
            let keep = refuse & 1 << (index % 8) == 0;
            index += 1;
            if !keep {
                let name = ResourceName {
                    kind: delivery.kind,
                    name: put.name.clone(),
                };
                refused.push((name, "no".repeat(usize::from(refuse) * 9)));
            }
            keep
        });
        let bad = !refused.is_empty() || !delivery.rejected.is_empty();
        if !bad {
            self.accepted.insert(delivery.kind, delivery.version);
        }
        let (_, mut verdict) = self.replica.apply(update);
        verdict.rejected = refused;
        let sent = self.handle(Event::Verdict(verdict));
        let url = format!("type.googleapis.com/{}", delivery.kind.message());
        let of_type = sent.iter().filter(|sent| sent.url == url);
        let answers: Vec<&Sent> = of_type
            .filter(|sent| sent.nonce == nonce && !nonce.is_empty())
            .collect();
        if !open || nonce.is_empty() {
            assert!(answers.is_empty(), "an answer on another stream");
            return;
        }
        assert!(self.answered.insert(nonce), "answered twice");
        let refusals = answers.iter().filter(|sent| sent.error.is_some()).count();
        assert_eq!(refusals, usize::from(bad), "refused once, or not at all");
        let first = answers.first().expect("an answer");
        assert_eq!(first.error.is_some(), bad, "the answer comes first");
        match &first.version {
            None => assert_eq!(answers.len(), 1),
            // Of a refusal, the one before.
            Some(version) => assert_eq!(version, self.accepted.get(&delivery.kind).map_or("", String::as_str)),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input(input);
    let how = input.byte();
    let mut options = Options::default();
    options.protocol = if how & 1 == 0 {
        Protocol::StateOfTheWorld
    } else {
        Protocol::Delta
    };
    options.keep_when_all_removed = how & 2 != 0;
    let mut world = World {
        protocol: options.protocol,
        session: Session::new(options),
        replica: Replica::new(),
        now: Duration::ZERO,
        stream: None,
        pending: None,
        queued: Vec::new(),
        answered: BTreeSet::new(),
        accepted: BTreeMap::new(),
    };
    let mut number = 0;
    while !input.0.is_empty() {
        match input.byte() % 16 {
            // Every stream begins with a connection; most responses come while one is open.
            step @ (0 | 1) => {
                if step == 0 || world.stream.is_none() {
                    world.stream = Some(false);
                    world.reset();
                    let same_server = input.byte() & 1 == 0;
                    if !same_server {
                        world.accepted.clear();
                        if let Some((delivery, _, _)) = &mut world.pending {
                            delivery.version.clear();
                        }
                    }
                    world.handle(Event::Connected { same_server });
                } else {
                    world.stream = None;
                    world.reset();
                    world.handle(Event::Closed);
                }
            }
            2 => {
                world.now += Duration::from_millis(u64::from(input.byte()) * 100);
                world.handle(Event::Tick(world.now));
            }
            3 => {
                let kind = if input.byte() & 1 == 0 {
                    ResourceType::Secret
                } else {
                    ResourceType::TypedExtensionConfig
                };
                let name = BTreeSet::from([input.name(kind)]);
                let mut changes = Changes::default();
                // Who takes back what is being delivered has to take it out of the delivery: not shown here.
                if world.pending.is_none() && input.byte() & 1 == 0 {
                    world.replica.apply(Update {
                        put: Vec::new(),
                        removed: name.iter().cloned().collect(),
                    });
                    changes.unwanted = name;
                } else {
                    changes.wanted = name;
                }
                world.handle(Event::Subscribe(changes));
            }
            4..=10 => {
                number += 1;
                let how = input.byte();
                let nonce = if how & 31 == 31 {
                    String::new()
                } else {
                    format!("n{number}")
                };
                // A server that answers in the other variant is none, but must not bring anybody down.
                let delta = (world.protocol == Protocol::Delta) != (how & 224 == 224);
                let response = input.response(delta, nonce.clone());
                let url = match &response {
                    Response::StateOfTheWorld(response) => response.type_url.clone(),
                    Response::Delta(response) => response.type_url.clone(),
                };
                // The prefix of a type is of no account.
                let kind = ResourceType::from_type_url(&url).filter(|_| world.stream.is_some());
                let url = kind.map(|kind| format!("type.googleapis.com/{}", kind.message()));
                world.queued.extend(url.map(|url| (url, nonce)));
                world.handle(Event::Response(response));
            }
            11..=14 => world.judge(0),
            _ => {
                let refuse = input.byte();
                world.judge(refuse);
            }
        }
    }
    // Whatever came before, a session that is answered comes to rest.
    for _ in 0..=number {
        world.judge(0);
    }
    assert!(!world.session.is_busy());
});
