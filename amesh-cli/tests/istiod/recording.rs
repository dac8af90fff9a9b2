//! What istiod sends today is what was recorded, and becomes the objects that the recording's snapshot has.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::istiod;

/// A sidecar without configuration, weights with headers, and a gateway with the mesh's part of its routes.
const SCENARIOS: [&str; 3] = ["01-bookinfo-default", "04-traffic-shifting", "14-ingress-http"];

#[test]
fn a_scenario_recorded_again_is_the_same_and_becomes_the_same() {
    let Some(harness) = istiod::harness() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    for name in SCENARIOS {
        let scenario = istiod::scenario(name);
        let nodes = fs::read_to_string(scenario.join("nodes.txt")).expect("the proxies");
        for line in nodes.lines() {
            let mut words = line.split_whitespace();
            let file = words.next().expect("a file");
            let flags: Vec<&str> = words.collect();
            let taken = dir.path().join("capture.json");
            capture(&harness, &scenario, &flags, &taken);

            let kept: Value = json(&scenario.join(file));
            assert!(json(&taken) == kept, "{name}/{file}: istiod sent something else");
            let given = objects(&taken);
            assert!(!given.is_empty(), "{name}/{file}: nothing came of it");
            assert_eq!(given, snapshot(name, file), "{name}/{file}");
        }
    }
}

fn capture(harness: &Path, scenario: &Path, flags: &[&str], out: &Path) {
    let mut command = Command::new(harness);
    command.arg("capture").arg("--config").arg(scenario.join("config"));
    command.arg("--out").arg(out).args(flags).stdin(Stdio::null());
    let output = command.output().expect("the harness runs");
    assert!(
        output.status.success(),
        "{}: {}",
        scenario.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `amesh translate` makes of a dump: kinds and objects, sorted.
fn objects(dump: &Path) -> Vec<(String, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amesh"));
    // As the snapshots are made.
    command.args(["translate", "-q", "--permit", "istio-mutual-tls", "--format", "json"]);
    let output = command.arg(dump).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let kinds = document.as_object().expect("an object").iter();
    let each = |(kind, list): (&String, &Value)| {
        let list = list.as_array().expect("a list").clone();
        list.into_iter()
            .map(|object| (kind.clone(), object.to_string()))
            .collect::<Vec<_>>()
    };
    let mut all: Vec<_> = kinds.flat_map(each).collect();
    all.sort();
    all
}

/// The objects in the snapshot of a recording: a line for each, its kind and its JSON, before the findings.
fn snapshot(scenario: &str, file: &str) -> Vec<(String, String)> {
    let name = format!("istiod-{scenario}-{}.snap", file.replace('.', "-"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../amesh-core/tests/snapshots/scenario")
        .join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (_, body) = text.split_once("\nobjects:\n").expect("objects");
    let (body, _) = body.split_once("\nfindings:\n").expect("findings");
    let each = |line: &str| {
        let (kind, object) = line.trim_start().split_once(' ').expect("a kind and an object");
        let object: Value = serde_json::from_str(object).expect("JSON");
        (kind.to_owned(), object.to_string())
    };
    let mut all: Vec<_> = body.lines().map(each).collect();
    all.sort();
    all
}
