//! A real Envoy and a real APISIX with the library and the Lua package, fed the same configuration of a real istiod, answer
//! the same, but where a finding says that they do not.

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/apisix.rs"]
mod apisix;
#[path = "../../../amesh-core/tests/precedence/real/client.rs"]
mod client;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-core/tests/differential/compare.rs"]
mod compare;
mod echo;
#[path = "../../../amesh-xds/tests/oracle/envoy.rs"]
mod envoy;
#[path = "../../../amesh-core/tests/precedence/model/envoy/host.rs"]
mod host;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/istiod.rs"]
mod istiod;
#[path = "../../../amesh-core/tests/differential/judge.rs"]
mod judge;
mod mesh;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-core/tests/differential/named.rs"]
mod named;
#[path = "../../../amesh-core/tests/differential/own.rs"]
mod own;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-xds/tests/support/plane.rs"]
mod plane;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-core/tests/differential/requests.rs"]
mod requests;
mod rewrite;
#[path = "../../../amesh-core/tests/differential/seen.rs"]
mod seen;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-core/tests/differential/strip.rs"]
mod strip;
#[path = "../../../amesh-core/tests/differential/tame.rs"]
mod tame;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use amesh_core::apisix::Kind;
use amesh_core::{Arrival, Finding, Options, Resource, ResourceType, Snapshot, Target, translate};
use amesh_xds::session::Protocol;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use prost::Message as _;

use apisix::Apisix;
use client::Client;
use compare::{Answer, Compared, Spot, changed_headers};
use envoy::Envoy;
use istiod::wait_until;
use judge::Court;
use named::Aspect;
use plane::Plane;
use requests::Request;
use rewrite::{Door, Served, World};

/// Requests that are put together at random, for each listener.
const RANDOM: usize = 1500;

/// Requests to each route that draws among clusters: shares are then off by less than 8 of a hundred.
const DRAWS: u32 = 600;

/// The programs that a run needs.
struct Programs {
    istiod: PathBuf,
    envoy: PathBuf,
    apisix: PathBuf,
}

/// Without all of them the test says that it was skipped.
fn programs() -> Option<Programs> {
    let envoy = std::env::var_os("AMESH_ENVOY").map(PathBuf::from);
    if envoy.is_none() {
        eprintln!("skipped: AMESH_ENVOY is not set");
    }
    Some(Programs {
        istiod: istiod::harness()?,
        envoy: envoy?,
        apisix: apisix::home()?,
    })
}

