//! The habits of istiod.

use amesh_xds::session::Event;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;

use crate::support::*;

#[test]
fn pr_02_node_id_is_in_the_first_request() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.connect();
        assert_eq!(harness.one().node.map(|node| node.id.matches('~').count()), Some(3));
    }
}

#[test]
fn pr_04_a_push_of_every_type_is_answered_type_by_type_in_its_order() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &["l"]);
        harness.respond(CDS, "2026-11-24T00:00:00Z/7", "a", vec![cluster("c", 2)]);
        harness.respond(EDS, "2026-11-24T00:00:00Z/7", "b", vec![endpoints("c", 81)]);
        harness.respond(LDS, "2026-11-24T00:00:00Z/7", "c", vec![listener("l", "l")]);
        harness.respond(RDS, "2026-11-24T00:00:00Z/7", "d", vec![routes("l", "a")]);
        let answers: Vec<_> = harness.take().into_iter().map(|sent| (sent.kind, sent.nonce)).collect();
        let expected = [(CDS, "a"), (EDS, "b"), (LDS, "c"), (RDS, "d")];
        assert_eq!(answers, expected.map(|(kind, nonce)| (kind, nonce.to_owned())));
    }
}

#[test]
fn pr_05_secrets_are_asked_for_after_clusters_endpoints_listeners_and_routes() {
    use amesh_xds::session::Changes;
    let mut harness = Harness::new(StateOfTheWorld);
    harness.handle(Event::Subscribe(Changes {
        wanted: [name(SDS, "s")].into(),
        ..Changes::default()
    }));
    harness.connect();
    assert_eq!(harness.one().kind, CDS);
    harness.respond(CDS, "1", "a", Vec::new());
    let kinds: Vec<_> = harness.take().iter().map(|sent| sent.kind).collect();
    assert_eq!(kinds, [LDS, SDS, CDS]);
    harness.respond(SDS, "1", "b", vec![secret("s")]);
    assert_eq!(harness.has(SDS), set(&["s"]));
}

#[test]
fn pr_06_wildcards_have_no_names_in_any_request() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.connect();
        harness.respond(CDS, "1", "a", vec![cluster("c", 1)]);
        harness.respond(EDS, "1", "b", vec![endpoints("c", 1)]);
        harness.respond(LDS, "1", "c", vec![listener("l", "l")]);
        harness.reconnect();
        let wildcards: Vec<_> = harness
            .take()
            .into_iter()
            .filter(|sent| sent.kind == CDS || sent.kind == LDS)
            .collect();
        assert_eq!(wildcards.len(), 6);
        assert!(
            wildcards
                .iter()
                .all(|sent| sent.names.is_empty() && sent.unsubscribe.is_empty())
        );
    }
}

#[test]
fn pr_07_partial_answers_are_merged_by_name() {
    let mut harness = Harness::ready(StateOfTheWorld, &["a", "b", "c"], &[]);
    harness.respond(EDS, "2", "x", vec![endpoints("b", 81)]);
    assert_eq!(harness.one().names, set(&["a", "b", "c"]));
    for (of, port) in [("a", 80), ("b", 81), ("c", 80)] {
        assert_eq!(harness.bytes(EDS, of), Some(endpoints(of, port).1.value));
    }
}

#[test]
fn pr_08_what_istiod_makes_up_for_unknown_names_is_an_answer() {
    let mut harness = Harness::new(StateOfTheWorld);
    harness.connect();
    harness.respond(CDS, "1", "a", vec![cluster("c", 1)]);
    let empty = ClusterLoadAssignment {
        cluster_name: "c".to_owned(),
        ..ClusterLoadAssignment::default()
    };
    harness.respond(EDS, "1", "b", vec![("c".to_owned(), any(EDS, &empty))]);
    harness.respond(LDS, "1", "c", vec![listener("l", "l")]);
    let bare = RouteConfiguration {
        name: "l".to_owned(),
        ..RouteConfiguration::default()
    };
    harness.respond(RDS, "1", "d", vec![("l".to_owned(), any(RDS, &bare))]);
    assert!(harness.take().iter().all(|sent| sent.error.is_none()));
    assert!(harness.session.is_complete());
}

#[test]
fn pr_09_delta_starts_with_nothing_and_resumes_with_versions() {
    let mut harness = Harness::new(Delta);
    harness.connect();
    let first = harness.one();
    assert!(first.names.is_empty() && first.held.is_empty());
    harness.respond(CDS, "1", "a", vec![cluster("c", 1)]);
    harness.take();
    harness.reconnect();
    assert_eq!(harness.take()[0].held["c"], "1");
}

#[test]
fn pr_10_a_delta_that_sends_everything_again_changes_what_differs() {
    let mut harness = Harness::ready(Delta, &[], &["l", "m"]);
    harness.respond(RDS, "2", "a", vec![routes("l", "*"), routes("m", "new")]);
    let put: Vec<_> = harness.last().update.put.iter().map(|put| put.name.clone()).collect();
    assert_eq!(put, ["m"]);
}

#[test]
fn pr_11_endpoints_pushed_again_after_a_reconnect_are_taken() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.reconnect();
        harness.respond(CDS, "2", "a", vec![cluster("c", 1)]);
        harness.respond(EDS, "2", "b", vec![endpoints("c", 82)]);
        assert_eq!(harness.bytes(EDS, "c"), Some(endpoints("c", 82).1.value));
    }
}

#[test]
fn pr_12_a_refusal_is_sent_once_and_the_next_push_is_used() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.respond(CDS, "2", "a", vec![bad_cluster("c")]);
        assert!(harness.one().error.is_some());
        harness.tick(1000);
        assert_eq!(harness.take(), []);
        harness.respond(CDS, "3", "b", vec![cluster("c", 3)]);
        assert_eq!(harness.one().error, None);
    }
}

#[test]
fn pr_13_nothing_is_answered_that_was_not_asked_for() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.connect();
        harness.take();
        for kind in [EDS, LDS, RDS, SDS] {
            harness.respond(kind, "1", "a", vec![garbage(kind)]);
            harness.respond(kind, "1", "a", Vec::new());
        }
        assert!(harness.take().is_empty() && harness.deliveries.is_empty());
    }
}

#[test]
fn pr_14_a_reconnect_starts_with_empty_nonces() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &["l"]);
        harness.reconnect();
        let sent = harness.take();
        assert_eq!(sent.len(), 4);
        assert!(sent.iter().all(|sent| sent.nonce.is_empty()));
    }
}
