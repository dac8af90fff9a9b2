//! Wildcards, names, and what goes away.

use amesh_xds::session::{Changes, Event};

use crate::support::*;

#[test]
fn xds_30_clusters_and_listeners_are_asked_for_by_an_empty_list() {
    for protocol in BOTH {
        let mut harness = Harness::new(protocol);
        harness.connect();
        let clusters = harness.one();
        assert_eq!((clusters.kind, clusters.names.len()), (CDS, 0));
        harness.respond(CDS, "1", "a", Vec::new());
        let sent = harness.take();
        assert_eq!((sent[0].kind, sent[0].names.len()), (LDS, 0), "{sent:#?}");
    }
}

#[test]
fn xds_31_an_empty_list_is_sent_for_names_only_when_names_were_sent_before() {
    let mut harness = Harness::new(StateOfTheWorld);
    harness.connect();
    harness.respond(CDS, "1", "a", Vec::new());
    harness.respond(LDS, "1", "b", Vec::new());
    // No request for endpoints or routes: an empty first one would ask for all of them.
    assert!(harness.take().iter().all(|sent| sent.kind == CDS || sent.kind == LDS));
    harness.respond(CDS, "2", "c", vec![cluster("c", 1)]);
    harness.respond(EDS, "2", "d", vec![endpoints("c", 80)]);
    harness.take();
    harness.respond(CDS, "3", "e", Vec::new());
    let sent = harness.take();
    assert_eq!(
        (sent[0].kind, sent[0].names.len(), sent[0].nonce.as_str()),
        (EDS, 0, "d")
    );
}

#[test]
fn xds_32_exactly_the_names_that_resources_refer_to_in_every_request() {
    let mut harness = Harness::new(StateOfTheWorld);
    harness.connect();
    harness.respond(CDS, "1", "a", vec![cluster_of("c", "service", 1), cluster("d", 1)]);
    assert_eq!(harness.take()[1].names, set(&["d", "service"]));
    harness.respond(EDS, "1", "b", vec![endpoints("d", 80), endpoints("service", 80)]);
    let sent = harness.take();
    assert_eq!((sent[1].nonce.as_str(), &sent[1].names), ("b", &set(&["d", "service"])));
    harness.respond(LDS, "1", "c", vec![listener("l", "80"), listener("m", "9080")]);
    assert_eq!(harness.take()[0].names, set(&["80", "9080"]));
    harness.respond(RDS, "1", "d", vec![routes("80", "*")]);
    assert_eq!(harness.one().names, set(&["80", "9080"]));
}

#[test]
fn xds_33_several_changes_are_one_request() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["a", "b"], &[]);
        // While there is no stream, names come and go.
        harness.handle(Event::Closed);
        harness.respond(CDS, "ignored", "x", Vec::new());
        for (wanted, unwanted) in [("c", "a"), ("a", "c"), ("d", "b")] {
            harness.handle(Event::Subscribe(Changes {
                wanted: [name(EDS, wanted)].into(),
                unwanted: [name(EDS, unwanted)].into(),
            }));
        }
        harness.connect();
        let asked: Vec<_> = harness.take().into_iter().filter(|sent| sent.kind == EDS).collect();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].names, set(&["a", "d"]));
    }
    // On a stream: wanted and not wanted again within one change says nothing.
    let mut harness = Harness::ready(Delta, &["a"], &[]);
    harness.handle(Event::Subscribe(Changes {
        wanted: [name(EDS, "a")].into(),
        unwanted: [name(EDS, "a")].into(),
    }));
    assert_eq!(harness.take(), []);
}

#[test]
fn xds_34_delta_sends_differences_only() {
    let mut harness = Harness::ready(Delta, &["a", "b"], &[]);
    harness.respond(CDS, "2", "x", vec![cluster("c", 1)]);
    let sent = harness.take();
    assert_eq!((&sent[0].names, &sent[0].unsubscribe), (&set(&["c"]), &set(&[])));
    harness.handle(Event::Response(removal(CDS, "y", &["a"])));
    let sent = harness.take();
    assert_eq!((&sent[0].names, &sent[0].unsubscribe), (&set(&[]), &set(&["a"])));
    assert_eq!((sent[1].kind, sent[1].names.len(), sent[1].held.len()), (CDS, 0, 0));
}

