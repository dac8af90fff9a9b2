//! Bad resources, and their good neighbours.

use amesh_xds::session::{Event, Response};
use envoy_types::pb::envoy::service::discovery::v3::Resource;
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;

use crate::support::*;

#[test]
fn xds_20_undecodable_and_wrongly_typed_resources_are_refused() {
    for protocol in BOTH {
        for bad in [garbage(CDS), listener("l", "l"), routes("r", "*")] {
            let mut harness = Harness::ready(protocol, &[], &[]);
            harness.respond(CDS, "2", "b", vec![bad]);
            let nack = harness.one();
            assert!(nack.error.is_some(), "{protocol:?}");
            assert!(harness.last().update.put.is_empty());
        }
    }
}

#[test]
fn xds_21_a_resource_that_breaks_a_constraint_is_refused() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.respond(EDS, "2", "b", vec![bad_endpoints("c")]);
        let error = harness.one().error.expect("a refusal");
        assert!(error.contains("overprovisioning_factor"), "{error}");
        assert_eq!(harness.bytes(EDS, "c"), Some(endpoints("c", 80).1.value));
    }
}

#[test]
fn xds_22_the_valid_rest_of_a_response_applies_and_the_refusal_names_the_bad() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &[], &[]);
        harness.respond(
            CDS,
            "2",
            "b",
            vec![cluster("good", 1), bad_cluster("bad"), cluster("fine", 1)],
        );
        let sent = harness.take();
        let nack = sent.last().expect("an answer");
        let error = nack.error.as_ref().expect("a refusal");
        assert!(
            error.contains("\"bad\"") && !error.contains("good") && !error.contains("fine"),
            "{error}"
        );
        assert_eq!(harness.has(CDS), set(&["fine", "good"]));
        // What it refers to is asked for, too.
        assert_eq!((sent[0].kind, &sent[0].names), (EDS, &set(&["fine", "good"])));
    }
}

#[test]
fn xds_22_what_the_consumer_refuses_is_named_and_the_rest_applies() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &[], &[]);
        harness.manual = true;
        harness.respond(CDS, "2", "b", vec![cluster("good", 1), cluster("bad", 1)]);
        harness.refuse(&[("bad", "not on my watch")]);
        let error = harness.take().pop().and_then(|sent| sent.error).expect("a refusal");
        assert!(error.contains("\"bad\": not on my watch"), "{error}");
        let held: Vec<_> = harness.session.held(CDS).map(|(name, _)| name.to_owned()).collect();
        assert_eq!(held, ["good"]);
        // The very same again is offered again, because the consumer does not have it.
        harness.respond(CDS, "2", "c", vec![cluster("good", 1), cluster("bad", 1)]);
        let offered: Vec<_> = harness.last().update.put.iter().map(|put| put.name.clone()).collect();
        assert_eq!(offered, ["bad"]);
    }
}

#[test]
fn xds_23_an_undecodable_resource_does_not_hold_up_its_neighbours() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["old"], &[]);
        harness.respond(CDS, "2", "b", vec![garbage(CDS), cluster("new", 1)]);
        assert!(harness.take().last().expect("an answer").error.is_some());
        // In state of the world the illegible one may be the one that seems to be missing, so nothing is removed.
        assert_eq!(harness.has(CDS), set(&["new", "old"]));
    }
}

#[test]
fn xds_24_a_name_twice_in_one_response_is_refused() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.respond(CDS, "2", "b", vec![cluster("c", 2), cluster("c", 3), cluster("d", 1)]);
        let error = harness.take().pop().and_then(|sent| sent.error).expect("a refusal");
        assert!(error.contains("\"c\"") && error.contains("twice"), "{error}");
        assert_eq!(harness.bytes(CDS, "c"), Some(cluster("c", 1).1.value));
        assert_eq!(harness.has(CDS), set(&["c", "d"]));
    }
}

#[test]
fn xds_25_what_was_not_asked_for_is_ignored_and_acknowledged() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &["c"], &[]);
        harness.respond(
            EDS,
            "2",
            "b",
            vec![endpoints("c", 81), endpoints("stranger", 1), bad_endpoints("other")],
        );
        assert_eq!(harness.one().error, None);
        assert_eq!(harness.has(EDS), set(&["c"]));
    }
}

