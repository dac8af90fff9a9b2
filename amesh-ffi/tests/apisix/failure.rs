//! What happens to traffic when something of a live mesh changes, breaks or is restarted, under a fixed rate of requests.
//!
//! `AMESH_RATE` and `AMESH_SECONDS` make it longer: requests a second, and how long each row lasts. `AMESH_SERVICES` makes the
//! mesh larger.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::apisix::{self, Apisix};
use crate::istiod::{self, Istiod, wait_until};
use crate::load::{Load, Sum};
use crate::workload::workload;
use crate::{GATEWAY, package};

fn setting(name: &str, default: u32) -> u32 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name}={value}"))
    })
}

struct Live {
    apisix: Apisix,
    istiod: Option<Istiod>,
    /// Workloads that answer the same.
    endpoints: [u16; 2],
    mesh: Mesh,
    rate: u32,
    lasts: Duration,
    rows: Vec<(&'static str, Sum)>,
}

/// What the mesh's YAML says.
#[derive(Debug, Clone, Default)]
struct Mesh {
    port: u16,
    /// The workload of the service, by version, and the service's versions that are subsets.
    endpoints: Vec<(&'static str, u16)>,
    subsets: Vec<&'static str>,
    /// Where the load goes: weights of subsets, or the service.
    load: Vec<(&'static str, u32)>,
    /// Tells this mesh from the one before.
    turn: usize,
}

impl Mesh {
    fn path(&self) -> String {
        format!("/turn/{}", self.turn)
    }

    fn text(&self) -> String {
        let lines = |lines: Vec<String>| lines.concat();
        let endpoints = self.endpoints.iter().map(|(version, port)| {
            format!("\n  - {{address: 127.0.0.1, ports: {{http: {port}}}, labels: {{version: {version}}}}}")
        });
        let subsets = self
            .subsets
            .iter()
            .map(|version| format!("\n  - {{name: {version}, labels: {{version: {version}}}}}"));
        let subsets: Vec<String> = subsets.collect();
        let rule = if subsets.is_empty() {
            String::new()
        } else {
            format!(
                "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: one, namespace: default}}
spec:
  host: one.example
  subsets:{}",
                subsets.concat()
            )
        };
        let load = if self.load.is_empty() {
            "\n    - destination: {host: one.example}".to_owned()
        } else {
            let weighted = self.load.iter().map(|(version, weight)| {
                format!("\n    - {{destination: {{host: one.example, subset: {version}}}, weight: {weight}}}")
            });
            lines(weighted.collect())
        };
        format!(
            "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: one, namespace: default}}
spec:
  hosts: [one.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints:{}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: live, namespace: default}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {}, name: live, protocol: HTTP}}, hosts: [\"*\"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: live, namespace: default}}
spec:
  hosts: [shop.example]
  gateways: [live]
  http:
  - match: [{{uri: {{prefix: {}}}}}]
    route: [{{destination: {{host: one.example}}}}]
  - name: load
    match: [{{uri: {{prefix: /load}}}}]
    route:{load}{rule}
",
            lines(endpoints.collect()),
            self.port,
            self.path(),
        )
    }
}

impl Live {
    fn istiod(&self) -> &Istiod {
        self.istiod.as_ref().expect("an istiod")
    }

    fn write(&self) {
        self.istiod().write("live.yaml", &self.mesh.text()).expect("a file");
    }

    /// Writes the mesh, and waits until it is served.
    fn serve(&mut self) {
        self.mesh.turn += 1;
        self.write();
        let path = self.mesh.path();
        let answer = || self.apisix.get("shop.example", &path, "");
        let served = || answer().is_some_and(|(status, _)| status == 200);
        assert!(wait_until(served), "{path} is {:?}", answer());
    }

    /// The service has its other endpoint, and a route its next path.
    fn change(&mut self) {
        let endpoint = self.endpoints[self.mesh.turn % 2];
        self.mesh.endpoints = vec![("a", endpoint)];
        self.serve();
    }

