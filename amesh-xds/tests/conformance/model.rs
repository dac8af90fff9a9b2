//! A session and a model of a server, driven through broken streams, repeated and refused responses: in the end the
//! consumer has what the server has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use amesh_core::ResourceType;
use amesh_xds::session::{Event, Protocol, Response, is_wildcard};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use envoy_types::pb::google::protobuf::Any;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_assert_eq, prop_oneof, proptest};

use crate::support::*;

const KINDS: [ResourceType; 4] = [CDS, EDS, LDS, RDS];

/// What a server remembers of a type on a stream.
#[derive(Default)]
struct Watch {
    asked: bool,
    names: BTreeSet<String>,
    nonce: String,
    /// In delta: the versions that the client has, as far as the server knows.
    sent: BTreeMap<String, String>,
}

struct Server {
    protocol: Protocol,
    /// Version and mark of each resource.
    truth: BTreeMap<ResourceType, BTreeMap<String, (u32, u32)>>,
    watches: BTreeMap<ResourceType, Watch>,
    outbox: VecDeque<Response>,
    counter: u32,
    /// A resource that is sent broken, until it changes.
    poisoned: BTreeSet<(ResourceType, String)>,
}

fn make(kind: ResourceType, name: &str, mark: u32) -> (String, Any) {
    match kind {
        CDS => cluster(name, mark),
        EDS => endpoints(name, 1000 + mark),
        LDS => listener(name, &format!("r{}", mark % 3)),
        RDS => routes(name, &format!("host-{mark}")),
        _ => unreachable!("not in the model"),
    }
}

fn spoil(kind: ResourceType, name: &str) -> (String, Any) {
    match kind {
        CDS => bad_cluster(name),
        EDS => bad_endpoints(name),
        _ => (name.to_owned(), garbage(kind).1),
    }
}

