//! The library in a real nginx, fed by a control plane of the test's own.

mod mesh;
mod nginx;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-xds/tests/support/plane.rs"]
mod plane;

use mesh::Mesh;
use nginx::{Nginx, Setup};

const NODE: &str = "router~10.0.0.9~gw-1.default~default.svc.cluster.local";

/// nginx whose first worker calls `initial`.
fn stock(mesh: &Mesh) -> Option<Nginx> {
    Nginx::start(&Setup {
        size: "4m",
        settings: None,
        variables: &[("AMESH_SERVER", mesh.server()), ("AMESH_NODE", NODE)],
    })
}

#[test]
fn what_the_control_plane_sends_is_published_and_what_it_takes_away_is_deleted() {
    let mut mesh = Mesh::start(3);
    let Some(nginx) = stock(&mesh) else { return };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let objects = nginx.objects();
    assert!(objects.contains_key("/upstreams/c2"), "{objects:?}");
    assert_eq!(objects["/upstreams/c2"]["nodes"][0]["host"], "10.0.0.1");
    let zone = nginx.zone("xds-config");
    assert_eq!(zone["/_sentinel"], "{}");

    let before = nginx.version();
    mesh.push_cluster(1, &["10.0.0.2", "10.0.0.3"]);
    nginx.wait_until("the second publish", || nginx.version() != before);
    assert_eq!(nginx.objects()["/upstreams/c1"]["nodes"][1]["host"], "10.0.0.3");
    assert_eq!(nginx.version(), before.map(|version| version + 1));

    mesh.push_clusters(1);
    nginx.wait_until("the deletion", || !nginx.objects().contains_key("/upstreams/c2"));
    nginx.wait_until("the deletion of routes", || {
        nginx.objects().keys().all(|key| !key.contains("h2"))
    });
}
