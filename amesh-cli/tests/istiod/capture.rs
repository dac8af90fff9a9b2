//! `amesh capture` as a sidecar and as a gateway: over plaintext and TLS, in both variants of the protocol, it writes
//! what was recorded.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use amesh_core::dump::{self, Dump};
use amesh_core::envoy_types::pb::google::protobuf::value::Kind;
use amesh_core::{Options, ResourceType, Snapshot, translate};

use crate::istiod::{self, Istiod, scenario};

/// A scenario, and the recording of a proxy in it.
const PROXIES: [(&str, &str); 4] = [
    ("02-request-routing", "capture.json"),
    ("14-ingress-http", "capture-router.json"),
    // Its certificates come from istiod, to those whom istiod knows.
    ("15-ingress-tls", "capture-router.json"),
    ("23-gateway-api", "capture-router.json"),
];

pub(crate) fn amesh(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amesh"));
    command.args(args).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command.output().expect("the binary runs")
}

fn read(path: &Path) -> Dump {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    dump::read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The service account of the proxy, as a token says it.
fn account(dump: &Dump) -> String {
    let metadata = dump
        .node
        .as_ref()
        .and_then(|node| node.metadata.as_ref())
        .expect("metadata");
    let field = |key: &str| match &metadata.fields[key].kind {
        Some(Kind::StringValue(text)) => text.clone(),
        other => panic!("{key}: {other:?}"),
    };
    format!("{}/{}", field("NAMESPACE"), field("SERVICE_ACCOUNT"))
}

/// What a dump comes to: its resources by type, name and size, the objects, and what is lost.
fn meaning(dump: Dump, secrets: bool) -> Vec<String> {
    let mut resources = dump.resources;
    resources.retain(|resource| secrets || resource.body.kind() != ResourceType::Secret);
    let mut lines: Vec<String> = resources
        .iter()
        // istiod sends some lists in random order, so bytes cannot be compared.
        .map(|resource| {
            let (kind, name, size) = (resource.body.kind(), &resource.name, resource.body.encode().len());
            format!("{kind} {name}: {size}")
        })
        .collect();
    lines.sort();
    let translation = translate(&Snapshot::from_resources(resources), &Options::default());
    let objects = translation.objects().iter();
    lines.extend(objects.map(|(key, object)| format!("{key}: {}", serde_json::to_string(object).expect("JSON"))));
    let findings = translation.findings().into_iter();
    lines.extend(findings.map(|finding| serde_json::to_string(finding).expect("JSON")));
    lines.extend(dump.rejected.iter().map(ToString::to_string));
    lines
}

#[test]
fn every_way_to_istiod_gives_what_was_recorded() {
    let Some(harness) = istiod::harness() else { return };
    std::thread::scope(|scope| {
        for (name, file) in PROXIES {
            scope.spawn(|| compare(&harness, name, file));
        }
    });
}

/// Captures in every way, and compares with the recording.
fn compare(harness: &Path, name: &str, file: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let istiod = Istiod::start(harness, &scenario(name).join("config"), &["--log", "error"]);
    let recording = scenario(name).join(file);
    let token = dir.path().join("token");
    std::fs::write(&token, account(&read(&recording))).expect("a file");
    let secure = [
        "--server",
        istiod.secure(),
        "--server-name",
        "istiod.istio-system.svc",
        "--ca-cert",
        text(istiod.root_cert()),
        "--token",
        text(&token),
    ];
    let plaintext = ["--server", istiod.plaintext()];
    for protocol in ["delta", "sotw"] {
        for (server, secrets) in [(&plaintext[..], false), (&secure[..], true)] {
            let out = dir.path().join("capture.json");
            let mut args = vec!["capture", "--protocol", protocol, "--quiet", "-o", text(&out)];
            args.extend(["--bootstrap", text(&recording)]);
            args.extend(server);
            let run = amesh(&args);
            let what = format!("{name} {protocol} {server:?}");
            let stderr = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{what}: {stderr}");
            // Whoever is nobody gets no secrets, and waits for them in vain.
            assert!(!secrets || stderr.is_empty(), "{what}: {stderr}");
            let (taken, recorded) = (read(&out), read(&recording));
            let id = |dump: &Dump| dump.node.as_ref().map(|node| node.id.clone());
            assert_eq!(id(&taken), id(&recorded), "{what}");
            let (taken, recorded) = (meaning(taken, secrets), meaning(recorded, secrets));
            assert!(recorded.len() > 10, "{what}");
            assert_same(&taken, &recorded, &what);
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Fails with the lines that differ.
fn assert_same(taken: &[String], recorded: &[String], what: &str) {
    let alone = |list: &[String], from: &[String], mark: &str| {
        let alone = list.iter().filter(|line| !from.contains(line));
        alone.map(|line| format!("{mark} {line}")).collect::<Vec<_>>()
    };
    let mut differences = alone(recorded, taken, "-");
    differences.extend(alone(taken, recorded, "+"));
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}
