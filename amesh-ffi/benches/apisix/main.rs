//! How long a change takes in a real APISIX that the library feeds, and what it costs, beside APISIX's own `config_xds` fed by
//! the same library: `AMESH_APISIX_HOME=... cargo bench -p amesh-ffi --bench apisix [-- HOSTS]`.
//!
//! A control plane of the benchmark's own sends a mesh of that many hosts, each with a route and a cluster of one endpoint,
//! in the two shapes that control planes give it: many route configurations of few hosts, and one with all of them. Then it
//! changes one endpoint and one route at a time. `docs/performance.md` has what came of it.

#[expect(dead_code, reason = "tests use the rest")]
#[path = "../../../amesh-cli/tests/support/apisix.rs"]
mod apisix;
mod gateway;
mod mesh;
#[expect(dead_code, reason = "tests use the rest")]
#[path = "../../../amesh-xds/tests/support/plane.rs"]
mod plane;
#[path = "../../../amesh-cli/tests/support/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use gateway::{Client, Gateway, Reader, cpu, memory};
use mesh::{Backends, Change, Mesh, Push};
use workload::workload;

/// How many changes of each kind are timed. Each is taken back by the next, so they are even.
const CHANGES: u32 = 20;
/// How many windows are looked at for the processor's time, each so long that `config_xds` has come round.
const WINDOWS: u32 = 6;
const WINDOW: Duration = Duration::from_secs(3);
/// How often the master replaces the workers.
const RELOADS: usize = 5;
/// Hosts of a route configuration where there are many.
const FEW: usize = 100;

const NAMES: [&str; 2] = ["usual", "other"];

fn main() {
    let Some(home) = apisix::home() else { return };
    // cargo adds options of its own.
    let hosts = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(10_000);
    println!("| hosts, of one route configuration | reader | | latency, slowest request, processor (ms) |");
    println!("| --- | --- | --- | --- |");
    let mut notes = Vec::new();
    for share in [FEW, hosts] {
        for reader in [Reader::Stock, Reader::Package] {
            notes.push(measure(&home, hosts, share, reader));
        }
    }
    println!(
        "\n| hosts, of one route configuration | reader | processor of a worker till it serves, at the start and after a reload (ms) | memory of a worker (MB) |"
    );
    println!("| --- | --- | --- | --- |");
    for note in notes {
        println!("{note}");
    }
}

/// One APISIX. Prints a row for each kind of change, and gives one about the whole.
fn measure(home: &Path, hosts: usize, share: usize, reader: Reader) -> String {
    let port = apisix::free_port();
    let backends = Backends {
        usual: workload(NAMES[0]),
        other: workload(NAMES[1]),
    };
    let mut mesh = Mesh::start(hosts, share, port, backends);
    let gateway = Gateway::start(home, port, reader, mesh.server(), mesh.probed_host());
    let firsts = gateway.workers(&[]);
    let start = mean(firsts.values().map(|first| first.cpu));
    let mut workers: BTreeMap<u32, Client> = firsts.into_iter().map(|(pid, first)| (pid, first.client)).collect();
    sleep(Duration::from_secs(2));

    let row = format!("| {hosts}, {share} | {reader:?} |");
    for (what, name) in [(Change::Endpoint, "one endpoint"), (Change::Route, "one route")] {
        let seen = time(&mut workers, &mut mesh, what);
        let used = cost(&mut workers, &mut mesh, what);
        println!("{row} {name} | {seen}, {used} |");
    }

    let size = mean(workers.keys().map(|pid| memory(*pid)));
    let mut before: Vec<u32> = workers.into_keys().collect();
    let mut loads: Vec<f64> = (0..RELOADS)
        .map(|_| {
            gateway.reload();
            let firsts = gateway.workers(&before);
            before.extend(firsts.keys());
            // The workers before end, and the library in the new agent has looked at everything.
            sleep(WINDOW);
            mean(firsts.values().map(|first| first.cpu))
        })
        .collect();
    loads.sort_by(f64::total_cmp);
    let again = loads[loads.len() / 2];
    format!("{row} {start:.0}, {again:.0} | {size:.0} |")
}

/// From a push until both workers serve it, and the slowest request meanwhile.
fn time(workers: &mut BTreeMap<u32, Client>, mesh: &mut Mesh, what: Change) -> String {
    let (mut latencies, mut slowest) = (Vec::new(), Vec::new());
    for round in 1..=CHANGES {
        let other = round % 2 == 1;
        let push = mesh.prepare(what, other);
        let began = Instant::now();
        mesh.send(&push);
        let mut slow = Duration::ZERO;
        let mut served = |client: &mut Client| {
            let answer = client.ask().expect("an answer");
            assert_eq!(answer.status, 200);
            slow = slow.max(answer.took);
            answer.body == NAMES[usize::from(other)]
        };
        let mut waiting: Vec<&mut Client> = workers.values_mut().collect();
        while !waiting.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(30), "the change is served");
            waiting.retain_mut(|client| !served(client));
        }
        latencies.push(began.elapsed());
        slowest.push(slow);
        // Not in step with anybody's timer.
        sleep(Duration::from_millis(300 + u64::from(round) * 137 % 700));
    }
    format!("{}, {}", median(latencies), median(slowest))
}

/// Processor's time of a worker for a change and a request after it, without what the same time takes when nothing changes.
fn cost(workers: &mut BTreeMap<u32, Client>, mesh: &mut Mesh, what: Change) -> String {
    let mut window = |mesh: &Mesh, push: Option<&Push>| {
        let before: Vec<f64> = workers.keys().map(|pid| cpu(*pid)).collect();
        if let Some(push) = push {
            mesh.send(push);
        }
        sleep(WINDOW);
        for client in workers.values_mut() {
            client.ask().expect("an answer");
        }
        mean(workers.keys().zip(before).map(|(pid, before)| cpu(*pid) - before))
    };
    let mut costs: Vec<f64> = (1..=WINDOWS)
        .map(|round| {
            let idle = window(mesh, None);
            let push = mesh.prepare(what, round % 2 == 1);
            window(mesh, Some(&push)) - idle
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    format!("{:.1}", costs[costs.len() / 2])
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are two")]
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// The median, and the worst.
fn median(mut times: Vec<Duration>) -> String {
    times.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    format!(
        "{:.1} ({:.1})",
        millis(times[times.len() / 2]),
        millis(times[times.len() - 1])
    )
}
