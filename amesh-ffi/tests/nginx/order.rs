//! Responses of one push that come one after the other are not published while what they refer to is on its way.

use std::time::{Duration, Instant};

use crate::mesh::Mesh;
use crate::{provided, stock};

#[test]
fn a_cluster_that_goes_before_its_routes_goes_with_them() {
    let mut mesh = Mesh::start(3);
    let Some(nginx) = stock(&mesh, "4m") else { return };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let (version, objects) = (nginx.version(), nginx.objects());

    mesh.push_without_last();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((nginx.version(), nginx.objects()), (version, objects));
    mesh.push_routes("");
    nginx.wait_until("the publish", || nginx.version() != version);
    assert_eq!(nginx.version(), version.map(|version| version + 1));
    let left = |key: &String| key.contains("c2") || key.contains("h2");
    assert!(!nginx.objects().keys().any(left), "{:?}", nginx.objects());
}

#[test]
fn routes_that_stay_without_their_cluster_are_published_after_a_second() {
    let mut mesh = Mesh::start(2);
    let Some(nginx) = provided(mesh.server(), "") else {
        return;
    };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let version = nginx.version();

    let began = Instant::now();
    mesh.push_without_last();
    nginx.wait_until("the publish", || nginx.version() != version);
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    // What comes after that waits for nothing.
    let (began, version) = (Instant::now(), nginx.version());
    mesh.push_cluster(0, &["10.0.0.9"]);
    nginx.wait_until("the next", || nginx.version() != version);
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
}
