//! `amesh watch` beside a real istiod: what is shown while its YAML is edited, while it is gone, and when it sends what
//! must be refused.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::capture::amesh;
use crate::istiod::{self, Istiod, scenario, wait_until};

const SCENARIO: &str = "02-request-routing";
const POD: &str = "productpage-v1-0.default";

/// A service of its own, with one endpoint.
const EXTRA: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: extra, namespace: default}
spec:
  hosts: [extra.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [{address: 10.9.9.9}]
";

/// Its routes.
const ROUTES: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: extra, namespace: default}
spec:
  hosts: [extra.example]
  http:
  - match: [{uri: {prefix: /a}}]
    route: [{destination: {host: extra.example}}]
  - route: [{destination: {host: reviews, subset: v1}}]
";

/// What Envoy refuses: a time to connect that is below zero.
const BAD: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: bad, namespace: default}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND}
    patch:
      operation: ADD
      value: {name: bad, type: STATIC, connect_timeout: -1s}
";

/// A running `amesh watch`, and the events that it shows.
struct Watch {
    child: Child,
    events: mpsc::Receiver<Value>,
}

impl Watch {
    fn start(istiod: &Istiod, protocol: &str, file: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_amesh"))
            .args(["watch", "--permit", "istio-mutual-tls", "--protocol", protocol])
            .args(["--server", istiod.plaintext(), "--bootstrap"])
            .arg(scenario(SCENARIO).join("capture.json"))
            .arg("--output")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, events) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("a JSON object in each line");
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        Self { child, events }
    }

    /// The next event.
    #[track_caller]
    fn next(&self) -> Value {
        match self.events.recv_timeout(Duration::from_secs(30)) {
            Ok(event) => event,
            Err(error) => panic!("no event in time: {error}"),
        }
    }

    /// The next event, which has to be of that name.
    #[track_caller]
    fn expect(&self, name: &str) -> Value {
        let event = self.next();
        assert_eq!(event["event"], name, "{event}");
        event
    }

    /// What a push changed, when the file is in step with it.
    #[track_caller]
    fn push(&self) -> [Vec<String>; 3] {
        let event = self.expect("push");
        self.expect("written");
        ["added", "changed", "removed"].map(|key| texts(&event[key]))
    }

    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap_or_default();
        line.split_whitespace()
            .nth(1)
            .and_then(|size| size.parse().ok())
            .unwrap_or_default()
    }

    fn stop(mut self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(kill.expect("kill runs").success());
        self.expect("stopped");
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// Whether istiod's books say that everything that was sent to the proxy was accepted.
fn is_synced(istiod: &Istiod) -> bool {
    let books: Value = serde_json::from_str(&istiod.get("/debug/syncz")).expect("JSON");
    let proxies = books.as_array().expect("a list");
    proxies.iter().filter(|proxy| proxy["proxy"] == POD).any(|proxy| {
        let resources = proxy["resources"].as_object().expect("types");
        resources.len() == 4 && resources.values().all(|kind| kind["sent"] == kind["acked"])
    })
}

/// What `amesh capture` and `amesh translate` make of the same istiod at this moment.
fn translated(istiod: &Istiod, dir: &Path) -> String {
    let dump: PathBuf = dir.join("dump.json");
    let node = scenario(SCENARIO).join("capture.json");
    let capture = amesh(&[
        "capture",
        "--server",
        istiod.plaintext(),
        "--bootstrap",
        node.to_str().expect("a path in UTF-8"),
        "-o",
        dump.to_str().expect("a path in UTF-8"),
    ]);
    assert!(capture.status.success(), "{}", String::from_utf8_lossy(&capture.stderr));
    let args = [
        "translate",
        "-q",
        "--permit",
        "istio-mutual-tls",
        dump.to_str().expect("a path in UTF-8"),
    ];
    String::from_utf8(amesh(&args).stdout).expect("text")
}

fn follow(harness: &Path, protocol: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("apisix.yaml");
    let kept = || std::fs::read_to_string(&file).expect("the file");
    let config = scenario(SCENARIO).join("config");
    let istiod = Istiod::start(harness, &config, &["--log", "error"]);
    let address = istiod.plaintext().to_owned();
    let watch = Watch::start(&istiod, protocol, &file);

    watch.expect("connected");
    let first = watch.expect("push");
    assert_eq!(first["first"], true);
    assert!(texts(&first["added"]).len() > 20, "{first}");
    assert!(!first["findings"]["come"].as_array().expect("a list").is_empty());
    watch.expect("written");
    assert_eq!(kept(), translated(&istiod, dir.path()), "{protocol}");
    assert!(wait_until(|| is_synced(&istiod)), "{}", istiod.get("/debug/syncz"));

    // A service comes with its endpoints and routes.
    istiod.write("extra.yaml", EXTRA).expect("a file");
    let [added, changed, removed] = watch.push();
    assert!(
        added.contains(&"/upstreams/outbound_9080__extra.example".to_owned()),
        "{added:?}"
    );
    assert!(
        added.iter().any(|key| key.starts_with("/routes/9080.extra.example")),
        "{added:?}"
    );
    assert_eq!((changed.len(), removed.len()), (0, 0), "{changed:?} {removed:?}");

    // Its VirtualService changes routes and nothing else.
    istiod.write("routes.yaml", ROUTES).expect("a file");
    let [added, changed, removed] = watch.push();
    let all: Vec<&String> = added.iter().chain(&changed).chain(&removed).collect();
    assert!(
        !all.is_empty() && all.iter().all(|key| key.starts_with("/routes/9080.extra.example")),
        "{all:?}"
    );

    // An endpoint changes one upstream.
    istiod
        .write("extra.yaml", &EXTRA.replace("10.9.9.9", "10.9.9.8"))
        .expect("a file");
    let [added, changed, removed] = watch.push();
    assert_eq!(changed, ["/upstreams/outbound_9080__extra.example"]);
    assert_eq!((added.len(), removed.len()), (0, 0), "{added:?} {removed:?}");
    assert!(kept().contains("10.9.9.8"));
    assert_eq!(kept(), translated(&istiod, dir.path()), "{protocol}");

    // What Envoy refuses is refused by name, and what came with it is used.
    istiod.write("bad.yaml", BAD).expect("a file");
    let refused = watch.expect("refused");
    assert_eq!(refused["type"], "Cluster");
    assert!(
        refused["message"].as_str().expect("a text").contains("connect_timeout"),
        "{refused}"
    );
    let push = watch.expect("push");
    assert_eq!(texts(&push["rejected"]).len(), 1, "{push}");
    let told = || istiod.get("/debug/syncz").contains("connect_timeout");
    assert!(wait_until(told), "{}", istiod.get("/debug/syncz"));
    istiod
        .write("extra.yaml", &EXTRA.replace("10.9.9.9", "10.9.9.7"))
        .expect("a file");
    let [_, changed, _] = watch.push();
    assert_eq!(changed, ["/upstreams/outbound_9080__extra.example"]);
    istiod.remove("bad.yaml").expect("the file");
    let push = watch.expect("push");
    assert_eq!(texts(&push["accepted"]).len(), 1, "{push}");
    assert!(wait_until(|| is_synced(&istiod)), "{}", istiod.get("/debug/syncz"));

    // A service goes with all that was for it.
    istiod.remove("routes.yaml").expect("the file");
    watch.push();
    istiod.remove("extra.yaml").expect("the file");
    let [added, changed, removed] = watch.push();
    assert!(
        removed.contains(&"/upstreams/outbound_9080__extra.example".to_owned()),
        "{removed:?}"
    );
    assert_eq!((added.len(), changed.len()), (0, 0), "{added:?} {changed:?}");

    // istiod goes and comes back: the file stays as it is, and nothing is written.
    let before = kept();
    let written = std::fs::metadata(&file)
        .and_then(|file| file.modified())
        .expect("a time");
    drop(istiod);
    watch.expect("disconnected");
    let istiod = Istiod::start(harness, &config, &["--log", "error", "--listen", &address]);
    loop {
        let event = watch.next();
        match event["event"].as_str() {
            Some("disconnected") => {}
            Some("connected") => break,
            _ => panic!("{event}"),
        }
    }
    assert!(wait_until(|| is_synced(&istiod)), "{}", istiod.get("/debug/syncz"));
    assert_eq!(kept(), before);
    assert_eq!(
        std::fs::metadata(&file)
            .and_then(|file| file.modified())
            .expect("a time"),
        written
    );

    // It goes on from there, and does not grow.
    let mut resident = 0;
    for round in 0..12 {
        let address = format!("10.8.0.{}", round + 1);
        istiod
            .write("extra.yaml", &EXTRA.replace("10.9.9.9", &address))
            .expect("a file");
        watch.push();
        if round == 3 {
            resident = watch.resident();
        }
    }
    let now = watch.resident();
    assert!(now < resident + 4096, "{resident} KiB became {now} KiB");
    watch.stop();
}

#[test]
fn a_mesh_is_followed_while_its_yaml_changes_in_delta() {
    let Some(harness) = istiod::harness() else { return };
    follow(&harness, "delta");
}

#[test]
fn a_mesh_is_followed_while_its_yaml_changes_in_state_of_the_world() {
    let Some(harness) = istiod::harness() else { return };
    follow(&harness, "sotw");
}
