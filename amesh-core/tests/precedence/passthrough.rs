//! A real APISIX sends requests to where the client's redirected connection was meant for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use amesh_core::{Options, Snapshot, Target, dump, translate};
use serde_json::{Value, json};

use crate::real::apisix::{Apisix, Router};
use crate::real::{Namespace, backend, path_from, redirected};

/// The user whose connections are redirected. APISIX runs as another, so that its own are not.
const CLIENT: &str = "65534";
const REDIRECTED: u16 = 15001;

const CLUSTERS: &str = r#"
resources:
  - {"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: passthrough, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED}
  - {"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: other-port, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {upstream_port_override: 8080}}
"#;

/// The upstreams of the clusters.
fn upstreams() -> Vec<Value> {
    let mut options = Options::default();
    options.target = Target::Amesh;
    let resources = dump::read(CLUSTERS.as_bytes()).expect("clusters").resources;
    let translation = translate(&Snapshot::from_resources(resources), &options);
    let objects = translation.objects().iter();
    objects
        .map(|(_, object)| serde_json::to_value(&**object).expect("JSON"))
        .collect()
}

/// What the client gets: the status and the port that answered.
fn ask(address: &str, host: &str) -> String {
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            CLIENT,
            "--clear-groups",
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-m",
            "10",
        ])
        .args(["-w", "%{http_code} %header{x-backend}", "-H", &format!("Host: {host}")])
        .arg(format!("http://{address}/"))
        .output()
        .expect("setpriv and curl");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn requests_go_where_the_client_connected() {
    const TEST: &str = "passthrough::requests_go_where_the_client_connected";
    let Some(home) = path_from("AMESH_APISIX_HOME", "a folder with run-standalone.sh of an APISIX 3.x") else {
        return;
    };
    let whose = ["-m", "owner", "--uid-owner", CLIENT];
    if redirected(TEST, "10.0.0.0/24", &whose, REDIRECTED) != Some(Namespace::Inside) {
        return;
    }
    let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), port);
    for port in [80, 8080] {
        backend::serve_on(TcpListener::bind(at(port)).expect("a port"));
    }
    let ready = json!({"fault-injection": {"abort": {"http_status": 200, "body": ""}}});
    let configuration = json!({
        "routes": [
            {"id": "ready", "uri": "/ready", "hosts": ["ready"], "plugins": ready},
            {"id": "one", "uri": "/*", "hosts": ["one"], "upstream_id": "passthrough"},
            {"id": "two", "uri": "/*", "hosts": ["two"], "upstream_id": "other-port"},
        ],
        "upstreams": upstreams(),
    });
    let ready = b"GET /ready HTTP/1.1\r\nHost: ready\r\n\r\n";
    let _running = Apisix::start(&home, Router::Amesh, &[REDIRECTED], &configuration, ready);
    assert_eq!(ask("10.0.0.9", "one"), "200 80");
    assert_eq!(ask("10.0.0.9:8080", "one"), "200 8080");
    assert_eq!(ask("10.0.0.9", "two"), "200 8080");
    // Nobody listens there.
    assert_eq!(ask("10.0.0.9:81", "one"), "502");
    // The client meant APISIX itself.
    assert_eq!(ask("127.0.0.1:15001", "one"), "503");
}