    /// A subset and what uses it come, and go, each after what it needs: as Istio wants it from operators.
    fn make_before_break(&mut self) {
        let [one, other] = self.endpoints;
        let (old, new, port) = if self.mesh.subsets == ["a"] {
            ("a", "b", one)
        } else {
            ("b", "a", other)
        };
        self.mesh.endpoints.push((new, port));
        self.mesh.subsets.push(new);
        self.serve();
        self.mesh.load = vec![(new, 100)];
        self.serve();
        self.mesh.subsets.retain(|version| *version != old);
        self.serve();
        self.mesh.endpoints.retain(|(version, _)| *version != old);
        self.serve();
        // Then no subset at all, for every second turn of these.
        if new == "a" {
            self.without_subsets();
        }
    }

    /// One subset takes the place of another in one step, with what uses it.
    fn exchange(&mut self) {
        let [one, other] = self.endpoints;
        let (new, port) = if self.mesh.subsets == ["a"] {
            ("b", one)
        } else {
            ("a", other)
        };
        self.mesh.endpoints = vec![(new, port)];
        self.mesh.subsets = vec![new];
        self.mesh.load = vec![(new, 100)];
        self.serve();
    }

    /// No subsets, each after what uses it.
    fn without_subsets(&mut self) {
        self.mesh.load.clear();
        self.serve();
        self.mesh.subsets.clear();
        self.serve();
    }

    /// What each worker refuses, by key.
    fn rejected(&self) -> Vec<Vec<(String, String)>> {
        let status = self.apisix.control("plugin/amesh-status");
        let workers = status["workers"].as_array().expect("workers");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        workers
            .iter()
            .map(|worker| {
                let rejected = worker["rejected"].as_array().into_iter().flatten();
                rejected.map(|one| (text(&one["key"]), text(&one["error"]))).collect()
            })
            .collect()
    }

    /// Weights need a plugin that this APISIX has not: the route stays as it was, and every worker says why, until the
    /// weights are gone.
    fn missing_plugin(&mut self) {
        self.mesh.subsets = vec!["a", "b"];
        self.mesh.endpoints = vec![("a", self.endpoints[0]), ("b", self.endpoints[1])];
        self.mesh.load = vec![("a", 50), ("b", 50)];
        self.serve();
        let refused = || {
            let workers = self.rejected();
            workers.len() == 2
                && workers.iter().all(|rejected| {
                    let [(key, error)] = rejected.as_slice() else {
                        return false;
                    };
                    key.starts_with("/routes/") && error.contains("unknown plugin [traffic-split]")
                })
        };
        assert!(wait_until(refused), "{:?}", self.rejected());
        std::thread::sleep(Duration::from_millis(200));
        self.mesh.load.clear();
        self.serve();
        let taken = || self.rejected().iter().all(Vec::is_empty);
        assert!(wait_until(taken), "{:?}", self.rejected());
        self.mesh.subsets.clear();
        self.serve();
    }

    /// Does something again and again under load.
    fn row(&mut self, what: &'static str, mut action: impl FnMut(&mut Self)) {
        let load = Load::start(self.apisix.port(), "shop.example", "/load", self.rate);
        let began = Instant::now();
        let mut times = 0;
        std::thread::sleep(Duration::from_millis(300));
        while began.elapsed() < self.lasts {
            action(self);
            times += 1;
            std::thread::sleep(Duration::from_millis(300));
        }
        let sum = load.stop();
        println!(
            "{what:<40} {times:>3} times {:>8} good {:>5} again {:>5} refused {:>4} failed, slowest {:?}",
            sum.good,
            sum.again,
            sum.refused,
            sum.failed.len(),
            sum.slowest
        );
        self.rows.push((what, sum));
    }

    /// The processes of nginx with that in their title.
    fn processes(&self, title: &str) -> Vec<u32> {
        let master = self.apisix.pid().to_string();
        let children = std::fs::read_dir("/proc").expect("processes").filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let parent = status
                .lines()
                .find_map(|line| line.strip_prefix("PPid:"))?
                .trim()
                .to_owned();
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            (parent == master && line.contains(title)).then_some(pid)
        });
        children.collect()
    }

