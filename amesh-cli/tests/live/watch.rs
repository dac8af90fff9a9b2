//! What `watch` shows and writes.

use std::io::Read as _;
use std::process::Stdio;

use amesh_core::{ResourceType, dump};
use insta::assert_snapshot;

use crate::plane::Plane;
use crate::{GATEWAY, Running, amesh, command, plane, text, wait_until};

const SERVICE: &str = "outbound|9080||reviews.shop.svc.cluster.local";

fn watch(plane: &Plane, more: &[&str]) -> Running {
    let mut args = vec!["watch", "--server", &plane.address, "--bootstrap", GATEWAY];
    args.extend(["--permit", "istio-mutual-tls"]);
    args.extend(more);
    Running::start(&args)
}

/// Gives the service so many endpoints, as a new version.
fn scale(plane: &Plane, endpoints: usize, version: usize) {
    let endpoint = |number| {
        format!(
            r#"{{"endpoint": {{"address": {{"socket_address": {{"address": "10.2.0.{number}", "port_value": 9080}}}}}}}}"#
        )
    };
    let endpoints: Vec<String> = (1..=endpoints).map(endpoint).collect();
    let assignment = format!(
        r#"{{"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": "{SERVICE}", "endpoints": [{{"lb_endpoints": [{}]}}]}}"#,
        endpoints.join(", ")
    );
    let dump = dump::read(assignment.as_bytes()).expect("a load assignment");
    plane.version(&version.to_string());
    plane.put(
        ResourceType::ClusterLoadAssignment,
        SERVICE,
        dump.resources[0].body.encode(),
    );
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
    assert_snapshot!("first-push", plain(&running.until("[istio-mutual-tls]"), &plane));
    scale(&plane, 3, 2);
    assert_snapshot!(plain(&running.until("no longer"), &plane), @r#"
    TIME Objects: 0 added, 1 changed, 0 removed. Findings: 0 come, 1 gone.
    changed /upstreams/outbound_9080__reviews.shop.svc.cluster.local
    - no longer: fails-closed[istio-mutual-tls] Cluster "outbound|9080||reviews.shop.svc.cluster.local" at transport_socket_matches[0]: 4 of 4 endpoints
    "#);
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
    scale(&plane, 2, 2);
    let push = read(running.line());
    assert_eq!(
        push["changed"][0]["key"],
        "/upstreams/outbound_9080__reviews.shop.svc.cluster.local"
    );
    assert_eq!(push["changed"][0]["object"]["nodes"][1]["host"], "10.2.0.2", "{push}");
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
    scale(&plane, 2, 2);
    let lines = running.until("\"unwritten\"");
    assert!(
        lines.last().is_some_and(|line| line.contains("is a directory")),
        "{lines:?}"
    );
    std::fs::remove_dir(&out).expect("the directory");
    running.until("\"written\"");
    assert!(std::fs::read_to_string(&out).expect("the file").contains("10.2.0.2"));

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
        scale(&plane, version % 9, version);
        version += 1;
        matches!(child.try_wait(), Ok(Some(_)))
    });
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