#[test]
fn xds_35_delta_says_after_a_reconnect_what_it_holds() {
    let mut harness = Harness::ready(Delta, &["a", "b"], &["l"]);
    harness.respond(EDS, "7", "x", vec![endpoints("b", 81)]);
    harness.take();
    harness.reconnect();
    let held = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
            .collect()
    };
    let sent = harness.take();
    let kinds: Vec<_> = sent.iter().map(|sent| sent.kind).collect();
    assert_eq!(kinds, [CDS, EDS, LDS, RDS]);
    assert_eq!(
        (&sent[0].names, &sent[0].held),
        (&set(&[]), &held(&[("a", "1"), ("b", "1")]))
    );
    assert_eq!(
        (&sent[1].names, &sent[1].held),
        (&set(&["a", "b"]), &held(&[("a", "1"), ("b", "7")]))
    );
    assert_eq!((&sent[2].names, &sent[2].held), (&set(&[]), &held(&[("l", "1")])));
    assert_eq!((&sent[3].names, &sent[3].held), (&set(&["l"]), &held(&[("l", "1")])));
}

#[test]
fn xds_36_what_the_answer_after_a_reconnect_removes_goes_and_the_rest_stays() {
    let mut harness = Harness::ready(Delta, &["a", "b"], &[]);
    harness.reconnect();
    harness.handle(Event::Response(removal(CDS, "x", &["a"])));
    assert_eq!(harness.has(CDS), set(&["b"]));
    assert_eq!(harness.has(EDS), set(&["b"]));
}

#[test]
fn xds_37_a_full_response_removes_what_is_missing() {
    let mut harness = Harness::ready(StateOfTheWorld, &["a", "b"], &["l", "m"]);
    harness.respond(CDS, "2", "x", vec![cluster("b", 1)]);
    assert_eq!(harness.has(CDS), set(&["b"]));
    harness.respond(LDS, "2", "y", Vec::new());
    assert!(harness.has(LDS).is_empty());
    harness.respond(CDS, "3", "z", Vec::new());
    assert!(harness.has(CDS).is_empty());
}

#[test]
fn xds_37_a_refused_resource_is_not_a_missing_one() {
    let mut harness = Harness::ready(StateOfTheWorld, &["a", "b"], &[]);
    harness.respond(CDS, "2", "x", vec![bad_cluster("a")]);
    assert_eq!(harness.has(CDS), set(&["a"]));
}

#[test]
fn xds_38_a_response_of_named_resources_is_not_the_full_state() {
    let mut harness = Harness::ready(StateOfTheWorld, &["a", "b"], &["l", "m"]);
    harness.respond(EDS, "2", "x", vec![endpoints("b", 81)]);
    harness.respond(RDS, "2", "y", vec![routes("m", "n")]);
    harness.respond(EDS, "3", "z", Vec::new());
    assert_eq!(harness.has(EDS), set(&["a", "b"]));
    assert_eq!(harness.has(RDS), set(&["l", "m"]));
    let acks: Vec<_> = harness
        .take()
        .into_iter()
        .map(|sent| (sent.nonce, sent.error))
        .collect();
    assert_eq!(
        acks,
        [("x".to_owned(), None), ("y".to_owned(), None), ("z".to_owned(), None)]
    );
}

#[test]
fn xds_39_delta_removal_removes_and_unknown_names_do_nothing() {
    let mut harness = Harness::ready(Delta, &["a", "b"], &["l"]);
    harness.handle(Event::Response(removal(CDS, "x", &["a", "never-seen"])));
    assert_eq!(harness.has(CDS), set(&["b"]));
    assert_eq!(harness.last().update.removed, [name(CDS, "a")]);
    harness.handle(Event::Response(removal(LDS, "y", &["l"])));
    assert!(harness.has(LDS).is_empty());
    assert!(harness.take().iter().all(|sent| sent.error.is_none()));
}

