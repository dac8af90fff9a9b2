//! The model of Envoy against a real one.

use std::net::{IpAddr, Ipv4Addr};

use envoy_types::pb::envoy::config::route::v3::route::Action;

use crate::generate::requests::{Die, LOOPBACK, anywhere, request};
use crate::generate::samples;
use crate::generate::table::{PORTS, by_destination, by_port};
use crate::model::answer::Answer;
use crate::model::envoy;
use crate::real::client::Client;
use crate::real::envoy::{Envoy, ROUTE, TABLE};
use crate::real::{count, free_ports, path_from};

/// What the environment may name.
const WHAT: &str = "the path of an Envoy 1.40 binary";

/// The same route for every request to every table.
#[test]
fn the_model_chooses_as_envoy_does() {
    let Some(binary) = path_from("AMESH_ENVOY", WHAT) else {
        return;
    };
    let tables: Vec<_> = samples(&by_port(PORTS, 9000), count("AMESH_ENVOY_TABLES", 1500))
        .into_iter()
        .flat_map(|table| table.routes)
        .collect();
    let envoy = Envoy::with_tables(&binary, &tables);
    let mut client = Client::new(envoy.address);
    let to = anywhere(&PORTS, &[LOOPBACK]);
    let (mut hits, mut misses) = (0_u32, 0_u32);
    for (number, table) in tables.iter().enumerate() {
        let mut die = Die(u64::try_from(number).expect("a number"));
        for _ in 0..20 {
            let request = request(&mut die, std::slice::from_ref(table), &to);
            let number = number.to_string();
            let answer = client
                .send(&request.method, &request.wire(&[(TABLE, &number)]))
                .expect("an answer");
            let expected = envoy::route(table, &request);
            assert_eq!(
                expected.map(|route| route.name.as_str()),
                answer.header(ROUTE),
                "{request:?}\nEnvoy: {answer:?}\n{}",
                envoy::text(table)
            );
            // To a gRPC client its own answers are a 200 with a grpc-status.
            let status = match expected.and_then(|route| route.action.as_ref()) {
                _ if envoy::is_grpc(&request) => 200,
                Some(Action::DirectResponse(response)) => response.status,
                Some(_) => 503,
                None => 404,
            };
            assert_eq!(status, u32::from(answer.status), "{request:?}\n{}", envoy::text(table));
            if expected.is_some() { hits += 1 } else { misses += 1 }
        }
    }
    eprintln!(
        "{} route configurations, {hits} requests took a route, {misses} took none",
        tables.len()
    );
    assert!(
        hits > misses / 4,
        "the requests are not drawn from the tables: {hits} hits, {misses} misses"
    );
}

/// A listener bound to one address takes its connections from one that is bound to any.
#[test]
fn the_model_chooses_listeners_as_envoy_does() {
    let Some(binary) = path_from("AMESH_ENVOY", WHAT) else {
        return;
    };
    let addresses = [2, 3, 4].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let ports = free_ports();
    let mut taken = 0_u32;
    for (number, mut table) in samples(&by_destination(ports, addresses, 9000), 12)
        .into_iter()
        .enumerate()
    {
        // The real one knows no clusters.
        table.clusters.clear();
        let _running = Envoy::with_listeners(&binary, &table);
        let mut die = Die(u64::try_from(number).expect("a number"));
        for _ in 0..150 {
            let request = request(&mut die, &table.routes, &anywhere(&ports, &addresses));
            let answer = Client::new(request.to).send(&request.method, &request.wire(&[])).ok();
            let expected = table.route(request.to, &request);
            assert_eq!(
                expected.map(|route| route.name.as_str()),
                answer.as_ref().and_then(|answer| answer.header(ROUTE)),
                "{request:?}\nEnvoy: {answer:?}\n{table:?}"
            );
            if let (Some(answer), false) = (&answer, envoy::is_grpc(&request)) {
                let status = Answer::status(answer.status);
                assert_eq!(table.answer(request.to, &request), status, "{request:?}\n{table:?}");
            }
            taken += u32::from(expected.is_some());
        }
    }
    assert!(
        taken > 100,
        "the requests are not drawn from the tables: {taken} took a route"
    );
}
