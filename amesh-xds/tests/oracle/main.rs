//! A real Envoy and this client with the same control plane: they ask the same, but where `docs/xds.md` says otherwise.
//!
//! The Envoy is the program that `AMESH_ENVOY` names.

mod difference;
mod envoy;
#[path = "../support/plane.rs"]
mod plane;
mod resource;
mod script;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use amesh_core::ResourceType;
pub(crate) use amesh_core::ResourceType::{
    Cluster as CDS, ClusterLoadAssignment as EDS, Listener as LDS, RouteConfiguration as RDS, Secret as SDS,
};
use amesh_xds::Replica;
use amesh_xds::server::Server;
use amesh_xds::session::{Options, Protocol};
use amesh_xds::stream::{Config, Message, run};
use tokio::sync::mpsc;

use difference::DIFFERENCES;
use envoy::Envoy;
use plane::{Asked, Plane};
use script::Play;

/// As long as it takes until something is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// When nothing is asked for that long, nothing more comes.
const QUIET: Duration = Duration::from_millis(600);

/// A client of the control plane, which runs until it is dropped.
enum Client {
    Envoy(Envoy),
    Amesh { _runtime: tokio::runtime::Runtime },
}

impl Client {
    fn amesh(protocol: Protocol, plane: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let server = Server::new(plane.parse().expect("an address"));
        let mut options = Options::default();
        options.protocol = protocol;
        runtime.spawn(async move {
            let (sender, mut messages) = mpsc::channel(4);
            let (_, changes) = mpsc::channel(1);
            let client = tokio::spawn(run(Config::new(vec![server], options), sender, changes));
            let mut replica = Replica::new();
            while let Some(message) = messages.recv().await {
                if let Message::Update(delivery, reply) = message {
                    let (_, verdict) = replica.apply(delivery.update);
                    reply.send(verdict);
                }
            }
            client.await
        });
        Self::Amesh { _runtime: runtime }
    }

    fn complaint(&mut self) -> String {
        match self {
            Self::Envoy(envoy) => envoy.complaint(),
            Self::Amesh { .. } => "it runs in this process".to_owned(),
        }
    }
}

/// A short name of a type.
fn short(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Cluster => "CDS",
        ResourceType::ClusterLoadAssignment => "EDS",
        ResourceType::Listener => "LDS",
        ResourceType::RouteConfiguration => "RDS",
        ResourceType::Secret => "SDS",
        ResourceType::TypedExtensionConfig => "ECDS",
    }
}

/// A request without what differs from run to run: the nonce itself, the words of an error, the order of names.
fn line(asked: &Asked) -> String {
    let what = match (&asked.error, asked.nonce.is_empty()) {
        (Some(_), _) => "refuses",
        (None, true) => "asks",
        (None, false) => "answers",
    };
    let mut words = vec![short(asked.kind).to_owned(), what.to_owned()];
    if !asked.version.is_empty() {
        words.push(format!("at {}", asked.version));
    }
    if asked.has_node {
        words.push("with node".to_owned());
    }
    words.extend(asked.names.iter().map(|name| format!("+{name}")));
    words.extend(asked.unsubscribe.iter().map(|name| format!("-{name}")));
    words.extend(asked.held.iter().map(|(name, version)| format!("{name}={version}")));
    words.join(" ")
}

/// What is asked until it is quiet.
fn listen(plane: &Plane, client: &mut Client, step: &str) -> Vec<String> {
    let began = Instant::now();
    let mut seen = 0;
    let mut since = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(10));
        let count = plane.count();
        if count != seen {
            seen = count;
            since = Instant::now();
        }
        if seen > 0 && since.elapsed() > QUIET {
            return plane.take().iter().map(line).collect();
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{step}: {seen} requests in {PATIENCE:?}; {}",
            client.complaint()
        );
    }
}

/// What a client asks in each step.
fn play(play: &Play, protocol: Protocol, start: impl Fn(&str) -> Client) -> Vec<(&'static str, Vec<String>)> {
    let plane = Plane::start();
    (play.begin)(&plane);
    let mut client = start(&plane.address);
    let mut heard = vec![(play.start, listen(&plane, &mut client, play.start))];
    for step in play.steps.iter().filter(|step| step.in_variants.contains(&protocol)) {
        (step.act)(&plane, protocol);
        heard.push((step.name, listen(&plane, &mut client, step.name)));
    }
    heard
}

/// The Envoy to compare with; without one, says on the terminal that the test was skipped.
fn binary() -> Option<PathBuf> {
    let binary = std::env::var_os("AMESH_ENVOY").map(PathBuf::from);
    if binary.is_none() {
        use std::io::Write as _;
        let mut terminal = std::io::stderr();
        writeln!(
            terminal,
            "SKIPPED: AMESH_ENVOY is not set; it is a real Envoy to compare requests with"
        )
        .expect("a terminal");
    }
    binary
}

/// Plays the script to both, and compares.
fn compare(protocol: Protocol, binary: &Path) {
    let all = |start: fn(&Path, Protocol, &str) -> Client| -> Vec<_> {
        let play = |one| play(one, protocol, |plane| start(binary, protocol, plane));
        script::PLAYS.iter().flat_map(play).collect()
    };
    // Both mostly wait.
    let (envoy, amesh) = std::thread::scope(|scope| {
        let envoy = scope.spawn(|| all(|binary, protocol, plane| Client::Envoy(Envoy::start(binary, protocol, plane))));
        let amesh = all(|_, protocol, plane| Client::amesh(protocol, plane));
        (envoy.join().expect("Envoy plays"), amesh)
    });
    let mut problems = Vec::new();
    for ((step, theirs), (_, ours)) in envoy.iter().zip(&amesh) {
        let text = format!("{protocol:?}, {step}\n  Envoy: {theirs:#?}\n  amesh: {ours:#?}");
        println!("{text}");
        let listed = DIFFERENCES
            .iter()
            .find(|one| one.protocol == protocol && one.step == *step);
        match listed {
            None if theirs == ours => {}
            None => problems.push(format!("not listed: {text}")),
            Some(_) if theirs == ours => problems.push(format!("listed, and they are the same: {text}")),
            Some(listed) if listed.envoy == *theirs && listed.amesh == *ours => {}
            Some(_) => problems.push(format!("listed otherwise: {text}")),
        }
    }
    for listed in DIFFERENCES.iter().filter(|one| one.protocol == protocol) {
        if envoy.iter().all(|(step, _)| *step != listed.step) {
            problems.push(format!("listed, and not played in {protocol:?}: {}", listed.step));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn xds_55_a_real_envoy_asks_the_same_in_state_of_the_world() {
    if let Some(binary) = binary() {
        compare(Protocol::StateOfTheWorld, &binary);
    }
}

#[test]
fn xds_55_a_real_envoy_asks_the_same_in_delta() {
    if let Some(binary) = binary() {
        compare(Protocol::Delta, &binary);
    }
}

#[test]
fn every_difference_is_in_the_docs() {
    let docs = include_str!("../../../docs/xds.md")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let plays = script::PLAYS.iter();
    let steps: BTreeSet<&str> = plays
        .flat_map(|play| play.steps.iter().map(|step| step.name).chain([play.start]))
        .collect();
    for difference in DIFFERENCES {
        assert!(steps.contains(difference.step), "no step {:?}", difference.step);
        let reason = difference.because;
        assert!(docs.contains(reason), "docs/xds.md does not say {reason:?}");
    }
}
