//! For each feature's fixtures and each recorded scenario: a real Envoy serves the input, a real APISIX serves the
//! translation, for each target. The same requests go to both, and what comes back must be the same, but where a finding
//! names the difference.
//!
//! `AMESH_ENVOY` and `AMESH_APISIX_HOME` say where those are; `AMESH_DIFFERENTIAL=route/redirect` runs the cases whose names
//! begin so.

#![expect(clippy::disallowed_methods, reason = "these tests drive real programs")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/apisix.rs"]
mod apisix;
mod case;
#[path = "../precedence/real/client.rs"]
mod client;
#[expect(dead_code, reason = "other tests use the rest")]
mod compare;
mod echo;
mod envoy;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../specification/fixture.rs"]
mod fixture;
#[path = "../precedence/model/envoy/host.rs"]
mod host;
mod judge;
mod limits;
mod made;
mod merge;
mod named;
mod namespace;
mod own;
mod policy;
mod requests;
mod run;
mod score;
mod seen;
mod strip;
mod tame;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use amesh_core::{Resource, Target, dump};
use serde_json::json;

use apisix::Apisix;
use case::Case;
use client::Client;
use envoy::Envoy;
use namespace::{Namespace, skipped};
use score::Scores;

/// Where Envoy listens.
const ENVOY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// What is translated for, the router of that APISIX, and where it listens.
const TARGETS: [(Target, &str, &str, IpAddr); 2] = [
    (
        Target::Native,
        "native",
        "radixtree_host_uri",
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)),
    ),
    (Target::Amesh, "amesh", "amesh", IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4))),
];

/// The first port of the listeners.
const PORTS: u16 = 20_001;

/// A case that takes longer is told of.
const SLOW: Duration = Duration::from_secs(3);

/// How many differences of each kind are shown for each feature and target.
fn examples() -> usize {
    std::env::var("AMESH_EXAMPLES").map_or(2, |text| text.parse().expect("a number"))
}

/// The name and the resources of every fixture and scenario that is asked for.
fn inputs() -> Vec<(String, Vec<Resource>)> {
    inputs_of(&std::env::var("AMESH_DIFFERENTIAL").unwrap_or_default())
}

/// The name and the resources of every fixture and scenario whose name begins so.
fn inputs_of(wanted: &str) -> Vec<(String, Vec<Resource>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let mut list = Vec::new();
    for fixture in fixture::features() {
        let name = fixture.path.strip_prefix(&root).expect("a fixture");
        let name = name.to_string_lossy().trim_end_matches(".in.yaml").to_owned();
        if name.starts_with(wanted) {
            list.push((name, fixture.resources));
        }
    }
    if "scenario/".starts_with(wanted) || wanted.starts_with("scenario/") {
        for (name, bytes) in fixture::scenarios() {
            let name = format!("scenario/{}", name.split('.').next().expect("a name"));
            // Thousands of services are a test of speed.
            if name.starts_with(wanted) && !name.contains("27-big") {
                list.push((name, dump::read(&bytes).expect("a dump").resources));
            }
        }
    }
    list
}

/// What APISIX's `config.yaml` says, as the deployment page has it.
fn config(router: &str, plugins: &BTreeSet<String>, target: Target, workers: u32) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let lua = root.join("amesh-ffi/lua/?.lua");
    let mut config = json!({
        "apisix": {"router": {"http": router}, "extra_lua_path": lua},
        "plugins": plugins,
        "nginx_config": {"worker_processes": workers, "http": {
            "real_ip_from": ["0.0.0.0/32"],
            "underscores_in_headers": "off",
            "charset": "off",
        }},
    });
    if target == Target::Amesh {
        config["nginx_config"]["http_server_configuration_snippet"] =
            json!("proxy_next_upstream error timeout http_503 non_idempotent;");
        config["nginx_config"]["http"]["custom_lua_shared_dict"] = json!({"amesh-limits": "1m"});
    }
    config.to_string()
}

