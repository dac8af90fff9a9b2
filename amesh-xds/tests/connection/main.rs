//! The client over a network: a mock control plane that misbehaves on purpose.

mod mock;
mod tls;

use std::collections::BTreeSet;
use std::time::Duration;

use amesh_core::ResourceType;
use amesh_core::finding::ResourceName;
use amesh_xds::Replica;
use amesh_xds::backoff::Backoff;
use amesh_xds::server::Server;
use amesh_xds::session::{Changes, Options, Protocol};
use amesh_xds::stream::{Config, Error, Message, run};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use mock::{Sotw, serve, serve_with};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn server(address: &str) -> Server {
    Server::new(address.parse().expect("an address"))
}

pub(crate) fn config(servers: Vec<Server>) -> Config {
    let mut options = Options::default();
    "sidecar~10.0.0.1~a.b~b.svc.cluster.local".clone_into(&mut options.node.id);
    let mut config = Config::new(servers, options);
    config.backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
    config.connect_timeout = Duration::from_secs(5);
    config
}

/// A client with a consumer that accepts everything, and what the consumer is told otherwise.
pub(crate) struct Consumer {
    messages: mpsc::Receiver<Message>,
    pub(crate) changes: mpsc::Sender<Changes>,
    replica: Replica,
    task: JoinHandle<()>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Consumer {
    pub(crate) fn start(config: Config) -> Self {
        let (sender, messages) = mpsc::channel(4);
        let (changes, receiver) = mpsc::channel(4);
        Self {
            messages,
            changes,
            replica: Replica::new(),
            task: tokio::spawn(run(config, sender, receiver)),
        }
    }

    async fn message(&mut self) -> Message {
        let message = timeout(PATIENCE, self.messages.recv()).await;
        message.expect("in time").expect("the client runs")
    }

    /// The names of an update that is accepted.
    pub(crate) async fn update(&mut self) -> BTreeSet<String> {
        loop {
            if let Message::Update(delivery, reply) = self.message().await {
                let names = delivery.update.put.iter().map(|put| put.name.clone()).collect();
                let (_, verdict) = self.replica.apply(delivery.update);
                reply.send(verdict);
                return names;
            }
        }
    }

    /// Why there is no connection, and when the next try is.
    pub(crate) async fn disconnected(&mut self) -> (Option<Error>, Duration) {
        loop {
            match self.message().await {
                Message::Disconnected { error, retry, .. } => return (error, retry),
                Message::Update(delivery, reply) => {
                    let (_, verdict) = self.replica.apply(delivery.update);
                    reply.send(verdict);
                }
                _ => {}
            }
        }
    }
}

fn any(cluster: &Cluster) -> Any {
    Any {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        value: cluster.encode_to_vec(),
    }
}

fn named(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        ..Cluster::default()
    }
}

