//! What is captured, what is missing, and what never gets into a file.

use amesh_core::ResourceType;
use amesh_core::dump;
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::core::v3::{DataSource, data_source};
use amesh_core::envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{Secret, TlsCertificate, secret};
use amesh_core::envoy_types::pb::google::protobuf::Duration;
use insta::assert_snapshot;
use prost::Message as _;

use crate::{GATEWAY, amesh, gateway, plane, text};

fn capture(address: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let mut args = vec!["capture", "--bootstrap", GATEWAY, "--server", address];
    args.extend(more);
    amesh(&args)
}

#[test]
fn a_capture_is_what_the_control_plane_has() {
    let plane = plane();
    let mut sent: Vec<_> = gateway().resources;
    sent.sort_by_key(|resource| (resource.body.kind(), resource.name.clone()));
    for protocol in ["delta", "sotw"] {
        for raw in [&[][..], &["--raw"]] {
            let mut more = vec!["--protocol", protocol];
            more.extend(raw);
            let (status, stdout, stderr) = capture(&plane.address, &more);
            assert_eq!(status, Some(0), "{stderr}");
            let summary = "1 listener, 1 route configuration, 2 clusters, 1 load assignment, 2 secrets";
            assert_eq!(stderr, format!("7 resources from {}: {summary}\n", plane.address));
            let mut taken = dump::read(stdout.as_bytes()).expect("a dump").resources;
            taken.retain(|resource| resource.body.kind() != ResourceType::Secret);
            taken.sort_by_key(|resource| (resource.body.kind(), resource.name.clone()));
            assert_eq!(taken, sent, "{more:?}");
        }
    }
}

#[test]
fn the_last_version_counts_and_what_is_refused_is_there() {
    let plane = plane();
    let bad = Cluster {
        name: "bad".to_owned(),
        connect_timeout: Some(Duration { seconds: -1, nanos: 0 }),
        ..Cluster::default()
    };
    plane.put(ResourceType::Cluster, "bad", bad.encode_to_vec());
    let (status, stdout, stderr) = capture(&plane.address, &["-q"]);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(
        stderr.starts_with("warning: Envoy would refuse Cluster \"bad\": "),
        "{stderr}"
    );
    let dump = dump::read(stdout.as_bytes()).expect("a dump");
    assert_eq!(dump.rejected.len(), 1, "{:?}", dump.rejected);
    assert_eq!(dump.rejected[0].name.as_deref(), Some("bad"));
}

#[test]
fn a_private_key_stays_out_unless_it_is_asked_for() {
    const KEY: &str = "-----BEGIN PRIVATE KEY----- of mine";
    let plane = plane();
    let key = DataSource {
        specifier: Some(data_source::Specifier::InlineString(KEY.to_owned())),
        ..DataSource::default()
    };
    let secret = Secret {
        name: "default".to_owned(),
        r#type: Some(secret::Type::TlsCertificate(TlsCertificate {
            private_key: Some(key),
            ..TlsCertificate::default()
        })),
    };
    plane.put(ResourceType::Secret, "default", secret.encode_to_vec());
    let kept = |stdout: &str| {
        let dump = dump::read(stdout.as_bytes()).expect("a dump");
        let encoded = dump.resources.iter().map(|resource| resource.body.encode());
        encoded
            .flatten()
            .collect::<Vec<u8>>()
            .windows(KEY.len())
            .any(|window| window == KEY.as_bytes())
    };
    for raw in [&["-q"][..], &["-q", "--raw"]] {
        let (_, stdout, _) = capture(&plane.address, raw);
        assert!(!kept(&stdout) && !stdout.contains(KEY), "{raw:?}");
        let mut more = raw.to_vec();
        more.push("--keep-secrets");
        let (_, stdout, _) = capture(&plane.address, &more);
        assert!(kept(&stdout), "{raw:?}");
    }
}

#[test]
fn what_is_missing_is_said_and_the_rest_is_written() {
    let plane = plane();
    let name = "outbound|9080||reviews.shop.svc.cluster.local";
    plane.remove(ResourceType::ClusterLoadAssignment, name);
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("dump.json");
    let (status, _, stderr) = capture(&plane.address, &["--timeout", "1", "-o", text(&out)]);
    assert_eq!(status, Some(5));
    assert_snapshot!(stderr.replace(&plane.address, "ADDRESS"), @"
    error: ADDRESS did not send everything within 1 s
    help: the dump holds what has come; --timeout SECONDS waits longer
    ");
    let dump = dump::read(&std::fs::read(&out).expect("the file")).expect("a dump");
    assert_eq!(
        dump.resources.len(),
        2,
        "clusters come first, and listeners wait for endpoints"
    );
}

#[test]
fn nothing_is_written_when_nothing_comes() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("dump.json");
    std::fs::write(&out, "as it was").expect("a file");
    let (status, stdout, stderr) = capture("127.0.0.1:1", &["--timeout", "1", "-o", text(&out)]);
    assert_eq!((status, stdout.as_str()), (Some(5), ""));
    assert_snapshot!(stderr, @"
    warning: 127.0.0.1:1: tcp connect error: Connection refused; trying again
    error: no answer within 1 s: 127.0.0.1:1: tcp connect error: Connection refused
    ");
    assert_eq!(std::fs::read_to_string(&out).expect("the file"), "as it was");
    let (status, _, stderr) = capture("127.0.0.1:1", &["-o", "no/such/dir/dump.json"]);
    assert_eq!(status, Some(4));
    assert_snapshot!(stderr, @"error: failed to write no/such/dir/dump.json: the directory no/such/dir does not exist");
}