#[test]
fn xds_40_removed_endpoints_and_routes_that_are_referred_to_stay() {
    let mut harness = Harness::ready(Delta, &["c"], &["l"]);
    for (kind, of) in [(EDS, "c"), (RDS, "l")] {
        harness.handle(Event::Response(removal(kind, "x", &[of, "unknown"])));
        assert_eq!(harness.one().error, None);
        assert_eq!(harness.has(kind), set(&[of]));
        assert_eq!(harness.last().kept, [name(kind, of)]);
        assert!(harness.last().update.removed.is_empty());
    }
}

#[test]
fn xds_41_when_the_parent_goes_so_do_subscription_and_resource() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["a", "b"], &["l", "m"]);
        if protocol == Delta {
            harness.handle(Event::Response(removal(CDS, "x", &["a"])));
            harness.handle(Event::Response(removal(LDS, "y", &["m"])));
        } else {
            harness.respond(CDS, "2", "x", vec![cluster("b", 1)]);
            harness.respond(LDS, "2", "y", vec![listener("l", "l")]);
        }
        assert_eq!((harness.has(EDS), harness.has(RDS)), (set(&["b"]), set(&["l"])));
        let sent = harness.take();
        let kinds: Vec<_> = sent.iter().map(|sent| sent.kind).collect();
        // The children first, then the answer.
        assert_eq!(kinds, [EDS, CDS, RDS, LDS]);
        match protocol {
            StateOfTheWorld => assert_eq!((&sent[0].names, &sent[2].names), (&set(&["b"]), &set(&["l"]))),
            Delta => assert_eq!(
                (&sent[0].unsubscribe, &sent[2].unsubscribe),
                (&set(&["a"]), &set(&["m"]))
            ),
        }
        // The old endpoints do not come back with a new cluster of that name.
        harness.respond(CDS, "3", "z", vec![cluster("a", 2), cluster("b", 1)]);
        assert_eq!(harness.has(EDS), set(&["b"]));
        assert_eq!(harness.session.held(EDS).count(), 1);
    }
}

#[test]
fn xds_42_two_parents_share_a_child() {
    let mut harness = Harness::new(Delta);
    harness.connect();
    harness.respond(
        CDS,
        "1",
        "a",
        vec![cluster_of("a", "shared", 1), cluster_of("b", "shared", 1)],
    );
    assert_eq!(harness.take()[1].names, set(&["shared"]));
    harness.respond(EDS, "1", "b", vec![endpoints("shared", 80)]);
    harness.take();
    harness.handle(Event::Response(removal(CDS, "c", &["a"])));
    assert_eq!(harness.one().kind, CDS);
    assert_eq!(harness.has(EDS), set(&["shared"]));
    harness.handle(Event::Response(removal(CDS, "d", &["b"])));
    assert_eq!(harness.take()[0].unsubscribe, set(&["shared"]));
    assert!(harness.has(EDS).is_empty());
}

#[test]
fn xds_43_everything_removed_at_once_is_kept_only_if_the_operator_says_so() {
    for protocol in BOTH {
        for keep in [false, true] {
            let mut harness = Harness::with(protocol, |options| options.keep_when_all_removed = keep);
            harness.connect();
            harness.respond(CDS, "1", "a", vec![cluster("c", 1), cluster("d", 1)]);
            match protocol {
                StateOfTheWorld => harness.respond(CDS, "2", "b", Vec::new()),
                Delta => harness.handle(Event::Response(removal(CDS, "b", &["c", "d"]))),
            }
            assert_eq!(harness.has(CDS), if keep { set(&["c", "d"]) } else { set(&[]) });
            assert_eq!(harness.last().kept.len(), if keep { 2 } else { 0 });
            assert_eq!(harness.take().last().and_then(|sent| sent.error.clone()), None);
            // One that stays shows that the mesh is not empty.
            match protocol {
                StateOfTheWorld => harness.respond(CDS, "3", "c", vec![cluster("e", 1)]),
                Delta => {
                    harness.respond(CDS, "3", "c", vec![cluster("e", 1)]);
                    harness.handle(Event::Response(removal(CDS, "d", &["c", "d"])));
                }
            }
            assert_eq!(harness.has(CDS), set(&["e"]));
        }
    }
}