impl Server {
    fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            truth: KINDS.into_iter().map(|kind| (kind, BTreeMap::new())).collect(),
            watches: BTreeMap::new(),
            outbox: VecDeque::new(),
            counter: 0,
            poisoned: BTreeSet::new(),
        }
    }

    fn disconnect(&mut self) {
        self.watches = KINDS.into_iter().map(|kind| (kind, Watch::default())).collect();
        self.outbox.clear();
    }

    fn set(&mut self, kind: ResourceType, name: &str, mark: Option<u32>) {
        self.change(kind, name, mark);
        self.push(kind, &[name.to_owned()].into());
    }

    fn change(&mut self, kind: ResourceType, name: &str, mark: Option<u32>) {
        self.counter += 1;
        self.poisoned.remove(&(kind, name.to_owned()));
        let resources = self.truth.get_mut(&kind).expect("a type of the model");
        match mark {
            Some(mark) => drop(resources.insert(name.to_owned(), (self.counter, mark))),
            None => drop(resources.remove(name)),
        }
    }

    /// Sends what the client has to know after these names changed.
    fn push(&mut self, kind: ResourceType, changed: &BTreeSet<String>) {
        let watch = &self.watches[&kind];
        if !watch.asked {
            return;
        }
        let wanted = |name: &String| is_wildcard(kind) || watch.names.contains(name);
        let truth = &self.truth[&kind];
        match self.protocol {
            StateOfTheWorld => {
                let all: BTreeSet<String> = if is_wildcard(kind) {
                    truth.keys().cloned().collect()
                } else {
                    changed
                        .iter()
                        .filter(|name| wanted(name) && truth.contains_key(*name))
                        .cloned()
                        .collect()
                };
                if is_wildcard(kind) || !all.is_empty() {
                    self.respond(kind, &all, &[]);
                }
            }
            Delta => {
                let stale = |(name, (version, _)): &(&String, &(u32, u32))| {
                    wanted(name) && watch.sent.get(*name) != Some(&version.to_string())
                };
                let put: BTreeSet<String> = truth.iter().filter(stale).map(|(name, _)| name.clone()).collect();
                let removed: Vec<String> = watch
                    .sent
                    .keys()
                    .filter(|name| !truth.contains_key(*name))
                    .cloned()
                    .collect();
                if !put.is_empty() || !removed.is_empty() {
                    self.respond(kind, &put, &removed);
                }
            }
        }
    }

    fn respond(&mut self, kind: ResourceType, names: &BTreeSet<String>, removed: &[String]) {
        self.counter += 1;
        let nonce = format!("n{}", self.counter);
        let watch = self.watches.get_mut(&kind).expect("a type of the model");
        watch.nonce.clone_from(&nonce);
        let truth = &self.truth[&kind];
        let resource = |name: &String| {
            if self.poisoned.contains(&(kind, name.clone())) {
                spoil(kind, name)
            } else {
                make(kind, name, truth[name].1)
            }
        };
        let resources: Vec<_> = names.iter().map(resource).collect();
        let mut message = response(self.protocol, kind, &self.counter.to_string(), &nonce, resources);
        if let Response::Delta(DeltaDiscoveryResponse {
            resources,
            removed_resources,
            ..
        }) = &mut message
        {
            for resource in resources {
                resource.version = truth[&resource.name].0.to_string();
                watch.sent.insert(resource.name.clone(), resource.version.clone());
            }
            removed_resources.extend(removed.iter().cloned());
            watch.sent.retain(|name, _| !removed.contains(name));
        }
        self.outbox.push_back(message);
    }

    fn receive(&mut self, request: Sent) {
        let kind = request.kind;
        let watch = self.watches.get_mut(&kind).expect("a type of the model");
        let first = !std::mem::replace(&mut watch.asked, true);
        match self.protocol {
            StateOfTheWorld => {
                // An answer to a response that is not the newest is stale.
                if !first && request.nonce != watch.nonce {
                    return;
                }
                // Nor does istiod look at the names of a refusal.
                if request.error.is_some() {
                    return;
                }
                let new: BTreeSet<String> = request.names.difference(&watch.names).cloned().collect();
                watch.names = request.names;
                if first || !new.is_empty() {
                    self.push(kind, &new);
                }
            }
            Delta => {
                watch.names.extend(request.names.iter().cloned());
                watch.sent.extend(request.held);
                for name in &request.unsubscribe {
                    watch.names.remove(name);
                    watch.sent.remove(name);
                }
                if request.nonce.is_empty() {
                    self.push(kind, &request.names);
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(usize, u8, Option<u32>),
    Poison(usize, u8),
    ToServer,
    ToClient,
    Repeat(usize),
    Judge { refuse: bool },
    Break,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = 0..KINDS.len();
    prop_oneof![
        3 => (kind.clone(), 0..4_u8, prop::option::weighted(0.8, 0..50_u32)).prop_map(|(kind, name, mark)| Step::Set(kind, name, mark)),
        1 => (kind.clone(), 0..4_u8).prop_map(|(kind, name)| Step::Poison(kind, name)),
        6 => Just(Step::ToServer),
        6 => Just(Step::ToClient),
        1 => kind.prop_map(Step::Repeat),
        6 => prop::bool::weighted(0.1).prop_map(|refuse| Step::Judge { refuse }),
        1 => Just(Step::Break),
    ]
}

struct World {
    harness: Harness,
    server: Server,
    requests: VecDeque<Sent>,
    refused: BTreeSet<(ResourceType, String)>,
}

impl World {
    fn collect(&mut self) {
        self.requests.extend(self.harness.take());
    }

    fn name(kind: ResourceType, index: u8) -> String {
        // Endpoints go by the name of their cluster; listener `l1` has the routes `r0`, `r1` or `r2`.
        let letter = match kind {
            LDS => 'l',
            RDS => 'r',
            _ => 'c',
        };
        format!("{letter}{index}")
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Set(kind, name, mark) => {
                let kind = KINDS[*kind];
                // Endpoints and routes that go while something refers to them are kept: that is another test.
                if mark.is_some() || is_wildcard(kind) {
                    self.server.set(kind, &Self::name(kind, *name), *mark);
                }
            }
            Step::Poison(kind, name) => {
                let (kind, name) = (KINDS[*kind], Self::name(KINDS[*kind], *name));
                self.server.change(kind, &name, Some(1));
                self.server.poisoned.insert((kind, name.clone()));
                self.server.push(kind, &[name].into());
            }
            Step::ToServer => {
                if let Some(request) = self.requests.pop_front() {
                    self.server.receive(request);
                }
            }
            Step::ToClient => {
                if let Some(response) = self.server.outbox.pop_front() {
                    self.harness.handle(Event::Response(response));
                }
            }
            Step::Repeat(kind) => {
                let kind = KINDS[*kind];
                let watch = &self.server.watches[&kind];
                if watch.asked {
                    let truth = self.server.truth[&kind].keys();
                    let names = truth
                        .filter(|name| is_wildcard(kind) || watch.names.contains(*name))
                        .cloned()
                        .collect();
                    self.server.respond(kind, &names, &[]);
                }
            }
            Step::Judge { refuse } => {
                if self.harness.session.is_busy() {
                    let delivery = self.harness.last();
                    let kind = delivery.kind;
                    let names: Vec<String> = delivery.update.put.iter().map(|put| put.name.clone()).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).filter(|_| *refuse).collect();
                    self.refused.extend(names.iter().map(|name| (kind, (*name).to_owned())));
                    let refused: Vec<_> = names.iter().map(|name| (*name, "no")).collect();
                    self.harness.refuse(&refused);
                }
            }
            Step::Break => {
                self.requests.clear();
                self.harness.take();
                self.harness.handle(Event::Closed);
                self.server.disconnect();
                self.harness.connect();
            }
        }
        self.collect();
    }

    /// Lets everything that is under way arrive.
    fn settle(&mut self) {
        for _ in 0..500 {
            let quiet = self.requests.is_empty() && self.server.outbox.is_empty() && !self.harness.session.is_busy();
            if quiet {
                return;
            }
            for step in [Step::ToServer, Step::ToClient, Step::Judge { refuse: false }] {
                self.run(&step);
            }
        }
        panic!("they never stop talking");
    }
}

fn bytes_of(server: &Server, kind: ResourceType, names: &BTreeSet<String>) -> BTreeMap<String, Vec<u8>> {
    let truth = server.truth[&kind].iter().filter(|(name, _)| names.contains(*name));
    truth
        .map(|(name, (_, mark))| (name.clone(), make(kind, name, *mark).1.value))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_consumer_ends_with_what_the_server_has(delta in proptest::bool::ANY, steps in prop::collection::vec(step(), 1..120)) {
        let protocol = if delta { Delta } else { StateOfTheWorld };
        let mut world = World {
            harness: Harness::new(protocol),
            server: Server::new(protocol),
            requests: VecDeque::new(),
            refused: BTreeSet::new(),
        };
        world.harness.manual = true;
        world.server.disconnect();
        world.harness.connect();
        // Listeners do not wait for endpoints that the server does not have.
        world.harness.tick(15);
        world.collect();
        for step in &steps {
            world.run(step);
        }
        world.settle();
        // What was refused is not sent again until it changes.
        let again: BTreeSet<_> = world.server.poisoned.iter().cloned().chain(world.refused.clone()).collect();
        for (kind, name) in again {
            if world.server.truth[&kind].contains_key(&name) {
                world.server.set(kind, &name, Some(77));
            }
        }
        world.settle();
        let all = |kind: ResourceType| world.server.truth[&kind].keys().cloned().collect::<BTreeSet<_>>();
        let routes = world.server.truth[&LDS].values().map(|(_, mark)| format!("r{}", mark % 3)).collect();
        for (kind, wanted) in [(CDS, all(CDS)), (EDS, all(CDS)), (LDS, all(LDS)), (RDS, routes)] {
            let expected = bytes_of(&world.server, kind, &wanted);
            let actual: BTreeMap<_, _> = world.harness.has(kind).into_iter()
                .map(|name| (name.clone(), world.harness.bytes(kind, &name).expect("held")))
                .collect();
            prop_assert_eq!(&actual, &expected, "{}", kind);
            // And the session agrees with its consumer about what is held.
            let held: BTreeSet<_> = world.harness.session.held(kind).map(|(name, _)| name.to_owned()).collect();
            prop_assert_eq!(held, world.harness.has(kind));
        }
    }
}