#[test]
fn xds_26_unknown_fields_are_no_reason_to_refuse() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &[], &[]);
        let (name, mut body) = cluster("c", 1);
        // Field 9999, a varint.
        prost::encoding::uint32::encode(9999, &7, &mut body.value);
        harness.respond(CDS, "2", "b", vec![(name, body)]);
        assert!(harness.take().iter().all(|sent| sent.error.is_none()));
        let put = &harness.last().update.put[0];
        assert!(
            put.unknown.iter().any(|unknown| unknown.path.contains("9999")),
            "{:?}",
            put.unknown
        );
    }
}

#[test]
fn xds_27_a_refusal_names_resource_and_reason_and_is_bounded() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &[], &[]);
        let many = (0..500)
            .map(|index| bad_cluster(&format!("cluster-{index:04}")))
            .collect();
        harness.respond(CDS, "2", "b", many);
        let error = harness.one().error.expect("a refusal");
        assert!(
            error.starts_with("Cluster \"cluster-0000\": connect_timeout: "),
            "{error}"
        );
        assert!(
            error.len() <= 2048 && error.ends_with(" more"),
            "{} {error}",
            error.len()
        );
        let shown = error.matches("Cluster \"").count();
        assert!(error.ends_with(&format!("and {} more", 500 - shown)), "{error}");
        // One that is too long by itself.
        harness.respond(CDS, "3", "c", vec![bad_cluster(&"é".repeat(5000))]);
        let error = harness.one().error.expect("a refusal");
        assert!(error.len() <= 2048 && error.len() > 1900, "{}", error.len());
    }
}

#[test]
fn xds_28_the_second_version_of_the_api_is_refused() {
    for protocol in BOTH {
        let mut harness = Harness::ready(protocol, &[], &[]);
        let (name, mut body) = cluster("c", 1);
        "type.googleapis.com/envoy.api.v2.Cluster".clone_into(&mut body.type_url);
        harness.respond(CDS, "2", "b", vec![(name, body)]);
        let error = harness.one().error.expect("a refusal");
        assert!(error.contains("envoy.api.v2.Cluster"), "{error}");
        assert!(harness.has(CDS).is_empty());
    }
}

#[test]
fn a_resource_in_a_wrapper_is_unwrapped() {
    let mut harness = Harness::ready(StateOfTheWorld, &[], &[]);
    let (name, body) = cluster("c", 1);
    let wrapper = Resource {
        name: name.clone(),
        resource: Some(body),
        ..Resource::default()
    };
    let wrapped = Any {
        type_url: "type.googleapis.com/envoy.service.discovery.v3.Resource".to_owned(),
        value: wrapper.encode_to_vec(),
    };
    harness.respond(CDS, "2", "b", vec![(name, wrapped)]);
    assert_eq!(harness.has(CDS), set(&["c"]));
    let broken = Any {
        type_url: "type.googleapis.com/envoy.service.discovery.v3.Resource".to_owned(),
        value: vec![0xff],
    };
    harness.take();
    harness.respond(CDS, "3", "c", vec![("c".to_owned(), broken)]);
    assert!(harness.one().error.is_some());
    assert_eq!(harness.has(CDS), set(&["c"]));
}

#[test]
fn a_name_outside_that_is_not_the_one_inside_is_refused() {
    let mut harness = Harness::ready(Delta, &[], &[]);
    harness.respond(CDS, "2", "b", vec![("other".to_owned(), cluster("c", 1).1)]);
    let error = harness.one().error.expect("a refusal");
    assert!(error.contains("\"other\"") && error.contains("\"c\""), "{error}");
}

proptest::proptest! {
    #[test]
    fn xds_69_random_bytes_are_refused_without_a_panic(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        kind in 0..4_usize,
        delta in proptest::prelude::any::<bool>(),
    ) {
        use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
        let protocol = if delta { Delta } else { StateOfTheWorld };
        let mut harness = Harness::ready(protocol, &["c"], &["l"]);
        let kind = [CDS, EDS, LDS, RDS][kind];
        let body = Any { type_url: url(kind), value: bytes.clone() };
        harness.respond(kind, "2", "b", vec![("c".to_owned(), body)]);
        // An answer, whatever it says.
        proptest::prop_assert!(harness.take().iter().any(|sent| sent.nonce == "b"));
        if let Ok(response) = DiscoveryResponse::decode(bytes.as_slice()) {
            harness.handle(Event::Response(Response::StateOfTheWorld(response)));
        }
        if let Ok(response) = DeltaDiscoveryResponse::decode(bytes.as_slice()) {
            harness.handle(Event::Response(Response::Delta(response)));
        }
        harness.respond(CDS, "3", "z", vec![cluster("c", 9)]);
        proptest::prop_assert!(harness.take().iter().any(|sent| sent.nonce == "z" && sent.error.is_none()));
    }
}