pub(crate) fn clusters(version: &str, names: &[&str]) -> DiscoveryResponse {
    DiscoveryResponse {
        version_info: version.to_owned(),
        nonce: version.to_owned(),
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        resources: names.iter().map(|name| any(&named(name))).collect(),
        ..DiscoveryResponse::default()
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The first request, and an answer with these clusters.
async fn greet(stream: &mut Sotw, version: &str, names: &[&str]) {
    let first = stream.request().await;
    assert!(first.node.is_some() && first.type_url.ends_with("Cluster"));
    stream.answer(clusters(version, names)).await;
}

#[tokio::test]
async fn pr_01_state_of_the_world_over_tcp() {
    let (address, mut mock) = serve().await;
    let mut consumer = Consumer::start(config(vec![server(&address)]));
    let mut stream = mock.sotw.recv().await.expect("a stream");
    assert_eq!(stream.token, None);
    greet(&mut stream, "1", &["c"]).await;
    assert_eq!(consumer.update().await, set(&["c"]));
    assert!(stream.request().await.type_url.ends_with("Listener"));
    let ack = stream.request().await;
    assert_eq!(
        (ack.version_info.as_str(), ack.response_nonce.as_str(), ack.node),
        ("1", "1", None)
    );
}

#[tokio::test]
async fn pr_01_delta_over_tcp() {
    let (address, mut mock) = serve().await;
    let mut settings = config(vec![server(&address)]);
    settings.session.protocol = Protocol::Delta;
    let mut consumer = Consumer::start(settings);
    let mut stream = mock.delta.recv().await.expect("a stream");
    let first = stream.request().await;
    assert!(first.node.is_some() && first.resource_names_subscribe.is_empty());
    stream
        .answer(DeltaDiscoveryResponse {
            nonce: "n".to_owned(),
            type_url: first.type_url.clone(),
            resources: vec![Resource {
                name: "c".to_owned(),
                version: "1".to_owned(),
                resource: Some(any(&named("c"))),
                ..Resource::default()
            }],
            ..DeltaDiscoveryResponse::default()
        })
        .await;
    assert_eq!(consumer.update().await, set(&["c"]));
    assert!(stream.request().await.type_url.ends_with("Listener"));
    assert_eq!(stream.request().await.response_nonce, "n");
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("XDS");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
    let mut mock = serve_with(|service| tonic::transport::Server::builder().serve_with_incoming(service, incoming));
    let mut consumer = Consumer::start(config(vec![server(&format!("unix://{}", path.display()))]));
    let mut stream = mock.sotw.recv().await.expect("a stream");
    greet(&mut stream, "1", &["c"]).await;
    assert_eq!(consumer.update().await, set(&["c"]));
}

#[tokio::test]
async fn xds_14_a_message_of_a_hundred_megabytes_is_taken() {
    let (address, mut mock) = serve().await;
    let mut consumer = Consumer::start(config(vec![server(&address)]));
    let mut stream = mock.sotw.recv().await.expect("a stream");
    let _ = stream.request().await;
    let mut answer = clusters("1", &["c"]);
    let big = Cluster {
        alt_stat_name: "x".repeat(100 * 1024 * 1024),
        ..named("big")
    };
    answer.resources.push(any(&big));
    stream.answer(answer).await;
    assert_eq!(consumer.update().await, set(&["big", "c"]));
    assert_eq!(stream.request().await.error_detail, None);
}

#[tokio::test]
async fn pr_17_a_message_beyond_the_default_limit_of_grpc_is_taken() {
    let (address, mut mock) = serve().await;
    let mut consumer = Consumer::start(config(vec![server(&address)]));
    let mut stream = mock.sotw.recv().await.expect("a stream");
    let names: Vec<String> = (0..60_000)
        .map(|index| format!("outbound|80||service-{index:05}.default"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(clusters("1", &names).encoded_len() > 4 * 1024 * 1024);
    greet(&mut stream, "1", &names).await;
    assert_eq!(consumer.update().await.len(), 60_000);
}

#[tokio::test]
async fn pr_03_a_server_that_is_not_ready_is_asked_again() {
    let (address, mut mock) = serve().await;
    let mut consumer = Consumer::start(config(vec![server(&address)]));
    for _ in 0..3 {
        let stream = mock.sotw.recv().await.expect("a stream");
        let refusal = tonic::Status::unavailable("server is not ready to serve discovery information");
        stream.answers.send(Err(refusal)).await.expect("an open stream");
        drop(stream);
        let (error, _) = consumer.disconnected().await;
        let error = error.expect("a reason").to_string();
        assert!(error.contains("not ready to serve"), "{error}");
    }
    let mut stream = mock.sotw.recv().await.expect("a stream");
    greet(&mut stream, "1", &["c"]).await;
    assert_eq!(consumer.update().await, set(&["c"]));
}

#[tokio::test]
async fn xds_61_a_mere_connection_does_not_shorten_the_wait() {
    let (address, mut mock) = serve().await;
    let mut settings = config(vec![server(&address)]);
    settings.backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(400));
    let mut consumer = Consumer::start(settings);
    let mut waits = Vec::new();
    for _ in 0..20 {
        drop(mock.sotw.recv().await.expect("a stream"));
        waits.push(consumer.disconnected().await.1);
    }
    // After nine doublings the limit is the cap: each of the last eleven is below 50 ms once in eight times.
    let longest = waits.iter().max().expect("waits");
    assert!(
        *longest > Duration::from_millis(50) && *longest <= Duration::from_millis(400),
        "{waits:?}"
    );
    let different: BTreeSet<_> = waits.iter().collect();
    assert!(different.len() > 10, "no jitter: {waits:?}");
}

#[tokio::test]
async fn xds_62_a_stream_that_the_server_ends_in_good_order_is_opened_again_at_once() {
    let (address, mut mock) = serve().await;
    let mut consumer = Consumer::start(config(vec![server(&address)]));
    let mut stream = mock.sotw.recv().await.expect("a stream");
    greet(&mut stream, "7", &["c"]).await;
    consumer.update().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(stream);
    let (error, retry) = consumer.disconnected().await;
    assert!(error.is_none() && retry.is_zero(), "{error:?} {retry:?}");
    let mut stream = mock.sotw.recv().await.expect("a stream");
    let first = stream.request().await;
    assert_eq!((first.version_info.as_str(), first.response_nonce.as_str()), ("7", ""));
    assert!(first.node.is_some());
}

#[tokio::test]
async fn a_server_that_ends_every_stream_after_one_response_is_not_stormed() {
    let (address, mut mock) = serve().await;
    let mut settings = config(vec![server(&address)]);
    settings.backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(60));
    let mut consumer = Consumer::start(settings);
    let mut stream = mock.sotw.recv().await.expect("a stream");
    greet(&mut stream, "1", &["c"]).await;
    consumer.update().await;
    drop(stream);
    let (error, retry) = consumer.disconnected().await;
    assert!(error.is_none() && retry > Duration::ZERO, "{error:?} {retry:?}");
}

#[tokio::test]
async fn xds_66_the_second_server_is_used_and_then_the_first_again() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let first_address = unused.local_addr().expect("an address");
    drop(unused);
    let (second, mut mock) = serve().await;
    let mut consumer = Consumer::start(config(vec![server(&first_address.to_string()), server(&second)]));
    let mut stream = mock.sotw.recv().await.expect("a stream at the second");
    greet(&mut stream, "second-1", &["c"]).await;
    assert_eq!(consumer.update().await, set(&["c"]));
    // Now the first is there.
    let listener = TcpListener::bind(first_address).await.expect("the port again");
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let mut first = serve_with(|service| tonic::transport::Server::builder().serve_with_incoming(service, incoming));
    drop(stream);
    let mut stream = timeout(PATIENCE, first.sotw.recv())
        .await
        .expect("in time")
        .expect("a stream");
    let request = stream.request().await;
    assert_eq!(
        request.version_info, "",
        "the versions of the second mean nothing to the first"
    );
}

#[tokio::test]
async fn xds_67_a_dead_connection_is_found() {
    let (dead, mut mock) = half_open().await;
    let mut settings = config(vec![server(&dead)]);
    settings.keepalive = Duration::from_millis(100);
    settings.keepalive_timeout = Duration::from_millis(200);
    let begun = Instant::now();
    let mut consumer = Consumer::start(settings);
    let (error, _) = consumer.disconnected().await;
    assert!(error.is_some());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(mock.recv().await.is_some());
}

#[tokio::test]
async fn pr_18_a_quiet_stream_is_kept_by_keepalive() {
    let (address, mut mock) = serve().await;
    let mut settings = config(vec![server(&address)]);
    settings.keepalive = Duration::from_millis(50);
    settings.keepalive_timeout = Duration::from_millis(500);
    let mut consumer = Consumer::start(settings);
    let mut stream = mock.sotw.recv().await.expect("a stream");
    greet(&mut stream, "1", &["c"]).await;
    consumer.update().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stream.answer(clusters("2", &["d"])).await;
    assert_eq!(consumer.update().await, set(&["d"]));
    assert!(mock.sotw.try_recv().is_err(), "no second stream");
    let defaults = Config::new(Vec::new(), Options::default());
    assert_eq!(
        (defaults.keepalive.as_secs(), defaults.keepalive_timeout.as_secs()),
        (30, 10)
    );
}

/// Takes connections and never says a word.
async fn half_open() -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, taken) = mpsc::channel(8);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            kept.push(connection);
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    (address, taken)
}

