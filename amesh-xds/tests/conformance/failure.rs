//! Streams that break, and what comes after.

use amesh_xds::session::{Changes, Event, Verdict};

use crate::support::*;

#[test]
fn xds_60_without_a_stream_everything_stays() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &["l"]);
        harness.handle(Event::Closed);
        harness.tick(1_000_000);
        assert!(harness.deliveries.is_empty() && harness.absent.is_empty());
        for (kind, of) in [(CDS, "c"), (EDS, "c"), (LDS, "l"), (RDS, "l")] {
            assert_eq!(harness.has(kind), set(&[of]));
        }
        assert_eq!(harness.session.deadline(), None);
    }
}

#[test]
fn xds_63_after_a_reconnect_everything_is_asked_for_again_in_order() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &["l"]);
        harness.handle(Event::Subscribe(Changes {
            wanted: [name(SDS, "kubernetes://cert")].into(),
            ..Changes::default()
        }));
        assert_eq!(harness.one().kind, SDS);
        harness.reconnect();
        let sent = harness.take();
        let asked: Vec<_> = sent.iter().map(|sent| (sent.kind, sent.names.clone())).collect();
        assert_eq!(
            asked,
            [
                (CDS, set(&[])),
                (EDS, set(&["c"])),
                (LDS, set(&[])),
                (RDS, set(&["l"])),
                (SDS, set(&["kubernetes://cert"])),
            ]
        );
        assert!(sent.iter().all(|sent| sent.nonce.is_empty()));
    }
}

#[test]
fn xds_64_names_wanted_without_a_stream_are_asked_for_when_it_comes() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &["l"]);
        harness.handle(Event::Closed);
        harness.handle(Event::Subscribe(Changes {
            wanted: [name(RDS, "more")].into(),
            ..Changes::default()
        }));
        assert_eq!(harness.take(), []);
        harness.connect();
        let sent = harness.take();
        let routes = sent.iter().find(|sent| sent.kind == RDS).expect("routes");
        assert_eq!(routes.names, set(&["l", "more"]));
    }
}

#[test]
fn xds_65_an_unchanged_answer_after_a_reconnect_changes_nothing() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c", "d"], &["l"]);
        harness.reconnect();
        harness.respond(CDS, "9", "a", vec![cluster("c", 1), cluster("d", 1)]);
        harness.respond(EDS, "9", "b", vec![endpoints("c", 80), endpoints("d", 80)]);
        harness.respond(LDS, "9", "c", vec![listener("l", "l")]);
        harness.respond(RDS, "9", "d", vec![routes("l", "*")]);
        assert_eq!(harness.deliveries.len(), 4);
        for delivery in &harness.deliveries {
            assert!(
                delivery.update.put.is_empty() && delivery.update.removed.is_empty(),
                "{delivery:?}"
            );
        }
        assert_eq!(harness.absent, []);
        assert!(harness.session.is_complete());
    }
}

#[test]
fn xds_66_another_server_is_told_no_versions_of_the_first_one() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.handle(Event::Closed);
        harness.handle(Event::Connected { same_server: false });
        let sent = harness.take();
        assert!(sent.iter().all(|sent| sent.version.is_empty()));
        assert!(sent.iter().all(|sent| sent.held.values().all(String::is_empty)));
        // Still the names, so that it can say which of them are gone.
        assert_eq!(sent[0].held.contains_key("c"), protocol == Delta);
        assert_eq!(harness.has(CDS), set(&["c"]));
    }
}

#[test]
fn xds_66_what_is_accepted_after_the_server_changed_has_no_version_either() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.manual = true;
        harness.respond(CDS, "2", "a", vec![cluster("c", 2)]);
        harness.handle(Event::Closed);
        harness.handle(Event::Connected { same_server: false });
        harness.take();
        harness.accept();
        let first = harness.one();
        assert_eq!((first.kind, first.version.as_str()), (CDS, ""));
        assert!(first.held.values().all(String::is_empty), "{:?}", first.held);
    }
}

#[test]
fn a_verdict_that_comes_after_the_stream_broke_counts_and_is_not_sent() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.manual = true;
        harness.respond(CDS, "2", "a", vec![cluster("c", 2)]);
        harness.respond(CDS, "3", "lost", vec![cluster("c", 3)]);
        harness.reconnect();
        // Before it is known what is held, clusters are not asked for.
        assert!(harness.take().iter().all(|sent| sent.kind != CDS));
        harness.accept();
        let first = harness.one();
        assert_eq!(
            (first.kind, first.nonce.as_str()),
            (CDS, ""),
            "the nonce died with its stream"
        );
        assert_eq!(harness.deliveries.len(), 1, "and so did what was queued");
        match protocol {
            StateOfTheWorld => assert_eq!(first.version, "2"),
            Delta => assert_eq!(first.held["c"], "2"),
        }
    }
}

#[test]
fn a_verdict_without_a_delivery_and_a_response_without_a_stream_do_nothing() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.verdict(Verdict::default());
        harness.respond(CDS, "1", "a", vec![cluster("c", 1)]);
        assert!(harness.take().is_empty() && harness.deliveries.is_empty());
    }
}
