//! What `watch` shows and writes.

use std::io::Read as _;
use std::process::Stdio;

use amesh_core::ResourceType;
use amesh_core::envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use insta::assert_snapshot;
use prost::Message as _;

use crate::plane::Plane;
use crate::{GATEWAY, Running, amesh, command, gateway, plane, text, wait_until};

const SERVICE: &str = "outbound|9080||reviews.shop.svc.cluster.local";

fn watch(plane: &Plane, more: &[&str]) -> Running {
    let mut args = vec!["watch", "--server", &plane.address, "--bootstrap", GATEWAY];
    args.extend(["--permit", "istio-mutual-tls"]);
    args.extend(more);
    Running::start(&args)
}

/// Gives the service so many endpoints, as a new version.
fn scale(plane: &Plane, endpoints: usize, version: &str) {
    let resources = gateway().resources.into_iter();
    let mut assignments = resources.filter(|resource| resource.body.kind() == ResourceType::ClusterLoadAssignment);
    let body = assignments.next().expect("endpoints").body.encode();
    let mut assignment = ClusterLoadAssignment::decode(body.as_slice()).expect("endpoints");
    let one = assignment.endpoints[0].lb_endpoints[0].clone();
    assignment.endpoints[0].lb_endpoints = vec![one; endpoints];
    plane.version(version);
    plane.put(ResourceType::ClusterLoadAssignment, SERVICE, assignment.encode_to_vec());
    plane.push(ResourceType::ClusterLoadAssignment, &[SERVICE]);
}

/// The lines without the time of day.
fn plain(lines: &[String], plane: &Plane) -> String {
    let text = lines.iter().map(|line| match line.get(..9) {
        Some(clock) if clock.ends_with(' ') && clock.contains(':') => format!("TIME {}\n", &line[9..]),
        _ => format!("{line}\n"),
    });
    text.collect::<String>().replace(&plane.address, "ADDRESS")
}

#[test]
fn people_see_what_each_push_changes() {
    let plane = plane();
    let running = watch(&plane, &["--events", "text"]);
    assert_snapshot!("first-push", plain(&running.until("error["), &plane));
    scale(&plane, 3, "2");
    assert_snapshot!(plain(&running.until("changed"), &plane), @"");
    assert_eq!(running.end("INT"), Some(0));
}

#[test]
fn programs_read_a_line_for_each_event() {
    let plane = plane();
    let running = watch(&plane, &["-v"]);
    let read = |line: String| -> serde_json::Value { serde_json::from_str(&line).expect("JSON") };
    assert_eq!(read(running.line())["event"], "connected");
    let first = read(running.line());
    assert_eq!((&first["event"], &first["first"]), (&"push".into(), &true.into()));
    assert!(first["added"][0]["object"].is_object(), "{first}");
    assert_eq!(first["totals"]["upstreams"], 2);
    scale(&plane, 2, "2");
    let push = read(running.line());
    assert_eq!(
        push["changed"][0]["key"],
        "/upstreams/outbound_9080__reviews.shop.svc.cluster.local"
    );
    assert_eq!(push["changed"][0]["object"]["nodes"][0]["weight"], 2, "{push}");
    plane.hang_up();
    let ended = read(running.line());
    assert_eq!(
        (&ended["event"], &ended["error"]),
        (&"disconnected".into(), &serde_json::Value::Null)
    );
    assert_eq!(read(running.line())["event"], "connected");
    assert_eq!(running.end("TERM"), Some(0));
}

#[test]
fn a_file_is_kept_in_step_and_stays_as_it_is_where_it_cannot_be_written() {
    let plane = plane();
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("apisix.yaml");
    let running = watch(&plane, &["-o", text(&out)]);
    running.until("\"written\"");
    let (_, translated, _) = amesh(&["translate", GATEWAY, "-q", "--permit", "istio-mutual-tls"]);
    assert_eq!(std::fs::read_to_string(&out).expect("the file"), translated);

    // Something stands in the way for a while.
    std::fs::remove_file(&out).expect("the file");
    std::fs::create_dir(&out).expect("a directory");
    scale(&plane, 2, "2");
    let lines = running.until("\"unwritten\"");
    assert!(
        lines.last().is_some_and(|line| line.contains("is a directory")),
        "{lines:?}"
    );
    std::fs::remove_dir(&out).expect("the directory");
    running.until("\"written\"");
    assert!(std::fs::read_to_string(&out).expect("the file").contains("weight: 2"));

    // The control plane goes: the file stays.
    drop(plane);
    running.until("\"disconnected\"");
    assert!(std::fs::read_to_string(&out).expect("the file").ends_with("#END\n"));
    assert_eq!(running.end("TERM"), Some(0));
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("the directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_is_missing_is_not_waited_for_without_end() {
    let plane = plane();
    plane.remove(ResourceType::ClusterLoadAssignment, SERVICE);
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("apisix.yaml");
    std::fs::write(&out, "as it was").expect("a file");
    let running = watch(&plane, &["-o", text(&out), "--wait", "2"]);
    running.until("\"connected\"");
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert_eq!(std::fs::read_to_string(&out).expect("the file"), "as it was");
    running.until("\"written\"");
    assert!(std::fs::read_to_string(&out).expect("the file").ends_with("#END\n"));
    assert_eq!(running.end("INT"), Some(0));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let plane = plane();
    let mut child = command(&["watch", "--server", &plane.address, "--bootstrap", GATEWAY])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("an event");
    drop(stdout);
    // It is noticed with the next event.
    let mut version = 2;
    wait_until(|| {
        scale(&plane, version, &version.to_string());
        version += 1;
        matches!(child.try_wait(), Ok(Some(_)))
    });
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