/// The library's settings, and the router that APISIX takes.
fn config(plane: &str, router: &str, arrival: &str, socket: &Path) -> String {
    let lua = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
    let test = std::env::current_exe().expect("a path");
    let libraries = test.parent().expect("a folder");
    format!(
        "
apisix:
  extra_lua_path: \"{}/?.lua\"
  extra_lua_cpath: \"{}/?.so\"
  lua_module_hook: amesh.hook
  router: {{http: {router}}}
deployment: {{role: data_plane, role_data_plane: {{config_provider: yaml}}}}
nginx_config:
  worker_processes: 1
  http: {{custom_lua_shared_dict: {{xds-config: 16m, xds-config-version: 8m}}}}
plugin_attr:
  amesh:
    server: [\"{plane}\"]
    node: router~10.0.0.9~gateway-1.istio-system~istio-system.svc.cluster.local
    arrival: {arrival}
    wake_socket: {}
",
        lua.display(),
        libraries.display(),
        socket.display()
    )
}

fn serve(resources: &[Served]) -> Plane {
    let plane = Plane::start();
    plane.version("1");
    for (kind, name, bytes) in resources {
        plane.put(*kind, name, bytes.clone());
    }
    plane
}

/// What a run came to.
struct Sum {
    what: String,
    requests: usize,
    equal: usize,
    rules: BTreeMap<String, usize>,
    /// Requests by what is left of their differences.
    unexplained: BTreeMap<BTreeSet<Aspect>, Vec<String>>,
    /// For each route that draws among clusters, how often each of them is chosen.
    shares: Vec<Vec<(String, [f64; 3])>>,
}

fn run(programs: &Programs, scenario: &str, recording: &str, arrival: Arrival, router: &str) -> Sum {
    let world = World::new(mesh::collect(&programs.istiod, scenario, recording), arrival);
    assert!(!world.doors.is_empty(), "{scenario} has listeners for plain HTTP");
    ask_both(programs, &world, &format!("{scenario} {recording}"), arrival, router)
}

fn ask_both(programs: &Programs, world: &World, what: &str, arrival: Arrival, router: &str) -> Sum {
    let (routes, findings) = translated(world, arrival);
    let (for_envoy, for_apisix) = (serve(&world.envoy), serve(&world.apisix));

    let mut envoy = Envoy::start(&programs.envoy, Protocol::Delta, &for_envoy.address);
    let folder = tempfile::tempdir().expect("a folder");
    let name = if arrival == Arrival::Host { "host" } else { "direct" };
    let text = config(&for_apisix.address, router, name, &folder.path().join("wake"));
    let ports: Vec<u16> = world.doors.iter().map(|door| door.port).collect();
    let apisix = Apisix::start_on(&programs.apisix, "config.yaml", &text, &ports);
    let envoys = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), port);
    let apisixes = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let listens = || ports.iter().all(|port| TcpStream::connect(envoys(*port)).is_ok());
    assert!(wait_until(listens), "Envoy listens: {}", envoy.complaint());
    assert!(
        wait_until(|| apisix.objects("routes").len() == routes),
        "APISIX has {} of {routes} routes",
        apisix.objects("routes").len()
    );

    let mut sum = Sum {
        what: format!("{what} {name} {router}"),
        requests: 0,
        equal: 0,
        rules: BTreeMap::new(),
        unexplained: BTreeMap::new(),
        shares: Vec::new(),
    };
    for door in &world.doors {
        let routes = &world.routes[&door.routes];
        let changed = changed_headers(routes);
        let mut pair = Pair {
            envoy: Client::new(envoys(door.port)),
            apisix: Client::new(apisixes(door.port)),
            door,
            routes,
            changed: changed_headers(routes),
            findings: &findings,
        };
        let mut drawn: BTreeMap<(Option<usize>, Option<usize>), Request> = BTreeMap::new();
        for request in requests::derive(routes, door.meant, arrival == Arrival::Host, RANDOM, &changed[0]) {
            sum.requests += 1;
            match pair.compare(&request) {
                Ok(rules) if rules.is_empty() => sum.equal += 1,
                Ok(rules) => {
                    let rules: Vec<&str> = rules.into_iter().collect();
                    *sum.rules.entry(rules.join(" + ")).or_default() += 1;
                    continue;
                }
                Err((left, text)) => {
                    sum.unexplained.entry(left).or_default().push(text);
                    continue;
                }
            }
            let answer = ask(&mut pair.envoy, &request);
            let spot = Spot::new(&door.listener, routes, &request, &answer);
            if answer.seen.is_some() && spot.weighted().len() > 1 {
                drawn.entry((spot.host, spot.route)).or_insert(request);
            }
        }
        for request in drawn.values() {
            sum.shares.push(pair.shares(request));
        }
    }
    sum
}

fn ask(client: &mut Client, request: &Request) -> Answer {
    let response = client.send(&request.method, &request.wire());
    Answer::new(&response.unwrap_or_else(|error| panic!("{error}: {request:?}")))
}

/// The same listener of both proxies.
struct Pair<'a> {
    envoy: Client,
    apisix: Client,
    door: &'a Door,
    routes: &'a RouteConfiguration,
    changed: [BTreeSet<String>; 2],
    findings: &'a [Finding],
}

impl Pair<'_> {
    /// The rules that explain how the answers differ, none where they are equal; or what is left, and all about it.
    fn compare(&mut self, request: &Request) -> Result<BTreeSet<&'static str>, (BTreeSet<Aspect>, String)> {
        let (left, right) = (ask(&mut self.envoy, request), ask(&mut self.apisix, request));
        let court = Court {
            listener: &self.door.listener,
            routes: self.routes,
            findings: self.findings,
            compared: Compared::Changed(&self.changed),
            target: Target::Amesh,
        };
        let envoy = &mut self.envoy;
        let verdict = court.judge(request, [&left, &right], |request| ask(envoy, request));
        verdict.map_err(|found| {
            let spot = Spot::new(&self.door.listener, self.routes, request, &left);
            let text = format!(
                "{request:?} to {} (virtual host {:?}, route {:?})\n    Envoy  {left:?}\n    APISIX {right:?}",
                self.door.listener, spot.host, spot.route
            );
            (found, text)
        })
    }

    /// How often each cluster of a route that draws among some is chosen, in hundredths: as configured, by Envoy, by APISIX.
    fn shares(&mut self, request: &Request) -> Vec<(String, [f64; 3])> {
        let first = ask(&mut self.envoy, request);
        let weighted = Spot::new(&self.door.listener, self.routes, request, &first).weighted();
        let mut counts: BTreeMap<String, [u32; 2]> = BTreeMap::new();
        for _ in 0..DRAWS {
            for (side, client) in [&mut self.envoy, &mut self.apisix].into_iter().enumerate() {
                let seen = ask(client, request).seen.expect("a workload answers");
                counts.entry(seen.cluster).or_default()[side] += 1;
            }
        }
        let whole: u32 = weighted.values().sum();
        let percent = |part: u32, whole: u32| f64::from(part) * 100.0 / f64::from(whole);
        let share = |(cluster, weight): (&str, u32)| {
            let [envoy, apisix] = counts.get(cluster).copied().unwrap_or_default();
            let shares = [percent(weight, whole), percent(envoy, DRAWS), percent(apisix, DRAWS)];
            (cluster.to_owned(), shares)
        };
        weighted.into_iter().map(share).collect()
    }
}

