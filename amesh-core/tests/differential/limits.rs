//! Circuit breakers: as many requests at the same time as a real Envoy refuses, a real APISIX with two workers refuses, with
//! the same answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::client::Client;
use crate::envoy::Envoy;
use crate::requests::Request;
use crate::{ENVOY, PORTS, TARGETS, echo, inputs_of, programs, start};

/// The fixture whose clusters have limits.
const FIXTURE: &str = "cluster/circuit_breaker/routes";

/// How long the workload takes, and how far apart requests begin: all are sent before the first is answered.
const TAKES: Duration = Duration::from_millis(600);
const APART: Duration = Duration::from_millis(30);

/// How many answers there are of each kind: the workload's with how many times it took what the workload takes, the proxy's
/// own with headers and body.
type Answers = BTreeMap<String, usize>;

fn ask(address: SocketAddr, path: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let headers = [
        (echo::DELAY, TAKES.as_millis().to_string()),
        (echo::ASK, format!("limits-{number}")),
    ];
    let request = Request {
        host: "a.example".to_owned(),
        method: "GET".to_owned(),
        target: path.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    };
    let start = Instant::now();
    let response = Client::new(address).send("GET", &request.wire()).expect("an answer");
    if response.header(crate::seen::ECHO).is_some() {
        let times = (start.elapsed() + TAKES / 2).as_millis() / TAKES.as_millis();
        return format!("{} after {times}", response.status);
    }
    let said = ["x-envoy-overloaded", "x-by", "content-type"].map(|name| response.header(name).map(str::to_owned));
    format!(
        "{} {said:?} {}",
        response.status,
        String::from_utf8_lossy(&response.body)
    )
}

/// So many requests at the same time.
fn burst(address: SocketAddr, path: &str, count: usize) -> Answers {
    let asked: Vec<_> = (0..count)
        .map(|number| {
            let path = path.to_owned();
            thread::spawn(move || {
                thread::sleep(APART * u32::try_from(number).expect("few"));
                ask(address, &path)
            })
        })
        .collect();
    let mut answers = Answers::new();
    for asked in asked {
        *answers.entry(asked.join().expect("no panic")).or_default() += 1;
    }
    answers
}

/// How many the workload answered.
fn sent(answers: &Answers) -> usize {
    let good = answers.iter().filter(|(answer, _)| answer.starts_with("200 "));
    good.map(|(_, count)| count).sum()
}

#[test]
fn apisix_limits_as_envoy_does() {
    let Some((binary, home)) = programs("limits::apisix_limits_as_envoy_does") else {
        return;
    };
    let (name, resources) = inputs_of(FIXTURE).pop().expect("the fixture");
    let case = Case::new(&name, resources, &TARGETS.map(|(target, ..)| target), PORTS).expect("a listener");
    let workloads: BTreeSet<u16> = case.ports.iter().copied().collect();
    workloads.into_iter().for_each(echo::listen);
    echo::resolve();
    let amesh = 1;
    let cases = [case];
    let _apisix = start(&home, &cases, amesh, &[PORTS], 2);
    let mut envoy = Envoy::start(&binary, &cases[0].bootstrap);
    envoy.ready(&[SocketAddr::new(ENVOY, PORTS)]).expect("Envoy takes it");

    // One connection and one request that waits; two of each for routes of a high priority.
    for (path, most) in [("/get", 2), ("/high", 4)] {
        for count in 1..=6 {
            let [left, right] = [ENVOY, TARGETS[amesh].3]
                .map(|address| {
                    let path = path.to_owned();
                    thread::spawn(move || burst(SocketAddr::new(address, PORTS), &path, count))
                })
                .map(|burst| burst.join().expect("no panic"));
            println!("{path} by {count}: Envoy {left:?}, APISIX {right:?}");
            assert_eq!(left, right, "{path} by {count}");
            assert_eq!(sent(&left), count.min(most), "{path} by {count}");
        }
    }
    // Each priority has its own.
    let address = SocketAddr::new(TARGETS[amesh].3, PORTS);
    let low = thread::spawn(move || burst(address, "/get", 2));
    let high = burst(address, "/high", 4);
    assert_eq!((sent(&high), sent(&low.join().expect("no panic"))), (4, 2));
}