/// Answers every connection with these bytes.
async fn answers_with(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut some = [0; 64];
            let _ = connection.read(&mut some).await;
            let _ = connection.write_all(bytes).await;
        }
    });
    address
}

#[tokio::test]
async fn xds_68_what_is_no_control_plane_is_said_and_tried_again() {
    let html = answers_with(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>proxy</html>").await;
    let noise = answers_with(&[0xff; 64]).await;
    for address in [html, noise, "127.0.0.1:1".to_owned(), "unix:/no/such/socket".to_owned()] {
        let mut consumer = Consumer::start(config(vec![server(&address)]));
        for _ in 0..3 {
            let (error, retry) = consumer.disconnected().await;
            let error = error.expect("a reason").to_string();
            assert!(!error.is_empty() && !error.contains('\n'), "{address}: {error}");
            assert!(retry <= Duration::from_millis(100));
        }
    }
}

#[tokio::test]
async fn xds_68_a_refused_token_is_said_and_a_rotated_one_is_sent() {
    let (address, mut mock) = serve().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "old\n").expect("a file");
    let mut with_token = server(&address);
    with_token.token = Some(path.clone());
    let mut consumer = Consumer::start(config(vec![with_token]));
    let stream = mock.sotw.recv().await.expect("a stream");
    assert_eq!(stream.token.as_deref(), Some("Bearer old"));
    std::fs::write(&path, "new\n").expect("a file");
    let refusal = tonic::Status::unauthenticated("the token is too old");
    stream.answers.send(Err(refusal)).await.expect("an open stream");
    drop(stream);
    let (error, _) = consumer.disconnected().await;
    assert!(error.expect("a reason").to_string().contains("the token is too old"));
    let stream = mock.sotw.recv().await.expect("a stream");
    assert_eq!(stream.token.as_deref(), Some("Bearer new"));
}