/// How many routes APISIX gets, and what is not carried over.
fn translated(world: &World, arrival: Arrival) -> (usize, Vec<Finding>) {
    let decode = |(kind, _, bytes): &Served| -> Resource {
        amesh_core::decode(&format!("type.googleapis.com/{}", kind.message()), bytes).expect("a good resource")
    };
    let snapshot = Snapshot::from_resources(world.apisix.iter().map(decode).collect());
    let mut options = Options::default();
    options.target = Target::Amesh;
    options.arrival = Some(arrival);
    let translation = translate(&snapshot, &options);
    let routes = translation
        .objects()
        .keys()
        .filter(|key| key.kind == Kind::Routes)
        .count();
    (routes, translation.findings().into_iter().cloned().collect())
}

/// Prints what was seen, and panics where something was not explained.
fn report(sums: &[Sum]) {
    for sum in sums {
        println!("{}: {} requests, {} equal", sum.what, sum.requests, sum.equal);
        for (rules, count) in &sum.rules {
            println!("  {count:>5} {rules}");
        }
        for (cluster, [meant, envoy, apisix]) in sum.shares.iter().flatten() {
            println!("  {meant:>5.1} % to {cluster}: Envoy {envoy:.1} %, APISIX {apisix:.1} %");
        }
        let unexplained: usize = sum.unexplained.values().map(Vec::len).sum();
        println!("  {unexplained:>5} unexplained");
        for (left, texts) in &sum.unexplained {
            println!("  {:>5} {left:?}, such as {}", texts.len(), texts[0]);
        }
    }
    for sum in sums {
        assert!(sum.unexplained.is_empty(), "{}: not explained by a finding", sum.what);
        for (cluster, [meant, envoy, apisix]) in sum.shares.iter().flatten() {
            let off = (envoy - meant).abs().max((apisix - meant).abs());
            assert!(off < 8.0, "{}: {cluster} gets another share", sum.what);
        }
    }
}

#[test]
fn a_difference_that_nothing_explains_is_seen() {
    let Some(programs) = programs() else { return };
    let mut world = World::new(
        mesh::collect(&programs.istiod, "02-request-routing", "capture.json"),
        Arrival::Host,
    );
    // APISIX gets the routes of each virtual host the other way round.
    for (kind, _, bytes) in &mut world.apisix {
        if *kind == ResourceType::RouteConfiguration {
            let mut routes = RouteConfiguration::decode(bytes.as_slice()).expect("routes");
            for host in &mut routes.virtual_hosts {
                host.routes.reverse();
            }
            *bytes = routes.encode_to_vec();
        }
    }
    let sum = ask_both(
        &programs,
        &world,
        "02-request-routing, reversed",
        Arrival::Host,
        "amesh",
    );
    let unexplained: usize = sum.unexplained.values().map(Vec::len).sum();
    assert!(unexplained > 10, "{unexplained} of {}", sum.requests);
    assert!(sum.equal > 10, "{} of {}", sum.equal, sum.requests);
}

#[test]
fn gateways_answer_as_envoy_does() {
    let Some(programs) = programs() else { return };
    let run = |scenario, router| run(&programs, scenario, "capture-router.json", Arrival::Direct, router);
    report(&[
        run("14-ingress-http", "amesh"),
        run("14-ingress-http", "radixtree_host_uri"),
        run("23-gateway-api", "amesh"),
        run("23-gateway-api", "radixtree_host_uri"),
    ]);
}

#[test]
fn sidecars_answer_as_envoy_does() {
    let Some(programs) = programs() else { return };
    let run = |scenario, router| run(&programs, scenario, "capture.json", Arrival::Host, router);
    report(&[
        run("01-bookinfo-default", "amesh"),
        run("02-request-routing", "amesh"),
        run("02-request-routing", "radixtree_host_uri"),
        run("04-traffic-shifting", "amesh"),
        run("06-timeouts-retries", "amesh"),
        run("08-mirroring", "amesh"),
        run("10-headers-rewrite-redirect", "amesh"),
        run("11-consistent-hash", "amesh"),
        run("12-sidecar-scope", "amesh"),
        run("13-egress", "amesh"),
        run("20-protocols", "amesh"),
        run("23-gateway-api", "amesh"),
    ]);
}
