//! Responses as they came, one on each line.

use amesh_core::dump::{self, Dump, Error, Response, Shape, WriteOptions};
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use amesh_core::envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryResponse, DiscoveryResponse, Resource as Wrapper,
};
use amesh_core::envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

use crate::{law, source};

/// Lines with everything in them.
fn lines<'r>(responses: impl IntoIterator<Item = Response<'r>>) -> Vec<u8> {
    let mut options = WriteOptions::default();
    options.keep_secrets = true;
    let mut out = Vec::new();
    for response in responses {
        let line = dump::write_response(response, &options);
        assert_eq!(line.left_out, []);
        assert_eq!(
            line.json.iter().position(|byte| *byte == b'\n'),
            Some(line.json.len() - 1)
        );
        out.extend(line.json);
    }
    out
}

fn recorded<M: Message + Default>(file: &str) -> Vec<M> {
    let folder = source::fixtures().join("scenario/istiod/01-bookinfo-default");
    let bytes = std::fs::read(folder.join(file)).unwrap();
    let mut rest = bytes.as_slice();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        messages.push(M::decode_length_delimited(&mut rest).unwrap());
    }
    messages
}

#[test]
fn what_a_real_istiod_sent_is_read_back_in_both_protocols() {
    let [sotw, delta] = source::responses();
    let responses: Vec<DiscoveryResponse> = recorded("responses-sotw.pb");
    let text = lines(responses.iter().map(Response::StateOfTheWorld));
    let dump = dump::read(&text).unwrap();
    assert_eq!(dump.shape, Shape::DiscoveryResponses);
    assert_eq!(
        law::meaning(&dump.resources, &dump.rejected),
        law::sent(&sotw.resources)
    );
    let responses: Vec<DeltaDiscoveryResponse> = recorded("responses-delta.pb");
    let text = lines(responses.iter().map(Response::Delta));
    let dump = dump::read(&text).unwrap();
    assert_eq!(
        law::meaning(&dump.resources, &dump.rejected),
        law::sent(&delta.resources)
    );
}

#[test]
fn a_line_holds_all_of_a_response() {
    let response = DeltaDiscoveryResponse {
        system_version_info: "7".to_owned(),
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        nonce: "n".to_owned(),
        resources: vec![Wrapper {
            name: "a".to_owned(),
            version: "1".to_owned(),
            resource: Some(Any {
                type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
                value: vec![0xff, 0, 1],
            }),
            ..Wrapper::default()
        }],
        removed_resources: vec!["b".to_owned()],
        ..DeltaDiscoveryResponse::default()
    };
    let text = String::from_utf8(lines([Response::Delta(&response)])).unwrap();
    assert_eq!(
        text,
        "{\"system_version_info\":\"7\",\"resources\":[{\"version\":\"1\",\
         \"resource\":{\"@type\":\"type.googleapis.com/envoy.config.cluster.v3.Cluster\",\"value\":\"/wAB\"},\
         \"name\":\"a\"}],\"type_url\":\"type.googleapis.com/envoy.config.cluster.v3.Cluster\",\"nonce\":\"n\",\
         \"removed_resources\":[\"b\"]}\n"
    );
    let dump = dump::read(text.as_bytes()).unwrap();
    assert_eq!(dump.shape, Shape::DiscoveryResponse);
    // The name is that of the envelope.
    let rejected = dump.rejected.first().unwrap().to_string();
    assert!(rejected.starts_with("Cluster \"a\": malformed protobuf"), "{rejected}");
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

fn cluster(name: &str) -> Any {
    any(&Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        ..Cluster::default()
    })
}

fn endpoints(name: &str) -> Any {
    any(&ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        ..ClusterLoadAssignment::default()
    })
}

fn garbage<M: Name>() -> Any {
    Any {
        type_url: M::type_url(),
        value: vec![0xff],
    }
}

