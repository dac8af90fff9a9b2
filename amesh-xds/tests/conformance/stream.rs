//! Versions, nonces and acknowledgements.

use amesh_xds::session::{Changes, Event};

use crate::support::*;

#[test]
fn xds_01_node_is_in_the_first_request_of_each_stream_only() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.connect();
        harness.respond(CDS, "1", "a", vec![cluster("c", 1)]);
        harness.reconnect();
        let sent = harness.take();
        let with: Vec<bool> = sent.iter().map(|sent| sent.node.is_some()).collect();
        // CDS, then EDS and the acknowledgement; and again CDS and EDS.
        assert_eq!(with, [true, false, false, true, false], "{sent:#?}");
        assert!(
            sent[0]
                .node
                .as_ref()
                .is_some_and(|node| node.id.starts_with("sidecar~"))
        );
        assert_eq!(sent[0].node, sent[3].node);
    }
}

#[test]
fn xds_02_first_request_has_no_nonce_and_the_last_accepted_version() {
    let mut harness = Harness::ready(StateOfTheWorld, &["c"], &[]);
    harness.respond(CDS, "2", "b", vec![cluster("c", 2)]);
    harness.respond(CDS, "3", "c", vec![bad_cluster("c")]);
    harness.take();
    harness.reconnect();
    let sent = harness.take();
    assert_eq!(
        (sent[0].kind, sent[0].nonce.as_str(), sent[0].version.as_str()),
        (CDS, "", "2")
    );
    assert_eq!(
        (sent[1].kind, sent[1].nonce.as_str(), sent[1].version.as_str()),
        (EDS, "", "1")
    );
}

#[test]
fn xds_03_every_response_is_answered_once_with_its_nonce() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &["l"]);
        for (kind, resource) in [
            (CDS, cluster("c", 2)),
            (EDS, endpoints("c", 81)),
            (LDS, listener("l", "l")),
            (RDS, routes("l", "a")),
        ] {
            harness.respond(kind, "2", "good", vec![resource]);
            assert_eq!(harness.one().nonce, "good", "{kind} {protocol:?}");
            harness.respond(kind, "3", "bad", vec![garbage(kind)]);
            if kind == CDS || kind == LDS {
                assert_eq!(harness.one().nonce, "bad", "{kind} {protocol:?}");
            }
            harness.take();
        }
    }
}

#[test]
fn xds_04_acknowledgement_has_the_version_and_no_error() {
    let mut harness = Harness::ready(StateOfTheWorld, &[], &[]);
    harness.respond(CDS, "2", "n", Vec::new());
    let ack = harness.one();
    assert_eq!((ack.version.as_str(), ack.nonce.as_str(), ack.error), ("2", "n", None));
}

#[test]
fn xds_05_refusal_has_the_error_the_nonce_and_the_previous_version() {
    let mut harness = Harness::new(StateOfTheWorld);
    harness.connect();
    harness.take();
    harness.respond(CDS, "1", "a", vec![bad_cluster("c")]);
    let nack = harness.take().remove(1);
    assert_eq!((nack.version.as_str(), nack.nonce.as_str()), ("", "a"));
    assert!(nack.error.is_some());
    harness.respond(CDS, "2", "b", Vec::new());
    harness.take();
    harness.respond(CDS, "3", "c", vec![bad_cluster("c")]);
    let nack = harness.one();
    assert_eq!((nack.version.as_str(), nack.nonce.as_str()), ("2", "c"));
    assert!(nack.error.is_some());
}

#[test]
fn xds_06_delta_tells_answers_apart_by_the_error_and_asks_without_a_nonce() {
    let mut harness = Harness::ready(Delta, &["c"], &[]);
    harness.respond(CDS, "2", "good", vec![cluster("d", 1)]);
    let sent = harness.take();
    assert_eq!(
        (sent[0].kind, sent[0].nonce.as_str(), &sent[0].names),
        (EDS, "", &set(&["d"]))
    );
    assert_eq!(
        (sent[1].kind, sent[1].nonce.as_str(), &sent[1].error),
        (CDS, "good", &None)
    );
    harness.respond(CDS, "3", "bad", vec![bad_cluster("e")]);
    let nack = harness.one();
    assert_eq!((nack.nonce.as_str(), nack.error.is_some()), ("bad", true));
}

#[test]
fn xds_07_versions_and_nonces_are_per_type_and_nonces_die_with_the_stream() {
    let mut harness = Harness::ready(StateOfTheWorld, &["c"], &[]);
    harness.respond(EDS, "e7", "eds-7", vec![endpoints("c", 81)]);
    harness.respond(LDS, "l3", "lds-3", Vec::new());
    harness.take();
    harness.reconnect();
    let sent = harness.take();
    let state: Vec<_> = sent
        .iter()
        .map(|sent| (sent.kind, sent.version.as_str(), sent.nonce.as_str()))
        .collect();
    assert_eq!(state, [(CDS, "1", ""), (EDS, "e7", ""), (LDS, "l3", "")]);
}

#[test]
fn xds_08_after_a_refusal_the_last_good_stays_and_a_later_good_one_is_used() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        let good = harness.bytes(CDS, "c");
        harness.respond(CDS, "2", "b", vec![bad_cluster("c")]);
        assert!(harness.one().error.is_some());
        assert_eq!(harness.bytes(CDS, "c"), good);
        harness.respond(CDS, "3", "c", vec![cluster("c", 3)]);
        assert_eq!(harness.one().error, None);
        assert_eq!(harness.bytes(CDS, "c"), Some(cluster("c", 3).1.value));
    }
}

