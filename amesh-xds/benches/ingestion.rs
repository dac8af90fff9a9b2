//! The first ingestion of a whole mesh, beside decoding the same bytes with prost: each in a process of its own, as the
//! first one of a process is, and turn by turn, so that what else the machine does meets both.
//!
//! `cargo bench -p amesh-xds --bench ingestion` prints a table: time on the clock, time on a processor, and the most
//! memory that the process had. `docs/performance.md` says what is to hold.

#![expect(unreachable_pub, reason = "what tests share with this")]

#[path = "../tests/support/ingest.rs"]
#[expect(dead_code, reason = "here another control plane serves")]
mod ingest;
#[path = "../../amesh-core/benches/support/mesh.rs"]
#[expect(
    dead_code,
    reason = "here the bytes of responses are counted, not those of resources"
)]
mod mesh;
#[path = "../tests/support/plane.rs"]
#[expect(dead_code, reason = "here another control plane serves")]
mod plane;
#[path = "support/prepared.rs"]
mod prepared;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use amesh_core::{Options, translate};
use amesh_xds::session::Protocol;
use prost::bytes::Bytes;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const ENDPOINTS: usize = 10;
const ROUNDS: usize = 7;

/// What a process needed.
#[derive(Clone, Copy)]
struct Cost {
    clock: Duration,
    processor: Duration,
    /// In kilobytes.
    memory: u64,
    /// For the translation of what was ingested.
    translation: Duration,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--prost", file, protocol] => prost_alone(Path::new(file), protocol_of(protocol)),
        ["--client", address, protocol] => client(address, protocol_of(protocol)),
        // Otherwise it is a test run, which wants no numbers.
        words if words.contains(&"--bench") => compare(),
        _ => {}
    }
}

fn protocol_of(name: &str) -> Protocol {
    match name {
        "delta" => Protocol::Delta,
        _ => Protocol::StateOfTheWorld,
    }
}

/// How long this thread was on a processor.
fn processor() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

/// The most memory that this process had.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a number")
}

/// Runs something, and prints what it needed so far.
fn cost<T>(what: impl FnOnce() -> T) -> T {
    let (clock, before) = (Instant::now(), processor());
    let given = what();
    println!(
        "{} {} {}",
        clock.elapsed().as_nanos(),
        processor().saturating_sub(before).as_nanos(),
        memory()
    );
    given
}

fn prost_alone(file: &Path, protocol: Protocol) {
    let mut bytes = Bytes::from(fs::read(file).expect("the responses"));
    let mut responses = Vec::new();
    while !bytes.is_empty() {
        let length = prost::decode_length_delimiter(&mut bytes).expect("a length");
        responses.push((String::new(), bytes.split_to(length).to_vec()));
    }
    drop(bytes);
    // What follows is not what it takes to end.
    std::mem::forget(cost(|| ingest::with_prost(&responses, protocol)));
}

fn client(address: &str, protocol: Protocol) {
    let replica = cost(|| ingest::follow(address, protocol));
    let mut options = Options::default();
    options.permitted.insert("istio-mutual-tls".to_owned());
    let clock = Instant::now();
    let translation = translate(replica.snapshot(), &options);
    println!("{}", clock.elapsed().as_nanos());
    std::mem::forget((replica, translation));
}

/// What another process needs for it.
fn child(arguments: [&str; 3]) -> Cost {
    let this = std::env::current_exe().expect("this program");
    let output = Command::new(this).args(arguments).output().expect("it starts again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let duration = |index: usize| Duration::from_nanos(numbers.get(index).copied().unwrap_or_default());
    Cost {
        clock: duration(0),
        processor: duration(1),
        memory: numbers[2],
        translation: duration(3),
    }
}

/// The middle of each number.
fn middle(costs: &[Cost]) -> Cost {
    fn of<T: Ord>(costs: &[Cost], what: impl Fn(&Cost) -> T) -> T {
        let mut all: Vec<T> = costs.iter().map(what).collect();
        all.sort();
        all.swap_remove(costs.len() / 2)
    }
    Cost {
        clock: of(costs, |cost| cost.clock),
        processor: of(costs, |cost| cost.processor),
        memory: of(costs, |cost| cost.memory),
        translation: of(costs, |cost| cost.translation),
    }
}

fn compare() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("responses");
    println!("| services | variant | MB | | clock ms | processor ms | peak MB | translation ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for services in SIZES {
        let mesh = mesh::mesh(services, ENDPOINTS);
        for (protocol, name) in [(Protocol::StateOfTheWorld, "sotw"), (Protocol::Delta, "delta")] {
            let responses = ingest::responses(&mesh, protocol);
            let bytes: usize = responses.iter().map(|(_, bytes)| bytes.len()).sum();
            let mut packed = Vec::new();
            for (_, response) in &responses {
                prost::encode_length_delimiter(response.len(), &mut packed).expect("room in memory");
                packed.extend(response);
            }
            fs::write(&file, packed).expect("a file");
            let address = prepared::serve(responses);
            let (mut alone, mut with_client) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                alone.push(child(["--prost", file.to_str().expect("a path"), name]));
                with_client.push(child(["--client", &address, name]));
            }
            report(services, name, bytes, &middle(&alone), &middle(&with_client));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a table for eyes")]
fn report(services: usize, variant: &str, bytes: usize, alone: &Cost, client: &Cost) {
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    let size = bytes as f64 / 1e6;
    let row = |who: &str, cost: &Cost| {
        println!(
            "| {services} | {variant} | {size:.1} | {who} | {:.1} | {:.1} | {:.0} | {:.1} |",
            millis(cost.clock),
            millis(cost.processor),
            cost.memory as f64 / 1e3,
            millis(cost.translation),
        );
    };
    row("prost alone", alone);
    row("client", client);
    // The kernel counts in ticks of some milliseconds.
    let counted = alone.processor > Duration::from_millis(10);
    let on_processor = millis(client.processor) / millis(alone.processor);
    let on_processor = if counted {
        format!("{on_processor:.2}")
    } else {
        "-".to_owned()
    };
    println!(
        "| {services} | {variant} | {size:.1} | **ratio** | {:.2} | {on_processor} | {:.2} | |",
        millis(client.clock) / millis(alone.clock),
        client.memory as f64 / alone.memory as f64,
    );
}