fn sotw<M: Name>(resources: &[Any]) -> DiscoveryResponse {
    DiscoveryResponse {
        type_url: M::type_url(),
        version_info: "1".to_owned(),
        resources: resources.to_vec(),
        ..DiscoveryResponse::default()
    }
}

fn delta<M: Name>(resources: &[(&str, Any)], removed: &[&str]) -> DeltaDiscoveryResponse {
    let resources = resources.iter().map(|(name, any)| Wrapper {
        name: (*name).to_owned(),
        resource: Some(any.clone()),
        ..Wrapper::default()
    });
    DeltaDiscoveryResponse {
        type_url: M::type_url(),
        resources: resources.collect(),
        removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryResponse::default()
    }
}

/// The names of what is there, and of what is rejected.
fn names(dump: &Dump) -> (Vec<String>, Vec<String>) {
    let resources = dump
        .resources
        .iter()
        .map(|resource| format!("{} {}", resource.body.kind(), resource.name));
    let rejected = dump
        .rejected
        .iter()
        .map(|rejected| rejected.name.clone().unwrap_or_default());
    (resources.collect(), rejected.collect())
}

fn check_sotw(responses: &[DiscoveryResponse], resources: &[&str], rejected: &[&str]) {
    let dump = dump::read(&lines(responses.iter().map(Response::StateOfTheWorld))).unwrap();
    let (found, refused) = names(&dump);
    assert_eq!(found, resources);
    assert_eq!(refused, rejected);
}

fn check_delta(responses: &[DeltaDiscoveryResponse], resources: &[&str], rejected: &[&str]) {
    let dump = dump::read(&lines(responses.iter().map(Response::Delta))).unwrap();
    let (found, refused) = names(&dump);
    assert_eq!(found, resources);
    assert_eq!(refused, rejected);
}

#[test]
fn in_state_of_the_world_clusters_are_replaced_and_endpoints_are_merged() {
    check_sotw(
        &[
            sotw::<Cluster>(&[cluster("a"), cluster("b")]),
            sotw::<ClusterLoadAssignment>(&[endpoints("a"), endpoints("b")]),
            sotw::<Cluster>(&[cluster("b"), cluster("c")]),
            sotw::<ClusterLoadAssignment>(&[endpoints("c")]),
        ],
        &[
            "Cluster b",
            "Cluster c",
            "ClusterLoadAssignment a",
            "ClusterLoadAssignment b",
            "ClusterLoadAssignment c",
        ],
        &[],
    );
    check_sotw(&[sotw::<Cluster>(&[cluster("a")]), sotw::<Cluster>(&[])], &[], &[]);
}

#[test]
fn in_state_of_the_world_the_last_good_version_of_what_is_bad_stays() {
    // Without a legible name it may be any that is missing.
    check_sotw(
        &[
            sotw::<Cluster>(&[cluster("a"), cluster("b")]),
            sotw::<Cluster>(&[cluster("a"), garbage::<Cluster>()]),
        ],
        &["Cluster a", "Cluster b"],
        &[""],
    );
    // Once all is well, nothing is said of what was bad.
    check_sotw(
        &[
            sotw::<Cluster>(&[cluster("a"), cluster("b")]),
            sotw::<Cluster>(&[cluster("a"), garbage::<Cluster>()]),
            sotw::<Cluster>(&[cluster("a")]),
        ],
        &["Cluster a"],
        &[],
    );
}

#[test]
fn in_delta_resources_come_and_go_by_name() {
    check_delta(
        &[
            delta::<Cluster>(&[("a", cluster("a")), ("b", cluster("b"))], &[]),
            delta::<Cluster>(&[("c", cluster("c"))], &["a", "never there"]),
            delta::<Cluster>(&[], &[]),
        ],
        &["Cluster b", "Cluster c"],
        &[],
    );
    check_delta(
        &[
            delta::<Cluster>(&[("a", cluster("a"))], &[]),
            delta::<Cluster>(&[("a", garbage::<Cluster>()), ("b", garbage::<Cluster>())], &[]),
        ],
        &["Cluster a"],
        &["a", "b"],
    );
    check_delta(
        &[
            delta::<Cluster>(&[("a", garbage::<Cluster>()), ("b", garbage::<Cluster>())], &[]),
            delta::<Cluster>(&[("a", cluster("a"))], &["b"]),
        ],
        &["Cluster a"],
        &[],
    );
}