#[tokio::test]
async fn names_can_be_added_from_outside_and_absence_is_told() {
    let (address, mut mock) = serve().await;
    let mut settings = config(vec![server(&address)]);
    settings.session.timeout = Duration::from_millis(200);
    let mut consumer = Consumer::start(settings);
    let mut stream = mock.sotw.recv().await.expect("a stream");
    greet(&mut stream, "1", &[]).await;
    consumer.update().await;
    let wanted = ResourceName {
        kind: ResourceType::Secret,
        name: "kubernetes://cert".to_owned(),
    };
    let changes = Changes {
        wanted: [wanted.clone()].into(),
        ..Changes::default()
    };
    consumer.changes.send(changes).await.expect("the client runs");
    loop {
        let request = stream.request().await;
        if request.type_url.ends_with("Secret") {
            assert_eq!(request.resource_names, ["kubernetes://cert"]);
            break;
        }
    }
    loop {
        if let Message::Absent(names) = consumer.message().await {
            assert_eq!(names, [wanted]);
            break;
        }
    }
}

#[tokio::test]
async fn the_client_ends_with_its_consumer() {
    for open in [false, true] {
        let (address, mut mock) = serve().await;
        let address = if open { address } else { "127.0.0.1:1".to_owned() };
        let mut settings = config(vec![server(&address)]);
        settings.backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(60));
        let (sender, mut messages) = mpsc::channel(4);
        let (_changes, receiver) = mpsc::channel(4);
        let task = tokio::spawn(run(settings, sender, receiver));
        if open {
            drop(mock.sotw.recv().await);
        }
        let _ = messages.recv().await;
        drop(messages);
        timeout(PATIENCE, task).await.expect("in time").expect("no panic");
    }
}
