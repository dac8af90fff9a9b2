//! A real Envoy and a real APISIX with the library and the Lua package, fed the same configuration of a real istiod, answer
//! the same, but where a finding says that they do not.

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/apisix.rs"]
mod apisix;
#[path = "../../../amesh-core/tests/precedence/real/client.rs"]
mod client;
mod compare;
mod echo;
#[path = "../../../amesh-xds/tests/oracle/envoy.rs"]
mod envoy;
#[path = "../../../amesh-core/tests/precedence/model/envoy/host.rs"]
mod host;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/istiod.rs"]
mod istiod;
mod mesh;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-xds/tests/support/plane.rs"]
mod plane;
mod requests;
mod rewrite;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use amesh_core::apisix::Kind;
use amesh_core::{Arrival, Finding, Options, Resource, Snapshot, Target, translate};
use amesh_xds::session::Protocol;

use apisix::Apisix;
use client::Client;
use compare::{Answer, Spot, changed_headers, differences, explained};
use envoy::Envoy;
use istiod::wait_until;
use plane::Plane;
use rewrite::{Served, World};

/// Requests that are put together at random, for each listener.
const RANDOM: usize = 1500;

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
    unexplained: Vec<String>,
}

fn run(programs: &Programs, scenario: &str, recording: &str, arrival: Arrival, router: &str) -> Sum {
    let world = World::new(mesh::collect(&programs.istiod, scenario, recording), arrival);
    assert!(!world.doors.is_empty(), "{scenario} has listeners for plain HTTP");
    let (routes, findings) = translated(&world, arrival);
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
        what: format!("{scenario} {recording} {name} {router}"),
        requests: 0,
        equal: 0,
        rules: BTreeMap::new(),
        unexplained: Vec::new(),
    };
    for door in &world.doors {
        let routes = &world.routes[&door.routes];
        let changed = changed_headers(routes);
        let (mut one, mut other) = (Client::new(envoys(door.port)), Client::new(apisixes(door.port)));
        for request in requests::derive(routes, door.meant, arrival == Arrival::Host, RANDOM) {
            let ask = |client: &mut Client| {
                let response = client.send(&request.method, &request.wire());
                Answer::new(&response.unwrap_or_else(|error| panic!("{error}: {request:?}")))
            };
            let (left, right) = (ask(&mut one), ask(&mut other));
            let spot = Spot::new(door, routes, &request, &left);
            let found = differences(spot, &left, &right, &changed);
            sum.requests += 1;
            if found.is_empty() {
                sum.equal += 1;
                continue;
            }
            match explained(spot, &request, [&left, &right], found, &findings) {
                Ok(rules) => {
                    let rules: Vec<&str> = rules.into_iter().collect();
                    *sum.rules.entry(rules.join(" + ")).or_default() += 1;
                }
                Err(found) => sum.unexplained.push(format!(
                    "{found:?}: {request:?} to {} (virtual host {:?}, route {:?})\n  Envoy  {left:?}\n  APISIX {right:?}",
                    door.listener, spot.host, spot.route
                )),
            }
        }
    }
    sum
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
        for (rule, count) in &sum.rules {
            println!("  {count:>5} {rule}");
        }
        println!("  {:>5} unexplained", sum.unexplained.len());
    }
    for sum in sums {
        for text in sum.unexplained.iter().take(10) {
            println!("{}: {text}", sum.what);
        }
    }
    let left: BTreeSet<&str> = sums
        .iter()
        .filter(|sum| !sum.unexplained.is_empty())
        .map(|sum| sum.what.as_str())
        .collect();
    assert!(left.is_empty(), "not explained by a finding: {left:?}");
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
        run("10-headers-rewrite-redirect", "amesh"),
    ]);
}