#[test]
fn endpoints_that_are_taken_away_stay_while_a_cluster_refers_to_them() {
    let all = delta::<ClusterLoadAssignment>(&[("a", endpoints("a")), ("b", endpoints("b"))], &[]);
    let none = delta::<ClusterLoadAssignment>(&[], &["a", "b"]);
    let clusters = delta::<Cluster>(&[("a", cluster("a"))], &[]);
    check_delta(
        &[clusters, all, none.clone()],
        &["Cluster a", "ClusterLoadAssignment a"],
        &[],
    );
    check_delta(
        &[delta::<ClusterLoadAssignment>(&[("a", endpoints("a"))], &[]), none],
        &[],
        &[],
    );
}

#[test]
fn a_heartbeat_is_no_resource() {
    let mut beat = delta::<Cluster>(&[("a", cluster("a"))], &[]);
    beat.resources.push(Wrapper {
        name: "b".to_owned(),
        version: "1".to_owned(),
        ..Wrapper::default()
    });
    check_delta(&[beat.clone(), beat], &["Cluster a"], &[]);
}

#[test]
fn what_is_no_resource_at_all_is_rejected_as_such() {
    let response = sotw::<Cluster>(&[Any::default(), any(&Wrapper::default())]);
    let dump = dump::read(&lines([Response::StateOfTheWorld(&response)])).unwrap();
    let rejected: Vec<String> = dump.rejected.iter().map(ToString::to_string).collect();
    assert_eq!(
        rejected,
        [r#"resource type "" is not one that a mesh sends to a proxy"#; 2]
    );
}

#[test]
fn a_wrapped_resource_is_unwrapped() {
    let wrapped = any(&Wrapper {
        name: "a".to_owned(),
        resource: Some(cluster("a")),
        ..Wrapper::default()
    });
    check_sotw(&[sotw::<Cluster>(&[wrapped])], &["Cluster a"], &[]);
}

#[test]
fn a_list_of_responses_is_the_same() {
    let response = |name: &str| {
        format!(
            r#"{{"type_url": "x/envoy.config.cluster.v3.Cluster", "version_info": "1", "resources": [{{"name": "{name}"}}]}}"#
        )
    };
    let dump = dump::read(format!("[{}, {}]", response("a"), response("b")).as_bytes()).unwrap();
    assert_eq!(dump.shape, Shape::DiscoveryResponses);
    assert_eq!(names(&dump), (vec!["Cluster b".to_owned()], vec![]));
}

#[test]
fn what_is_wrong_with_a_line_is_said_with_its_place() {
    let response = r#"{"type_url": "x/envoy.config.cluster.v3.Cluster", "nonce": "1"}"#;
    let error = |text: String| dump::read(text.as_bytes()).unwrap_err();
    assert_eq!(
        error(format!("{response}\n{{\"a\":\n")).to_string(),
        "malformed JSON at line 3, column 0: EOF while parsing a value"
    );
    assert_eq!(
        error(format!("{response}\n{response}\n{{\"a\": 1}}\n")).to_string(),
        "[2]: expected a discovery response, as those before it"
    );
    assert_eq!(
        error(format!("{{\"configs\": []}}\n{response}")),
        Error::SeveralDocuments
    );
    // What follows a document and is none itself is told as before.
    for text in ["{\"configs\": []} x", "{\"configs\": []}}", "[] ]"] {
        let error = error(text.to_owned()).to_string();
        assert!(error.ends_with("trailing characters"), "{text}: {error}");
    }
}
