//! The istiod that tests of a client connect to keeps its contract.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::istiod::{self, Istiod, listens, scenario, wait_until};

const EXTRA: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: added-later}
spec:
  hosts: [added-later.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
";

#[test]
fn an_istiod_serves_follows_its_folder_and_stops() {
    let Some(harness) = istiod::harness() else { return };
    let config = scenario("01-bookinfo-default").join("config");
    let mut istiod = Istiod::start(&harness, &config, &[] as &[&str]);
    istiod.get("/ready");
    assert!(listens(istiod.plaintext()) && listens(istiod.secure()));
    let root = fs::read_to_string(istiod.root_cert()).expect("the root certificate");
    assert!(root.starts_with("-----BEGIN CERTIFICATE-----"), "{root}");
    let connected: Value = serde_json::from_str(&istiod.get("/debug/syncz")).expect("JSON");
    assert_eq!(connected, Value::Array(Vec::new()), "nobody has connected");

    let known = |istiod: &Istiod| istiod.get("/debug/configz").contains("added-later.example.com");
    assert!(!known(&istiod));
    istiod.write("extra.yaml", EXTRA).expect("a file");
    assert!(wait_until(|| known(&istiod)), "what is added comes");
    istiod.remove("extra.yaml").expect("the file");
    assert!(wait_until(|| !known(&istiod)), "what is removed goes");

    let (addresses, folder) = (
        [istiod.plaintext(), istiod.secure()].map(str::to_owned),
        istiod.config().to_owned(),
    );
    assert!(istiod.stop(), "it stops by itself");
    assert!(!addresses.iter().any(|address| listens(address)), "{addresses:?}");
    assert!(!folder.exists(), "{}", folder.display());
    assert!(config.join("bookinfo.yaml").exists(), "only the copy is gone");
}

#[test]
fn a_restarted_istiod_has_its_addresses_and_its_authority() {
    let Some(harness) = istiod::harness() else { return };
    let config = scenario("01-bookinfo-default").join("config");
    let dir = tempfile::tempdir().expect("a directory");
    let authority = dir.path().join("ca.yaml").display().to_string();

    let first = Istiod::start(&harness, &config, &["--ca", &authority]);
    let plaintext = first.plaintext().to_owned();
    let secure = first.secure().to_owned();
    let trusted = fs::read(first.root_cert()).expect("the root certificate");
    drop(first);

    let flags = ["--ca", &authority, "--listen", &plaintext, "--secure-listen", &secure];
    let second = Istiod::start(&harness, &config, &flags);
    assert_eq!((second.plaintext(), second.secure()), (&*plaintext, &*secure));
    assert!(fs::read(second.root_cert()).expect("the root certificate") == trusted);
}

#[test]
fn the_script_for_people_serves_a_scenario_until_sigterm() {
    let Some(harness) = istiod::harness() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/istiod/live.sh");
    let mut child = Command::new(script)
        .args(["14-ingress-http", "--log", "error"])
        .env("AMESH_ISTIOD", harness)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the script runs");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let lines: Vec<String> = lines.map_while(Result::ok).take_while(|line| line != "ready").collect();
    let names: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once('=').map_or("", |(name, _)| name))
        .collect();
    assert_eq!(names, ["config", "root-cert", "plaintext", "secure", "http"]);
    let config = Path::new(&lines[0]["config=".len()..]);
    assert!(config.join("gateway.yaml").exists(), "{}", config.display());

    let kill = Command::new("kill").arg(child.id().to_string()).status();
    assert!(kill.expect("kill runs").success());
    assert!(child.wait().expect("it ends").success());
    assert!(!config.exists(), "{}", config.display());
}