    fn kill(&self, title: &str) {
        let processes = self.processes(title);
        let victim = processes.first().unwrap_or_else(|| panic!("no {title}"));
        signal("KILL", *victim);
        let back = || {
            let now = self.processes(title);
            now.len() >= processes.len() && !now.contains(victim)
        };
        assert!(wait_until(back), "{title} comes back");
    }
}

fn signal(name: &str, pid: u32) {
    let kill = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(kill.expect("kill runs").success(), "{name} {pid}");
}

/// So many services that nobody asks, with a host each.
fn others(count: u32) -> String {
    // With addresses of their own, so that istiod need not find some.
    let service = |number: u32| {
        format!(
            "
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: other-{number}, namespace: default}}
spec:
  hosts: [other-{number}.example]
  addresses: [10.8.{}.{}]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 10.9.9.9}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: other-{number}, namespace: default}}
spec:
  hosts: [other-{number}.example]
  gateways: [live]
  http: [{{route: [{{destination: {{host: other-{number}.example}}}}]}}]",
            number / 250,
            number % 250 + 1
        )
    };
    (0..count).map(service).collect()
}

/// Without the plugin that weights need where the package's own plugins are not used.
fn config(istiod: &Istiod, socket: &Path) -> String {
    let config = package(istiod, &GATEWAY, socket);
    format!("{config}    target: native\nplugins: [fault-injection, proxy-rewrite, redirect, response-rewrite]\n")
}

#[test]
fn nothing_that_breaks_costs_a_request() {
    let (Some(harness), Some(home)) = (istiod::harness(), apisix::home()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let kept = tempfile::tempdir().expect("a folder");
    std::fs::write(kept.path().join("others.yaml"), others(setting("AMESH_SERVICES", 20))).expect("a file");
    let istiod = Istiod::start(&harness, kept.path(), &["--log", "error"]);
    let address = istiod.plaintext().to_owned();
    let apisix = Apisix::start_with(&home, "config.yaml", &config(&istiod, &folder.path().join("wake")));
    let mesh = Mesh {
        port: apisix.port(),
        ..Mesh::default()
    };
    let mut live = Live {
        apisix,
        istiod: Some(istiod),
        endpoints: [workload("one"), workload("one")],
        mesh,
        rate: setting("AMESH_RATE", 400),
        lasts: Duration::from_secs(setting("AMESH_SECONDS", 3).into()),
        rows: Vec::new(),
    };
    live.change();

    live.row("nothing", |_| {});
    live.row("endpoints and routes change", Live::change);
    live.row("subsets come and go, step by step", Live::make_before_break);
    live.without_subsets();
    live.row("subsets are exchanged in one step", Live::exchange);
    live.without_subsets();
    live.row("a plugin is missing", Live::missing_plugin);
    live.row("a worker is killed", |live| live.kill("worker process"));
    live.row("the privileged agent is killed", |live| {
        live.kill("privileged agent");
        // The new one goes on from what the old one wrote.
        live.change();
    });
    live.row("the master reloads", |live| {
        signal("HUP", live.apisix.pid());
        std::thread::sleep(Duration::from_millis(700));
        live.change();
    });
    live.row("istiod is gone", |live| {
        let gone = live.istiod.take();
        drop(gone);
        std::thread::sleep(live.lasts);
        std::fs::write(kept.path().join("live.yaml"), live.mesh.text()).expect("a file");
        let again = Istiod::start(&harness, kept.path(), &["--log", "error", "--listen", &address]);
        live.istiod = Some(again);
        live.change();
    });
    live.row("all of APISIX is restarted", |live| {
        live.apisix.restart();
        live.change();
    });

    for (what, sum) in &live.rows {
        assert!(sum.good > 100, "{what}: {sum:?}");
        assert_eq!(sum.failed, [""; 0], "{what}");
        // Only while nobody listens.
        assert_eq!(sum.refused > 0, what.contains("restarted"), "{what}: {sum:?}");
    }
}
