//! The client against Istio's own control plane, where `AMESH_ISTIOD` names the harness that runs one from YAML files.

mod certificate;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/istiod.rs"]
mod istiod;

use std::path::Path;
use std::time::Duration;

use amesh_core::decode::Body;
use amesh_core::finding::ResourceName;
use amesh_core::{Dirty, ResourceType, Snapshot, dump};
use amesh_xds::Replica;
use amesh_xds::server::{Server, Tls};
use amesh_xds::session::{Options, Protocol};
use amesh_xds::stream::{Config, Message, run};
use tokio::sync::mpsc;
use tokio::time::timeout;

use istiod::{Istiod, scenario, wait_until};

const COMPARED: [ResourceType; 4] = [
    ResourceType::Cluster,
    ResourceType::ClusterLoadAssignment,
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
];

/// Starts an istiod that logs only what went wrong.
fn start(harness: &Path, config: &Path) -> Istiod {
    Istiod::start(harness, config, &["--log", "error"])
}

fn plaintext(istiod: &Istiod) -> Server {
    Server::new(istiod.plaintext().parse().expect("an address"))
}

/// The recording of a scenario: who asked, and what came.
fn recording(name: &str) -> (Options, Snapshot) {
    let file = std::fs::read(scenario(name).join("capture.json")).expect("a recording");
    let dump = dump::read(&file).expect("a dump");
    let mut options = Options::default();
    options.node = dump.node.clone().expect("a node");
    (options, Snapshot::from_resources(dump.resources))
}

struct Follower {
    messages: mpsc::Receiver<Message>,
    replica: Replica,
    /// The resource to refuse, once.
    refuse: Option<ResourceName>,
    /// Whether the connection may break.
    patient: bool,
    _changes: mpsc::Sender<amesh_xds::session::Changes>,
}

impl Follower {
    fn start(server: Server, options: Options) -> Self {
        let (sender, messages) = mpsc::channel(4);
        let (changes, receiver) = mpsc::channel(4);
        tokio::spawn(run(Config::new(vec![server], options), sender, receiver));
        Self {
            messages,
            replica: Replica::with_sds(["sds-grpc"]),
            refuse: None,
            patient: false,
            _changes: changes,
        }
    }

