//! What happens to traffic when something of a live mesh changes, breaks or is restarted, under a fixed rate of requests.
//!
//! `AMESH_RATE` and `AMESH_SECONDS` make it longer: requests a second, and how long each row lasts.

use std::process::Command;
use std::time::Duration;

use crate::apisix::{self, Apisix};
use crate::istiod::{self, Istiod, wait_until};
use crate::load::{Load, Sum};
use crate::workload::workload;
use crate::{GATEWAY, mesh, package};

fn setting(name: &str, default: u32) -> u32 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name}={value}"))
    })
}

struct Live {
    apisix: Apisix,
    istiod: Option<Istiod>,
    /// Two workloads that answer the same.
    endpoints: [u16; 2],
    turn: usize,
    /// The mesh as it is.
    text: String,
    rate: u32,
    lasts: Duration,
    rows: Vec<(&'static str, Sum)>,
}

impl Live {
    fn istiod(&self) -> &Istiod {
        self.istiod.as_ref().expect("an istiod")
    }

    /// Changes the endpoint, or the path of another route, and waits until that is served.
    fn change(&mut self) {
        self.turn += 1;
        let path = format!("/turn/{}", self.turn);
        let endpoint = self.endpoints[self.turn % 2];
        let text = mesh(self.apisix.port(), endpoint, &path);
        let more = "  - match: [{uri: {prefix: /load}}]\n    route: [{destination: {host: one.example}}]\n";
        self.istiod()
            .write("live.yaml", &format!("{text}{more}"))
            .expect("a file");
        let served = || {
            self.apisix
                .get("shop.example", &path, "")
                .is_some_and(|(status, _)| status == 200)
        };
        assert!(
            wait_until(served),
            "{path} is {:?}",
            self.apisix.get("shop.example", &path, "")
        );
    }

    /// Does something again and again under load.
    fn row(&mut self, what: &'static str, mut action: impl FnMut(&mut Self)) {
        let load = Load::start(self.apisix.port(), "shop.example", "/load", self.rate);
        let began = std::time::Instant::now();
        std::thread::sleep(Duration::from_millis(300));
        while began.elapsed() < self.lasts {
            action(self);
            std::thread::sleep(Duration::from_millis(300));
        }
        let sum = load.stop();
        println!(
            "{what:<40} {:>8} good {:>4} again {:>4} failed, slowest {:?}",
            sum.good,
            sum.again,
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

#[test]
fn nothing_that_breaks_costs_a_request() {
    let (Some(harness), Some(home)) = (istiod::harness(), apisix::home()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let kept = tempfile::tempdir().expect("a folder");
    let istiod = Istiod::start(&harness, kept.path(), &["--log", "error"]);
    let address = istiod.plaintext().to_owned();
    let config = package(&istiod, &GATEWAY, &folder.path().join("wake"));
    let mut live = Live {
        apisix: Apisix::start_with(&home, "config.yaml", &config),
        istiod: Some(istiod),
        endpoints: [workload("one"), workload("one")],
        turn: 0,
        text: String::new(),
        rate: setting("AMESH_RATE", 400),
        lasts: Duration::from_secs(setting("AMESH_SECONDS", 3).into()),
        rows: Vec::new(),
    };
    live.change();

    live.row("nothing", |_| {});
    live.row("endpoints and routes change", Live::change);
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
        std::fs::write(kept.path().join("live.yaml"), &live.text).expect("a file");
        let again = Istiod::start(&harness, kept.path(), &["--log", "error", "--listen", &address]);
        live.istiod = Some(again);
        live.change();
    });

    for (what, sum) in &live.rows {
        assert!(sum.good > 100, "{what}: {sum:?}");
        assert_eq!(sum.failed, [""; 0], "{what}");
    }
}
