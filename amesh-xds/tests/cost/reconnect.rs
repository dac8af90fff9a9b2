//! A stream that breaks costs the consumer nothing, as long as the control plane says the same again.

use std::collections::BTreeSet;
use std::time::Duration;

use amesh_core::{ResourceType, Snapshot, Translation, Updated, translate};
use amesh_xds::Replica;
use amesh_xds::backoff::Backoff;
use amesh_xds::server::Server;
use amesh_xds::session::{Options, Protocol};
use amesh_xds::stream::{Config, Message, run};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::mesh::{self, Mesh};
use crate::plane::Plane;
use crate::world::options;
use crate::{ENDPOINTS, ingest};

const SERVICES: usize = 20;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const ALL: [ResourceType; 4] = [
    ResourceType::Cluster,
    ResourceType::ClusterLoadAssignment,
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
];

struct Consumer {
    messages: mpsc::Receiver<Message>,
    replica: Replica,
    translation: Translation,
}

impl Consumer {
    fn start(plane: &Plane, protocol: Protocol) -> Self {
        let mut session = Options::default();
        session.protocol = protocol;
        let server = Server::new(plane.address.parse().expect("an address"));
        let mut config = Config::new(vec![server], session);
        config.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(20));
        let (sender, messages) = mpsc::channel(4);
        let (_, changes) = mpsc::channel(1);
        tokio::spawn(run(config, sender, changes));
        Self {
            messages,
            replica: Replica::new(),
            translation: translate(&Snapshot::new(), &options()),
        }
    }

    async fn message(&mut self) -> Message {
        let message = timeout(PATIENCE, self.messages.recv()).await;
        message.expect("in time").expect("the client runs")
    }

    /// The next response: its type, and what it changed of APISIX's objects and of the findings.
    async fn response(&mut self) -> (ResourceType, Updated) {
        loop {
            if let Message::Update(delivery, reply) = self.message().await {
                let (dirty, verdict) = self.replica.apply(delivery.update);
                let changes = self.translation.update(self.replica.snapshot(), &dirty);
                reply.send(verdict);
                return (delivery.kind, changes);
            }
        }
    }

    /// Until there has been a response of each of these types. Gives what all of them changed.
    async fn responses(&mut self, kinds: &[ResourceType]) -> Vec<Updated> {
        let mut awaited: BTreeSet<ResourceType> = kinds.iter().copied().collect();
        let mut changed = Vec::new();
        while !awaited.is_empty() {
            let (kind, changes) = self.response().await;
            awaited.remove(&kind);
            changed.push(changes);
        }
        changed
    }
}

/// What a control plane says again after a stream: in delta nothing that the client says it has, but for the answers to
/// wildcards.
fn said_again(protocol: Protocol, same_versions: bool) -> &'static [ResourceType] {
    match (protocol, same_versions) {
        (Protocol::Delta, true) => &[ResourceType::Cluster, ResourceType::Listener],
        _ => &ALL,
    }
}

async fn changes_nothing(mesh: &Mesh, protocol: Protocol, same_versions: bool) {
    let plane = ingest::plane_of(mesh);
    let mut consumer = Consumer::start(&plane, protocol);
    consumer.responses(&ALL).await;
    let before = consumer.translation.objects().clone();
    assert!(before.len() >= 2 * SERVICES, "{} objects", before.len());

    if !same_versions {
        // As an istiod that was restarted does.
        ingest::fill(&plane, mesh, "2");
    }
    plane.hang_up();
    while !matches!(consumer.message().await, Message::Connected(_)) {}
    let changed = consumer.responses(said_again(protocol, same_versions)).await;
    assert!(changed.iter().all(Updated::is_empty), "{changed:#?}");

    // It is not that nothing arrives any more.
    plane.version("3");
    let assignment = mesh::assignment(7, ENDPOINTS, 1);
    let kind = ResourceType::ClusterLoadAssignment;
    plane.put(kind, &assignment.cluster_name, assignment.encode_to_vec());
    plane.push(kind, &[&assignment.cluster_name]);
    let (_, changes) = consumer.response().await;
    assert_eq!(changes.changes.changes.len(), 1, "{changes:#?}");
    assert_ne!(*consumer.translation.objects(), before);
}

#[tokio::test]
async fn a_reconnect_whose_answers_are_unchanged_changes_no_object() {
    let mesh = mesh::mesh(SERVICES, ENDPOINTS);
    for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
        for same_versions in [true, false] {
            changes_nothing(&mesh, protocol, same_versions).await;
        }
    }
}