    /// Follows until something is told for which `enough` says so.
    async fn until(&mut self, mut enough: impl FnMut(&Message, &Dirty) -> bool) {
        let ends = async {
            while let Some(message) = self.messages.recv().await {
                let (shown, dirty) = match message {
                    Message::Update(mut delivery, reply) => {
                        assert_eq!(delivery.rejected, [], "istiod's own resources are good");
                        let refused = self.refuse.take_if(|name| {
                            delivery
                                .update
                                .put
                                .iter()
                                .any(|put| put.body.kind() == name.kind && put.name == name.name)
                        });
                        if let Some(name) = &refused {
                            delivery.update.put.retain(|put| put.name != name.name);
                        }
                        let (dirty, mut verdict) = self.replica.apply(delivery.update);
                        verdict.rejected = refused
                            .into_iter()
                            .map(|name| (name, "refused by a test".to_owned()))
                            .collect();
                        reply.send(verdict);
                        (Message::Absent(Vec::new()), dirty)
                    }
                    Message::Disconnected { error, .. } if !self.patient => panic!("{error:?}"),
                    other => (other, Dirty::default()),
                };
                if enough(&shown, &dirty) {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(20), ends).await.expect("in time");
    }

    async fn complete(&mut self) {
        self.until(|message, _| matches!(message, Message::Complete)).await;
    }
}

/// Lists that istiod sends in random order are compared by their length.
fn same(left: &Body, right: &Body) -> bool {
    let mixed = |body: &Body| format!("{body:?}").len();
    left == right || mixed(left) == mixed(right)
}

fn assert_same(left: &Snapshot, right: &Snapshot, what: &str) {
    for kind in COMPARED {
        let names = |snapshot: &Snapshot| {
            snapshot
                .resources(kind)
                .map(|held| held.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(left), names(right), "{kind} {what}");
        for (one, other) in left.resources(kind).zip(right.resources(kind)) {
            assert!(same(&one.body, &other.body), "{kind} {} {what}", one.name);
        }
    }
}

#[tokio::test]
async fn both_protocols_with_and_without_tls_get_what_was_recorded() {
    let Some(harness) = istiod::harness() else { return };
    for name in ["01-bookinfo-default", "02-request-routing"] {
        let istiod = start(&harness, &scenario(name).join("config"));
        let token = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(token.path(), "default/bookinfo-productpage").expect("a file");
        let mut secure = Server::new(istiod.secure().parse().expect("an address"));
        let mut tls = Tls::new(istiod.root_cert());
        tls.server_name = Some("istiod.istio-system.svc".to_owned());
        secure.tls = Some(tls);
        secure.token = Some(token.path().to_owned());
        let (options, recorded) = recording(name);
        for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
            for server in [plaintext(&istiod), secure.clone()] {
                let what = format!("{name} {protocol:?} tls {}", server.tls.is_some());
                let mut options = options.clone();
                options.protocol = protocol;
                let mut follower = Follower::start(server, options);
                follower.complete().await;
                assert!(follower.replica.snapshot().count(ResourceType::Cluster) > 10, "{what}");
                assert_same(follower.replica.snapshot(), &recorded, &what);
            }
        }
    }
}

#[tokio::test]
async fn a_change_is_pushed_and_a_refusal_reaches_istiod() {
    let Some(harness) = istiod::harness() else { return };
    for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
        let istiod = start(&harness, &scenario("01-bookinfo-default").join("config"));
        let (mut options, _) = recording("01-bookinfo-default");
        options.protocol = protocol;
        let id = options.node.id.clone();
        let mut follower = Follower::start(plaintext(&istiod), options);
        follower.complete().await;
        let clusters = follower.replica.snapshot().count(ResourceType::Cluster);

        // A service that is new brings a cluster, and its endpoints are followed.
        let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: extra, namespace: default}\nspec:\n  hosts: [extra.example]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  ports: [{number: 8080, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.9.9.9}]\n";
        istiod.write("extra.yaml", entry).expect("a file");
        let endpoints = ResourceName {
            kind: ResourceType::ClusterLoadAssignment,
            name: "outbound|8080||extra.example".to_owned(),
        };
        let routes = ResourceName {
            kind: ResourceType::RouteConfiguration,
            name: "8080".to_owned(),
        };
        let mut changed = Vec::new();
        follower
            .until(|_, dirty| {
                changed.extend(dirty.changed.iter().cloned());
                // The routes of the listener that its port brings come last.
                changed.contains(&endpoints) && changed.contains(&routes)
            })
            .await;
        assert_eq!(
            follower.replica.snapshot().count(ResourceType::Cluster),
            clusters + 1,
            "{protocol:?}"
        );

        // A change of an endpoint changes its endpoints and nothing else.
        istiod
            .write("extra.yaml", &entry.replace("10.9.9.9", "10.9.9.8"))
            .expect("a file");
        let mut changed = Vec::new();
        follower
            .until(|_, dirty| {
                changed.extend(dirty.changed.iter().cloned());
                dirty.changed.contains(&endpoints)
            })
            .await;
        assert_eq!(changed, std::slice::from_ref(&endpoints), "{protocol:?}");

        // What is refused is in istiod's own books, and the last good version stays.
        let cluster = ResourceName {
            kind: ResourceType::Cluster,
            ..endpoints.clone()
        };
        let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: extra, namespace: default}\nspec:\n  host: extra.example\n  trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}\n";
        let before = follower.replica.snapshot().get(&cluster).cloned();
        follower.refuse = Some(cluster.clone());
        istiod.write("rule.yaml", rule).expect("a file");
        follower
            .until(|message, _| matches!(message, Message::Refused(..)))
            .await;
        assert_eq!(follower.replica.snapshot().get(&cluster), before.as_ref());
        let pod = id.split('~').nth(2).unwrap_or_default();
        let told = || {
            let books = istiod.get("/debug/syncz");
            books.contains("refused by a test") && books.contains(pod)
        };
        assert!(wait_until(told), "{}", istiod.get("/debug/syncz"));

        // The next push is used.
        istiod.write("rule.yaml", &rule.replace('7', "8")).expect("a file");
        follower.until(|_, dirty| dirty.changed.contains(&cluster)).await;

        // And what is gone takes its endpoints along.
        istiod.remove("extra.yaml").expect("the file");
        follower.until(|_, dirty| dirty.changed.contains(&cluster)).await;
        assert_eq!(follower.replica.snapshot().get(&cluster), None);
        assert_eq!(follower.replica.snapshot().get(&endpoints), None);
        assert_eq!(follower.replica.snapshot().count(ResourceType::Cluster), clusters);
    }
}

