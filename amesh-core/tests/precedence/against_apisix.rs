//! The model of APISIX against a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::generate::objects::{request, routes, splits};
use crate::generate::requests::{Die, LOOPBACK};
use crate::generate::samples;
use crate::model::answer::{Answer, Outcome};
use crate::model::apisix::{self, Verdict};
use crate::model::nginx::Connection;
use crate::model::request::Request;
use crate::real::apisix::{Apisix, Router};
use crate::real::client::Client;
use crate::real::{backend, count, free_ports, path_from};

/// What the environment may name.
const WHAT: &str = "a folder with run-standalone.sh of an APISIX 3.x";
/// The header whose value is the number of the table that a request is for.
const TABLE: &str = "x-table";
/// The header of the answer that names the route.
const ROUTE: &str = "x-route";

/// The same route for every request to every table.
#[test]
fn the_model_chooses_as_apisix_does() {
    let Some(home) = path_from("AMESH_APISIX_HOME", WHAT) else {
        return;
    };
    let ports: [u16; 2] = free_ports();
    let tables = samples(&routes(ports), count("AMESH_APISIX_TABLES", 300));
    let mut all = vec![answering(
        "ready",
        json!({"uri": "/ready", "hosts": ["ready"], "vars": []}),
    )];
    let mut models = Vec::new();
    for (number, table) in tables.into_iter().enumerate() {
        let mut model = apisix::Apisix::default();
        for (index, route) in table.into_iter().enumerate() {
            let id = format!("{number}.{index}");
            let mut only_here = answering(&id, route.clone());
            only_here["vars"]
                .as_array_mut()
                .expect("a list")
                .insert(0, json!(["http_x_table", "==", number.to_string()]));
            all.push(only_here);
            model.routes.insert(id.clone(), answering(&id, route));
        }
        models.push(model);
    }
    let ready = b"GET /ready HTTP/1.1\r\nHost: ready\r\n\r\n";
    let _running = Apisix::start(&home, Router::Stock, &ports, &json!({"routes": all}), ready);

    let mut clients: BTreeMap<SocketAddr, Client> = BTreeMap::new();
    let (mut hits, mut misses) = (0_u32, 0_u32);
    for (number, model) in models.iter().enumerate() {
        let routes: Vec<&Value> = model.routes.values().collect();
        let mut die = Die(u64::try_from(number).expect("a number"));
        for _ in 0..40 {
            let request = request(&mut die, &routes, ports, LOOPBACK);
            let connection = connection(request.to);
            let expected = match model.verdict(&request, &connection) {
                Verdict::Refused => (400, None),
                Verdict::NoRoute => (404, None),
                Verdict::Route(id) => (200, Some(id)),
            };
            let client = clients.entry(request.to).or_insert_with(|| Client::new(request.to));
            let answer = client
                .send(&request.method, &request.wire(&[(TABLE, &number.to_string())]))
                .expect("an answer");
            let got = (answer.status, answer.header(ROUTE).map(str::to_owned));
            assert_eq!(expected, got, "{request:?}\n{model:?}");
            if expected.1.is_some() { hits += 1 } else { misses += 1 }
        }
    }
    eprintln!(
        "{} tables, {hits} requests took a route, {misses} took none",
        models.len()
    );
    assert!(
        hits > misses / 4,
        "the requests are not drawn from the tables: {hits} hits, {misses} misses"
    );
}

/// The same upstreams, in the same shares, for routes of every form that forwards.
#[test]
fn the_model_forwards_as_apisix_does() {
    const UPSTREAMS: u16 = 5;
    let Some(home) = path_from("AMESH_APISIX_HOME", WHAT) else {
        return;
    };
    let first = backend::start(UPSTREAMS);
    let ports: [u16; 1] = free_ports();
    let mut model = apisix::Apisix::default();
    for n in 0..UPSTREAMS {
        let node = json!({"host": "127.0.0.1", "port": first + n, "weight": 1});
        let upstream = json!({"id": format!("u{n}"), "type": "roundrobin", "nodes": [node]});
        model.upstreams.insert(format!("u{n}"), upstream);
    }
    // The last has no endpoints.
    model
        .upstreams
        .insert("u5".to_owned(), json!({"id": "u5", "type": "roundrobin", "nodes": []}));
    for (number, mut route) in samples(&splits(UPSTREAMS + 1), 100).into_iter().enumerate() {
        route["id"] = json!(format!("s{number}"));
        route["hosts"] = json!([format!("s{number}")]);
        model.routes.insert(format!("s{number}"), route);
    }
    let mut routes: Vec<Value> = model.routes.values().cloned().collect();
    routes.push(answering("ready", json!({"uri": "/ready", "hosts": ["ready"]})));
    let configuration = json!({"routes": routes, "upstreams": model.upstreams.values().collect::<Vec<_>>()});
    let ready = b"GET /ready HTTP/1.1\r\nHost: ready\r\n\r\n";
    let _running = Apisix::start(&home, Router::Stock, &ports, &configuration, ready);

    let to = SocketAddr::new(LOOPBACK, ports[0]);
    let mut client = Client::new(to);
    let connection = connection(to);
    for number in 0..model.routes.len() {
        let request = Request {
            method: "GET".to_owned(),
            target: "/".to_owned(),
            authority: format!("s{number}"),
            headers: vec![("x-a".to_owned(), (number % 3).to_string())],
            to,
        };
        let (expected, counted) = model.answer(&request, &connection);
        assert!(!counted);
        // Round robin is exact over a whole turn: the least number of requests that the shares divide.
        let whole = |turn: &u32| {
            let parts = expected.0.values().map(|share| share * f64::from(*turn));
            parts.into_iter().all(|part| (part - part.round()).abs() < 1e-6)
        };
        let turn = (1..100).find(whole).expect("small weights");
        let got: Vec<Outcome> = (0..2 * turn)
            .map(|_| {
                let answer = client.send("GET", &request.wire(&[])).expect("an answer");
                match answer.header("x-backend") {
                    Some(port) => Outcome::to(&BTreeSet::from([format!("127.0.0.1:{port}")])),
                    None => Outcome::Status(answer.status),
                }
            })
            .collect();
        let got = Answer::of(got.into_iter().map(|outcome| (outcome, 1.0)));
        assert!(
            expected.agrees(&got, false),
            "{expected:?} {got:?} {}",
            model.routes[&format!("s{number}")]
        );
    }
}

/// A connection of this machine.
fn connection(to: SocketAddr) -> Connection {
    Connection {
        server_addr: to.ip().to_string(),
        server_port: to.port(),
        original_dst: None,
        request_id: "0".repeat(32),
    }
}

/// The route with an id, and an answer that names it.
fn answering(id: &str, mut route: Value) -> Value {
    route["id"] = json!(id);
    route["plugins"] = json!({"fault-injection": {"abort": {"http_status": 200, "body": "", "headers": {ROUTE: id}}}});
    route
}