#[test]
fn secrets_and_extensions_are_followed_where_they_come_from_the_same_control_plane() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &[], &[]);
        let cert = "kubernetes://cert";
        harness.respond(
            CDS,
            "2",
            "a",
            vec![cluster_with_secret("c", cert), cluster_with_secret("d", cert)],
        );
        let sent = harness.take();
        assert_eq!((sent[0].kind, &sent[0].names), (SDS, &set(&[cert])));
        harness.respond(SDS, "1", "b", vec![secret(cert)]);
        assert_eq!(harness.has(SDS), set(&[cert]));
        harness.respond(LDS, "2", "c", vec![listener_with_extension("l", "wasm")]);
        let asked: Vec<_> = harness.take().into_iter().filter(|sent| sent.kind == ECDS).collect();
        assert_eq!((asked.len(), &asked[0].names), (1, &set(&["wasm"])));
        // One of two that take it goes, and then the other changes its mind.
        match protocol {
            StateOfTheWorld => harness.respond(CDS, "3", "d", vec![cluster_with_secret("d", cert)]),
            Delta => harness.handle(Event::Response(removal(CDS, "d", &["c"]))),
        }
        assert_eq!(harness.has(SDS), set(&[cert]));
        harness.take();
        harness.respond(CDS, "4", "e", vec![cluster_with_secret("d", "kubernetes://other")]);
        let sent = harness.take();
        let expected = match protocol {
            StateOfTheWorld => (set(&["kubernetes://other"]), set(&[])),
            Delta => (set(&["kubernetes://other"]), set(&[cert])),
        };
        assert_eq!(
            (sent[0].kind, sent[0].names.clone(), sent[0].unsubscribe.clone()),
            (SDS, expected.0, expected.1)
        );
        assert!(harness.has(SDS).is_empty());
    }
}

#[test]
fn a_secret_that_the_consumer_asked_for_stays() {
    let mut harness = Harness::ready(Delta, &["c"], &[]);
    harness.handle(Event::Subscribe(Changes {
        wanted: [name(SDS, "mine")].into(),
        ..Changes::default()
    }));
    harness.respond(SDS, "1", "a", vec![secret("mine")]);
    harness.respond(CDS, "2", "b", vec![cluster("c", 2)]);
    assert_eq!(harness.has(SDS), set(&["mine"]));
}

#[test]
fn a_session_of_secrets_asks_for_nothing_else_and_waits_for_nothing() {
    use amesh_xds::session::{Action, Options, Request, Service, Session};
    for protocol in BOTH {
        let mut options = Options::default();
        options.protocol = protocol;
        options.service = Service::Secrets;
        options.wanted = [name(SDS, "default"), name(CDS, "c")].into();
        let mut session = Session::new(options);
        let actions = session.handle(Event::Connected { same_server: true });
        let asked: Vec<_> = actions
            .into_iter()
            .map(|action| match action {
                Action::Send(Request::StateOfTheWorld(request)) => (request.type_url, request.resource_names),
                Action::Send(Request::Delta(request)) => (request.type_url, request.resource_names_subscribe),
                other => panic!("{other:?}"),
            })
            .collect();
        let kind = format!("type.googleapis.com/{}", SDS.message());
        assert_eq!(asked, [(kind, vec!["default".to_owned()])]);
        assert!(!session.is_complete());
        // The one that is wanted counts as absent when its time is over, and only that is waited for.
        assert_eq!(session.deadline(), Some(std::time::Duration::from_secs(15)));
        let actions = session.handle(Event::Tick(std::time::Duration::from_secs(15)));
        assert_eq!(actions, [Action::Absent(vec![name(SDS, "default")])]);
        assert!(session.is_complete());
    }
}