#[tokio::test]
async fn an_istiod_that_is_restarted_changes_nothing_until_something_changes() {
    let Some(harness) = istiod::harness() else { return };
    let config = scenario("01-bookinfo-default").join("config");
    for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
        let istiod = start(&harness, &config);
        let address = istiod.plaintext().to_owned();
        let (mut options, _) = recording("01-bookinfo-default");
        options.protocol = protocol;
        let mut follower = Follower::start(plaintext(&istiod), options);
        follower.complete().await;
        follower.patient = true;
        drop(istiod);
        follower
            .until(|message, _| matches!(message, Message::Disconnected { .. }))
            .await;
        let clusters = follower.replica.snapshot().count(ResourceType::Cluster);

        let istiod = Istiod::start(&harness, &config, &["--log", "error", "--listen", &address]);
        let mut changed = Vec::new();
        let mut updates = 0;
        follower
            .until(|message, dirty| {
                changed.extend(dirty.changed.iter().cloned());
                // An update is shown as an empty list. There is one for each type.
                updates += usize::from(matches!(message, Message::Absent(names) if names.is_empty()));
                updates == COMPARED.len()
            })
            .await;
        assert_eq!(changed, [], "{protocol:?}");
        assert_eq!(follower.replica.snapshot().count(ResourceType::Cluster), clusters);

        let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: late, namespace: default}\nspec:\n  hosts: [late.example]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  ports: [{number: 8080, name: http, protocol: HTTP}]\n  endpoints: [{address: 10.9.9.9}]\n";
        istiod.write("late.yaml", entry).expect("a file");
        let late = ResourceName {
            kind: ResourceType::Cluster,
            name: "outbound|8080||late.example".to_owned(),
        };
        follower.until(|_, dirty| dirty.changed.contains(&late)).await;
    }
}

#[tokio::test]
async fn a_gateways_certificate_is_rotated() {
    let Some(harness) = istiod::harness() else { return };
    let config = scenario("15-ingress-tls").join("config");
    let secrets = std::fs::read_to_string(config.join("secrets.yaml")).expect("secrets");
    // One gets the certificate and the key of the other.
    let mut documents: Vec<&str> = secrets.split("---\n").collect();
    let other = documents[1].replace("name: helloworld-credential", "name: httpbin-credential");
    assert_ne!(documents[0], other);
    documents[0] = &other;
    let rotated = documents.join("---\n");
    let name = ResourceName {
        kind: ResourceType::Secret,
        name: "kubernetes://httpbin-credential".to_owned(),
    };
    for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
        let istiod = start(&harness, &config);
        let token = tempfile::NamedTempFile::new().expect("a file");
        let file = std::fs::read(scenario("15-ingress-tls").join("capture-router.json")).expect("a recording");
        let mut options = Options::default();
        options.node = dump::read(&file).expect("a dump").node.expect("a node");
        options.protocol = protocol;
        let account = "istio-system/istio-ingressgateway-service-account";
        let server = certificate::secure(&istiod, token.path(), account);
        let mut follower = Follower::start(server, options);
        follower.complete().await;
        let before = follower.replica.snapshot().get(&name).cloned().expect("the secret");
        istiod.write("secrets.yaml", &rotated).expect("a file");
        let mut changed = Vec::new();
        follower
            .until(|_, dirty| {
                changed.extend(dirty.changed.iter().cloned());
                dirty.changed.contains(&name)
            })
            .await;
        assert_eq!(changed, std::slice::from_ref(&name), "{protocol:?}");
        let after = follower.replica.snapshot().get(&name).cloned().expect("the secret");
        assert_ne!(before, after, "{protocol:?}");
    }
}
