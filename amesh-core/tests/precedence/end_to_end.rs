//! A real APISIX, with what the translator made of many tables, against the model of Envoy: with APISIX's own router and
//! with Amesh's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use amesh_core::Arrival;
use proptest::strategy::Strategy;
use serde_json::{Value, json};

use crate::generate::requests::{Die, LOOPBACK, anywhere, request_for};
use crate::generate::samples;
use crate::generate::table::{CLUSTERS, DESTINATIONS, PORTS, Table, by_destination, by_port, with_fractions};
use crate::model::answer::{Answer, Outcome};
use crate::model::apisix;
use crate::real::apisix::{Apisix, Router};
use crate::real::client::{Client, Response};
use crate::real::{Namespace, backend, count, free_ports, path_from, redirected};
use crate::translated::{arrives_at, translated};

/// The header whose value is the number of the table that a request is for.
const TABLE: &str = "x-table";

/// What the environment may name.
const WHAT: &str = "a folder with run-standalone.sh of an APISIX 3.x";
/// The port that redirected connections come to, as in a sidecar.
const REDIRECTED: u16 = 15001;

#[test]
fn a_gateway_answers_as_envoy_does() {
    if let Some(home) = path_from("AMESH_APISIX_HOME", WHAT) {
        let ports = free_ports();
        let first = backend::start(CLUSTERS);
        compare(
            &home,
            Arrival::Direct,
            &ports,
            by_port(ports, first),
            &anywhere(&ports, &[LOOPBACK]),
        );
    }
}

#[test]
fn a_server_without_interception_answers_as_envoy_does() {
    if let Some(home) = path_from("AMESH_APISIX_HOME", WHAT) {
        let first = backend::start(CLUSTERS);
        let to = anywhere(&PORTS, &[LOOPBACK]);
        compare(&home, Arrival::Host, &free_ports::<1>(), by_port(PORTS, first), &to);
    }
}

#[test]
fn a_sidecar_answers_as_envoy_does() {
    const TEST: &str = "end_to_end::a_sidecar_answers_as_envoy_does";
    if let Some(home) = path_from("AMESH_APISIX_HOME", WHAT)
        && redirected(TEST, "10.0.0.0/24", &[], REDIRECTED) == Some(Namespace::Inside)
    {
        let tables = by_destination(PORTS, DESTINATIONS, backend::start(CLUSTERS));
        compare(
            &home,
            Arrival::Redirect,
            &[REDIRECTED],
            tables,
            &anywhere(&PORTS, &DESTINATIONS),
        );
    }
}

/// Loads translated tables, and compares the answers with those of the model of Envoy.
fn compare(home: &Path, arrival: Arrival, open: &[u16], tables: impl Strategy<Value = Table>, to: &[SocketAddr]) {
    let tables = samples(&with_fractions(tables), count("AMESH_APISIX_TABLES", 150));
    let ready_answer = json!({"fault-injection": {"abort": {"http_status": 200, "body": ""}}});
    let mut routes = vec![json!({"id": "ready", "uri": "/ready", "hosts": ["ready"], "plugins": ready_answer})];
    let mut upstreams = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        only_for(number, translated(table, arrival).0, &mut routes, &mut upstreams);
    }
    let ready = b"GET /ready HTTP/1.1\r\nHost: ready\r\n\r\n";
    let configuration = json!({"routes": routes, "upstreams": upstreams});
    for router in Router::ALL {
        let _running = Apisix::start(home, router, open, &configuration, ready);
        ask(router, &tables, arrival, open, to);
    }
}

/// Sends requests for each table, and compares the answers.
fn ask(router: Router, tables: &[Table], arrival: Arrival, open: &[u16], to: &[SocketAddr]) {
    let mut clients: BTreeMap<SocketAddr, Client> = BTreeMap::new();
    let mut forwarded = 0_u32;
    for (number, table) in tables.iter().enumerate() {
        let mut die = Die(u64::try_from(number).expect("a number"));
        for _ in 0..40 {
            let request = request_for(&mut die, table, to, arrival == Arrival::Host);
            if !request.is_plain() {
                continue;
            }
            let expected = table.answer(arrives_at(&request, arrival), &request);
            let address = if arrival == Arrival::Host {
                SocketAddr::new(LOOPBACK, open[0])
            } else {
                request.to
            };
            let client = clients.entry(address).or_insert_with(|| Client::new(address));
            let answer = client
                .send(&request.method, &request.wire(&[(TABLE, &number.to_string())]))
                .expect("an answer");
            assert!(
                fits(&expected, &answer),
                "{router:?} {arrival:?}: {request:?}\nEnvoy: {expected:?}\nAPISIX: {answer:?}\n{table:?}\n{:?}",
                translated(table, arrival).0
            );
            forwarded += u32::from(expected.is_forwarded());
        }
    }
    let sent = tables.len() * 40;
    eprintln!(
        "{router:?} {arrival:?}: {} tables, {sent} requests, {forwarded} of them forwarded",
        tables.len()
    );
    assert!(forwarded > 100, "the requests are not drawn from the tables");
}

/// Whether an answer is one of those that are expected.
fn fits(expected: &Answer, answer: &Response) -> bool {
    expected
        .0
        .keys()
        .any(|outcome| match (outcome, answer.header("x-backend")) {
            (Outcome::Status(status), None) => answer.status == *status,
            (Outcome::Endpoints(endpoints), Some(port)) => endpoints.contains(&format!("{LOOPBACK}:{port}")),
            _ => false,
        })
}

/// Adds a table's objects to those of all tables, under ids of their own, for requests that name the table.
fn only_for(number: usize, table: apisix::Apisix, routes: &mut Vec<Value>, upstreams: &mut Vec<Value>) {
    let ids: BTreeMap<String, String> = table
        .upstreams
        .keys()
        .enumerate()
        .map(|(index, id)| (id.clone(), format!("t{number}.{index}")))
        .collect();
    for (id, mut upstream) in table.upstreams {
        upstream["id"] = json!(ids[&id]);
        upstreams.push(upstream);
    }
    for (index, mut route) in table.routes.into_values().enumerate() {
        rename(&mut route, &ids);
        route["id"] = json!(format!("t{number}.{index}"));
        let mut vars = vec![json!(["http_x_table", "==", number.to_string()])];
        match route.get("vars").and_then(Value::as_array).map(Vec::as_slice) {
            // One expression instead of a list of them.
            Some([Value::String(_), ..]) => vars.push(route["vars"].clone()),
            Some(list) => vars.extend_from_slice(list),
            None => {}
        }
        route["vars"] = Value::Array(vars);
        routes.push(route);
    }
}

/// Replaces every `upstream_id` in an object.
fn rename(value: &mut Value, ids: &BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(id) if name == "upstream_id" => *id = ids[id.as_str()].clone(),
                    other => rename(other, ids),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| rename(value, ids)),
        _ => {}
    }
}
