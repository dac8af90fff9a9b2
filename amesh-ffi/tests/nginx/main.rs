//! The library in a real nginx, fed by a control plane of the test's own.

mod failure;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/istiod.rs"]
mod istiod;
mod life;
mod mesh;
mod nginx;
mod order;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-xds/tests/support/plane.rs"]
mod plane;
mod secure;

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mesh::Mesh;
use nginx::{Nginx, Setup};

const NODE: &str = "router~10.0.0.9~gw-1.default~default.svc.cluster.local";

/// nginx whose first worker calls `initial`.
fn stock(mesh: &Mesh, size: &str) -> Option<Nginx> {
    Nginx::start(&Setup {
        size,
        settings: None,
        variables: &[("AMESH_SERVER", mesh.server()), ("AMESH_NODE", NODE)],
    })
}

/// nginx whose first worker calls `amesh_start` with more settings than the server and the node.
fn provided(server: &str, more: &str) -> Option<Nginx> {
    Nginx::start(&Setup {
        size: "4m",
        settings: Some(&format!(r#"{{"server": "{server}", "node": "{NODE}"{more}}}"#)),
        variables: &[],
    })
}

#[test]
fn what_the_control_plane_sends_is_published_and_what_it_takes_away_is_deleted() {
    let mut mesh = Mesh::start(3);
    let Some(nginx) = stock(&mesh, "4m") else { return };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let objects = nginx.objects();
    assert!(objects.contains_key("/upstreams/c2"), "{objects:?}");
    assert_eq!(objects["/upstreams/c2"]["nodes"][0]["host"], "10.0.0.1");
    assert_eq!(nginx.zone("xds-config")["/_sentinel"], "{}");

    let before = nginx.version().expect("a version");
    mesh.push_cluster(1, &["10.0.0.2", "10.0.0.3"]);
    nginx.wait_until("the second publish", || nginx.version() != Some(before));
    assert_eq!(nginx.objects()["/upstreams/c1"]["nodes"][1]["host"], "10.0.0.3");
    assert_eq!(nginx.version(), Some(before + 1));
    let versions = nginx.zone("xds-config-version");
    let entry = &versions[&format!("journal/{}", (before + 1) % 1024)];
    assert_eq!(*entry, format!("{}\n/upstreams/c1", before + 1));
    assert_eq!(versions["begun"], versions["version"]);

    mesh.push_clusters(1);
    nginx.wait_until("the deletion", || {
        let keys = nginx.objects().into_keys();
        keys.filter(|key| key.contains("c2") || key.contains("h2")).count() == 0
    });
    let manifest = |nginx: &Nginx| {
        let zone = nginx.zone("xds-config").into_iter();
        let parts = zone.filter(|(key, _)| key.starts_with("/_manifest/") && key != "/_manifest/x");
        let texts = parts.map(|(_, text)| text.as_str().expect("a text").to_owned());
        let mut keys: Vec<String> = texts
            .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        keys.sort();
        keys
    };
    let keys: Vec<String> = nginx.objects().into_keys().collect();
    nginx.wait_until("the manifest", || manifest(&nginx) == keys);
}

#[test]
fn workers_that_wait_at_the_socket_are_woken_after_the_version_is_there() {
    let mut mesh = Mesh::start(2);
    let Some(nginx) = provided(mesh.server(), r#", "wake_socket": "DIR/wake""#) else {
        return;
    };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let mut socket = UnixStream::connect(nginx.path("wake")).expect("the socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket");
    // The connection has to be taken before the bell is rung.
    std::thread::sleep(Duration::from_millis(100));
    for round in 0..5 {
        let before = nginx.version().expect("a version");
        mesh.push_cluster(0, &[&format!("10.0.1.{round}")]);
        socket.read_exact(&mut [0]).expect("a byte");
        assert_eq!(nginx.version(), Some(before + 1));
    }
    assert_eq!(nginx.get("/release"), env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_status_says_what_the_library_does() {
    let mesh = Mesh::start(2);
    let Some(nginx) = provided(mesh.server(), "") else {
        return;
    };
    nginx.wait_until("a publish in the status", || {
        nginx.status()["published"]["version"].is_number()
    });
    let status = nginx.status();
    assert_eq!(status["connected"], mesh.server());
    assert_eq!(status["objects"]["upstreams"], 2);
    let clusters = &status["types"]["envoy.config.cluster.v3.Cluster"];
    assert_eq!(
        (&clusters["resources"], &clusters["refused"]),
        (&2.into(), &0.into()),
        "{status}"
    );
    assert_eq!(status["failure"], serde_json::Value::Null);
    assert_eq!(status["dictionary"]["capacity"], 4 << 20);
    assert!(nginx.log().contains("published"), "{}", nginx.log());

    // What is bad is refused, and that is said.
    mesh.plane.version("bad");
    mesh.plane
        .put(amesh_core::ResourceType::Cluster, "bad", b"\xff".to_vec());
    mesh.plane.push(amesh_core::ResourceType::Cluster, &["bad"]);
    nginx.wait_until("the refusal", || {
        let status = nginx.status();
        let clusters = &status["types"]["envoy.config.cluster.v3.Cluster"];
        clusters["refused"] == 1 && clusters["error"].is_string()
    });
}

#[test]
fn a_finding_is_logged_once_when_it_comes_and_once_when_it_goes() {
    let mut mesh = Mesh::start(2);
    let Some(nginx) = stock(&mesh, "4m") else { return };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let came = "finding rule=\"lb-least-request\"";
    let gone = "finding gone rule=\"lb-least-request\"";
    let count = |text: &str| nginx.log().matches(text).count();
    assert_eq!((count(came), count(gone)), (0, 0));
    mesh.push_cluster_with(0, "lb_policy: LEAST_REQUEST");
    nginx.wait_until("the finding", || count(came) > 0);
    // Something else of the same cluster changes.
    mesh.push_cluster_with(0, "lb_policy: LEAST_REQUEST\n    alt_stat_name: other");
    let version = nginx.version();
    mesh.push_cluster(1, &["10.0.0.7"]);
    nginx.wait_until("a publish", || nginx.version() > version);
    assert_eq!((count(came), count(gone)), (1, 0));
    nginx.wait_until("the status", || {
        nginx.status()["findings"]["lb-least-request"]["count"] == 1
    });
    mesh.push_cluster(0, &["10.0.0.1"]);
    nginx.wait_until("its end", || count(gone) > 0);
    assert_eq!((count(came), count(gone)), (1, 1));
    nginx.wait_until("the status", || {
        nginx.status()["findings"]["lb-least-request"].is_null()
    });
}

#[test]
fn a_change_is_there_within_milliseconds() {
    let mut mesh = Mesh::start(200);
    let Some(nginx) = provided(mesh.server(), r#", "wake_socket": "DIR/wake""#) else {
        return;
    };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let mut socket = UnixStream::connect(nginx.path("wake")).expect("the socket");
    std::thread::sleep(Duration::from_millis(100));
    let mut times: Vec<Duration> = (0..20)
        .map(|round| {
            let began = Instant::now();
            mesh.push_cluster(round, &["10.0.2.1"]);
            socket.read_exact(&mut [0]).expect("a byte");
            began.elapsed()
        })
        .collect();
    times.sort();
    eprintln!("from push to wake-up: median {:?}, worst {:?}", times[10], times[19]);
    assert!(times[10] < Duration::from_millis(50), "{times:?}");
}
