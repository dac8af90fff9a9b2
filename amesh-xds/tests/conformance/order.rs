//! What waits for what, and for how long.

use std::time::Duration;

use amesh_xds::session::{Changes, Event};

use crate::support::*;

#[test]
fn xds_50_clusters_then_endpoints_then_listeners_then_routes() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.connect();
        let mut order = vec![harness.one().kind];
        harness.respond(CDS, "1", "a", vec![cluster("c", 1)]);
        order.extend(
            harness
                .take()
                .iter()
                .filter(|sent| sent.nonce.is_empty())
                .map(|sent| sent.kind),
        );
        assert_eq!(order, [CDS, EDS], "listeners wait for endpoints");
        harness.respond(EDS, "1", "b", vec![endpoints("c", 80)]);
        order.extend(
            harness
                .take()
                .iter()
                .filter(|sent| sent.nonce.is_empty())
                .map(|sent| sent.kind),
        );
        harness.respond(LDS, "1", "c", vec![listener("l", "l")]);
        order.extend(
            harness
                .take()
                .iter()
                .filter(|sent| sent.nonce.is_empty())
                .map(|sent| sent.kind),
        );
        assert_eq!(order, [CDS, EDS, LDS, RDS]);
        assert!(!harness.session.is_complete());
        harness.respond(RDS, "1", "d", vec![routes("l", "*")]);
        assert!(harness.session.is_complete());
    }
}

#[test]
fn xds_50_a_server_that_never_sends_clusters_does_not_hold_up_listeners_for_ever() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.tick(100);
        harness.connect();
        harness.take();
        assert_eq!(harness.session.deadline(), Some(Duration::from_secs(115)));
        harness.tick(114);
        assert_eq!(harness.take(), []);
        harness.tick(115);
        assert_eq!(harness.one().kind, LDS);
    }
}

#[test]
fn xds_51_a_new_cluster_is_delivered_and_its_endpoints_asked_for_before_it_is_acknowledged() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["old"], &["l"]);
        harness.manual = true;
        harness.respond(CDS, "2", "a", vec![cluster("old", 1), cluster("new", 1)]);
        // Routes that arrive meanwhile are not handed on before the cluster is dealt with.
        harness.respond(RDS, "2", "b", vec![routes("l", "new")]);
        assert_eq!((harness.deliveries.len(), harness.last().kind), (1, CDS));
        harness.accept();
        assert_eq!(harness.last().kind, RDS);
        let kinds: Vec<_> = harness.take().iter().map(|sent| sent.kind).collect();
        assert_eq!(kinds, [EDS, CDS]);
    }
}

#[test]
fn xds_52_a_listener_is_known_to_lack_its_routes_until_they_come() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &[], &[]);
        harness.respond(LDS, "2", "a", vec![listener("l", "r")]);
        let missing = |harness: &Harness| {
            let missing = harness.replica.snapshot().missing();
            missing.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(missing(&harness), [name(RDS, "r")]);
        assert!(!harness.session.is_complete());
        harness.respond(RDS, "2", "b", vec![routes("r", "*")]);
        assert_eq!(missing(&harness), []);
        assert!(harness.session.is_complete());
    }
}

#[test]
fn xds_53_a_cluster_is_known_to_lack_its_endpoints_until_they_come() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["old"], &[]);
        harness.respond(CDS, "2", "a", vec![cluster("old", 1), cluster("new", 1)]);
        let snapshot = harness.replica.snapshot();
        let missing: Vec<_> = snapshot.missing().map(|(name, _)| name.clone()).collect();
        assert_eq!(missing, [name(EDS, "new")]);
        assert!(!harness.session.is_complete());
        harness.respond(EDS, "2", "b", vec![endpoints("new", 80)]);
        assert!(harness.session.is_complete());
    }
}

#[test]
fn xds_54_cds_update_keeps_endpoints() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.respond(CDS, "2", "b", vec![cluster("c", 2)]);
        // Acknowledged at once, with no new wait for endpoints that may never be sent again.
        let ack = harness.one();
        assert_eq!((ack.kind, ack.nonce.as_str(), &ack.error), (CDS, "b", &None));
        assert_eq!(harness.bytes(EDS, "c"), Some(endpoints("c", 80).1.value));
        assert!(harness.session.is_complete());
        // And later pushes do not queue behind it.
        harness.respond(CDS, "3", "c", vec![cluster("c", 3)]);
        assert_eq!(harness.one().nonce, "c");
    }
}

#[test]
fn xds_56_a_named_resource_counts_as_absent_in_time() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.handle(Event::Subscribe(Changes {
            wanted: [name(EDS, "early")].into(),
            ..Changes::default()
        }));
        // The time runs from the request on, not while there is no stream.
        harness.tick(1000);
        assert!(harness.absent.is_empty());
        harness.connect();
        harness.respond(CDS, "1", "a", vec![cluster("c", 1), cluster("d", 1)]);
        harness.tick(1010);
        harness.respond(EDS, "1", "b", vec![endpoints("c", 80)]);
        harness.tick(1014);
        assert!(harness.absent.is_empty());
        harness.tick(1015);
        assert_eq!(harness.absent, [name(EDS, "d"), name(EDS, "early")]);
        assert_eq!(harness.session.deadline(), None);
        // It is said once, and what is held is not awaited again after a reconnect.
        harness.absent.clear();
        harness.reconnect();
        harness.tick(1031);
        assert_eq!(harness.absent, [name(EDS, "d"), name(EDS, "early")]);
    }
}

#[test]
fn xds_56_a_bad_answer_and_a_removal_are_answers() {
    let mut harness = Harness::new(Delta);
    harness.connect();
    harness.respond(CDS, "1", "a", vec![cluster("c", 1), cluster("d", 1)]);
    harness.respond(EDS, "1", "b", vec![bad_endpoints("c")]);
    harness.handle(Event::Response(removal(EDS, "c", &["d"])));
    harness.tick(100);
    assert!(harness.absent.is_empty());
}

#[test]
fn xds_57_what_was_absent_is_used_when_it_comes() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.connect();
        harness.respond(CDS, "1", "a", vec![cluster("c", 1)]);
        harness.tick(20);
        assert_eq!(harness.absent, [name(EDS, "c")]);
        harness.respond(EDS, "1", "b", vec![endpoints("c", 80)]);
        assert_eq!(harness.has(EDS), set(&["c"]));
    }
}

#[test]
fn xds_58_a_heartbeat_changes_nothing() {
    use amesh_xds::session::Response;
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
    let mut harness = Harness::ready(Delta, &["c"], &[]);
    let heartbeat = |name: &str| Resource {
        name: name.to_owned(),
        version: "1".to_owned(),
        ..Resource::default()
    };
    harness.handle(Event::Response(Response::Delta(DeltaDiscoveryResponse {
        nonce: "b".to_owned(),
        type_url: url(CDS),
        resources: vec![heartbeat("c"), heartbeat("never-seen")],
        ..DeltaDiscoveryResponse::default()
    })));
    let ack = harness.one();
    assert_eq!((ack.nonce.as_str(), &ack.error), ("b", &None));
    assert!(harness.last().update.put.is_empty() && harness.last().update.removed.is_empty());
    assert_eq!(harness.session.held(CDS).collect::<Vec<_>>(), [("c", "1")]);
}