fn start(home: &Path, cases: &[Case], target: usize, ports: &[u16], workers: u32) -> Apisix {
    let (kind, name, router, address) = TARGETS[target];
    let (text, plugins) = merge::file(cases, target);
    let files = [
        ("config.yaml", config(router, &plugins, kind, workers)),
        ("apisix.yaml", text),
    ];
    let files = files.each_ref().map(|(file, text)| (*file, text.as_str()));
    let apisix = Apisix::start_at(home, &files, &address.to_string(), ports);
    let mut client = Client::new(SocketAddr::new(address, ports[0]));
    let request = format!("GET /ready HTTP/1.1\r\nHost: {}\r\n\r\n", merge::READY);
    let start = Instant::now();
    while !client
        .send("GET", request.as_bytes())
        .is_ok_and(|response| response.status == 200)
    {
        assert!(start.elapsed() < Duration::from_secs(60), "{name}: {}", apisix.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    // What its schema refuses is left out, and every comparison after that would be with something else.
    let log = apisix.log();
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("failed to check")).collect();
    assert!(refused.is_empty(), "{name} refuses objects: {refused:#?}");
    apisix
}

/// Envoy's binary and APISIX's folder, for a test that is in a namespace of its own now; nothing where it ran there, or is
/// skipped.
fn programs(test: &str) -> Option<(PathBuf, PathBuf)> {
    let (Some(binary), Some(home)) = (
        std::env::var_os("AMESH_ENVOY").map(PathBuf::from),
        std::env::var_os("AMESH_APISIX_HOME").map(PathBuf::from),
    ) else {
        skipped("AMESH_ENVOY or AMESH_APISIX_HOME is not set");
        return None;
    };
    (!matches!(namespace::enter(test), Namespace::Outside)).then_some((binary, home))
}

#[test]
fn apisix_answers_as_envoy_does() {
    let Some((binary, home)) = programs("apisix_answers_as_envoy_does") else {
        return;
    };
    let began = Instant::now();
    let mut scores = Scores::default();
    let mut cases: Vec<Case> = Vec::new();
    let mut port = PORTS;
    for (name, resources) in inputs() {
        match Case::new(&name, resources, &TARGETS.map(|(target, ..)| target), port) {
            Some(case) => {
                port += u16::try_from(case.doors.len()).expect("few");
                cases.push(case);
            }
            None => scores.not_asked.push(format!(
                "{name}: no listener for plain HTTP on all addresses with one list of routes"
            )),
        }
    }
    assert!(!cases.is_empty(), "no case has that name");
    let workloads: BTreeSet<u16> = cases.iter().flat_map(|case| case.ports.iter().copied()).collect();
    workloads.into_iter().for_each(echo::listen);
    echo::resolve();
    let ports: Vec<u16> = (PORTS..port).collect();
    let apisixes = [0, 1].map(|target| start(&home, &cases, target, &ports, 1));
    println!(
        "{} cases, {} listeners, ready after {:?}",
        cases.len(),
        ports.len(),
        began.elapsed()
    );

    // The next Envoy starts while one is asked.
    let mut next = Some(Envoy::start(&binary, &cases[0].bootstrap));
    for (number, case) in cases.iter().enumerate() {
        let mut envoy = next.take().expect("started");
        next = cases.get(number + 1).map(|case| Envoy::start(&binary, &case.bootstrap));
        let addresses: Vec<SocketAddr> = case
            .doors
            .iter()
            .map(|door| SocketAddr::new(ENVOY, door.port))
            .collect();
        let start = Instant::now();
        match envoy.ready(&addresses) {
            Ok(()) => run::ask(case, &mut scores),
            Err(reason) => scores
                .not_asked
                .push(format!("{}: Envoy refuses it: {reason}", case.name)),
        }
        if start.elapsed() > SLOW {
            println!("{} took {:?}", case.name, start.elapsed());
        }
    }
    println!("{}\n{:?} in all", scores.report(examples()), began.elapsed());
    for (apisix, (_, name, ..)) in apisixes.iter().zip(TARGETS) {
        let log = apisix.log();
        let said: BTreeSet<&str> = log.lines().filter(|line| line.contains("[error]")).take(5).collect();
        if !said.is_empty() {
            println!("{name} logs errors, such as {said:#?}");
        }
    }
    drop(apisixes);
    assert_eq!(scores.unnamed(), 0, "differences that no finding names");
}