#[test]
fn xds_09_the_same_refusal_again_is_answered_and_not_reported_again() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &[], &[]);
        for nonce in ["a", "b", "c"] {
            harness.respond(CDS, "2", nonce, vec![bad_cluster("c")]);
            assert_eq!(harness.one().nonce, nonce);
        }
        assert_eq!(harness.refusals.len(), 1);
        harness.respond(CDS, "2", "d", vec![bad_cluster("other")]);
        assert_eq!(harness.refusals.len(), 2);
    }
}

#[test]
fn xds_10_a_type_that_was_not_asked_for_is_ignored() {
    use amesh_xds::session::Response;
    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
    let mut harness = Harness::ready(StateOfTheWorld, &["c"], &[]);
    for type_url in [
        "type.googleapis.com/istio.networking.nds.v1.NameTable",
        "",
        "nonsense",
        &url(SDS),
    ] {
        harness.handle(Event::Response(Response::StateOfTheWorld(DiscoveryResponse {
            type_url: type_url.to_owned(),
            nonce: "x".to_owned(),
            ..DiscoveryResponse::default()
        })));
    }
    assert_eq!(harness.take(), []);
    assert!(harness.deliveries.is_empty());
    harness.respond(CDS, "2", "b", vec![cluster("c", 2)]);
    assert_eq!(harness.one().nonce, "b");
}

#[test]
fn xds_11_a_response_without_a_nonce_is_used() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.respond(EDS, "2", "", vec![endpoints("c", 99)]);
        assert_eq!(harness.one().nonce, "");
        assert_eq!(harness.bytes(EDS, "c"), Some(endpoints("c", 99).1.value));
    }
}

#[test]
fn xds_12_a_change_of_names_uses_the_newest_nonce() {
    let mut harness = Harness::ready(StateOfTheWorld, &["c"], &[]);
    harness.manual = true;
    harness.respond(EDS, "2", "eds-2", vec![endpoints("c", 81)]);
    // While the response is judged nothing may go out with an older nonce; afterwards one request says it all.
    harness.handle(Event::Subscribe(Changes {
        wanted: [name(EDS, "d")].into(),
        ..Changes::default()
    }));
    assert_eq!(harness.take(), []);
    harness.verdict(amesh_xds::session::Verdict::default());
    let answer = harness.one();
    assert_eq!((answer.nonce.as_str(), answer.version.as_str()), ("eds-2", "2"));
    assert_eq!(answer.names, set(&["c", "d"]));
    harness.handle(Event::Subscribe(Changes {
        wanted: [name(EDS, "e")].into(),
        ..Changes::default()
    }));
    let change = harness.one();
    assert_eq!((change.nonce.as_str(), change.version.as_str()), ("eds-2", "2"));
    assert_eq!(change.names, set(&["c", "d", "e"]));
}

#[test]
fn xds_13_one_delivery_at_a_time() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.manual = true;
        harness.respond(CDS, "2", "b", vec![cluster("c", 2)]);
        harness.respond(CDS, "3", "c", vec![cluster("c", 3)]);
        harness.respond(EDS, "2", "d", vec![endpoints("c", 81)]);
        assert!(harness.session.is_busy());
        assert_eq!((harness.deliveries.len(), harness.take().len()), (1, 0));
        harness.accept();
        assert_eq!((harness.deliveries.len(), harness.one().nonce.as_str()), (2, "b"));
        harness.accept();
        assert_eq!((harness.deliveries.len(), harness.one().nonce.as_str()), (3, "c"));
        harness.accept();
        assert_eq!(harness.one().nonce, "d");
        assert!(!harness.session.is_busy());
    }
}

/// A request that crosses a response is dropped by the server, and istiod reads no names in a refusal.
#[test]
fn xds_12_a_name_told_again_is_answered_although_the_server_may_not_know_that_it_was_taken_back() {
    let mut harness = Harness::ready(StateOfTheWorld, &["c", "d"], &[]);
    let change = |wanted: &[&str], unwanted: &[&str]| {
        Event::Subscribe(Changes {
            wanted: wanted.iter().map(|of| name(EDS, of)).collect(),
            unwanted: unwanted.iter().map(|of| name(EDS, of)).collect(),
        })
    };
    harness.handle(change(&[], &["d"]));
    assert_eq!(harness.one().names, set(&["c"]));
    harness.handle(change(&["d"], &[]));
    let names = |harness: &mut Harness| harness.take().into_iter().map(|sent| sent.names).collect::<Vec<_>>();
    assert_eq!(names(&mut harness), [set(&["c"]), set(&["c", "d"])]);
    // Something else came instead.
    harness.respond(EDS, "2", "x", vec![endpoints("c", 81)]);
    assert_eq!(names(&mut harness), [set(&["c"]), set(&["c", "d"])]);
    harness.respond(EDS, "3", "y", vec![endpoints("d", 81)]);
    assert_eq!(names(&mut harness), [set(&["c", "d"])]);
}

#[test]
fn pr_12_names_that_change_with_a_refusal_are_told_after_it() {
    let mut harness = Harness::ready(StateOfTheWorld, &["c"], &[]);
    harness.manual = true;
    harness.respond(EDS, "2", "x", vec![bad_endpoints("c")]);
    harness.handle(Event::Subscribe(Changes {
        wanted: [name(EDS, "d")].into(),
        ..Changes::default()
    }));
    harness.accept();
    let sent = harness.take();
    assert_eq!((sent[0].nonce.as_str(), sent[0].error.is_some()), ("x", true));
    assert_eq!(
        (sent[1].nonce.as_str(), &sent[1].error, &sent[1].names),
        ("x", &None, &set(&["c", "d"]))
    );
    assert_eq!(sent[1].version, "1");
}
