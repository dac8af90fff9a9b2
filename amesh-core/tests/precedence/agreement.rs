//! The law: for every table and every request, APISIX does with the translation what Envoy does with the original.

use std::cell::Cell;
use std::net::SocketAddr;

use amesh_core::{Arrival, Finding};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestRunner};

use crate::generate::requests::{Die, LOOPBACK, anywhere, request_for};
use crate::generate::table::{DESTINATIONS, PORTS, Table, by_destination, by_port, with_fractions};
use crate::translated::{arrives_at, connection, translated};

/// The same cases in every run, and before them those that once failed. `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for
/// more cases, and for others.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig {
        cases: asked.cases.max(500),
        rng_seed: match asked.rng_seed {
            RngSeed::Random => RngSeed::Fixed(20),
            seed @ RngSeed::Fixed(_) => seed,
        },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/precedence/regressions.txt",
        ))),
        // Where request ids are counted a case takes a while, and thousands of smaller ones too long.
        max_shrink_time: 60_000,
        ..asked
    }
}

/// The law for requests to some addresses.
fn law(tables: impl Strategy<Value = Table>, arrival: Arrival, to: &[SocketAddr]) {
    let (asked, forwarded) = (Cell::new(0_u32), Cell::new(0_u32));
    let agree = |(table, seed)| {
        let (apisix, findings) = translated(&table, arrival);
        let mut die = Die(seed);
        for _ in 0..20 {
            let request = request_for(&mut die, &table, to, arrival == Arrival::Host);
            // The translator says of the others, once for each listener, that they may be routed otherwise.
            if !request.is_plain() {
                continue;
            }
            let expected = table.answer(arrives_at(&request, arrival), &request);
            let (got, counted) = apisix.answer(&request, &connection(&request, arrival));
            prop_assert!(
                expected.agrees(&got, counted),
                "Envoy: {expected:?}\nAPISIX: {got:?}\n{request:?}\n{table:?}\n{apisix:?}\n{}",
                rules(&findings)
            );
            asked.set(asked.get() + 1);
            forwarded.set(forwarded.get() + u32::from(expected.is_forwarded()));
        }
        Ok(())
    };
    if let Err(error) = TestRunner::new(config()).run(&(with_fractions(tables), any::<u64>()), agree) {
        panic!("{error}");
    }
    let (asked, forwarded) = (asked.get(), forwarded.get());
    eprintln!("{arrival:?}: {asked} requests, {forwarded} of them forwarded");
    assert!(
        forwarded > asked / 5,
        "the requests are not drawn from the tables: {forwarded} of {asked} are forwarded"
    );
}

/// What was said about a table, in the fewest words.
fn rules(findings: &[Finding]) -> String {
    let lines = findings
        .iter()
        .map(|finding| format!("{} {} {:?}", finding.rule.name, finding.path, finding.detail));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn at_the_listeners_port() {
    law(by_port(PORTS, 9000), Arrival::Direct, &anywhere(&PORTS, &[LOOPBACK]));
}

#[test]
fn at_the_original_destination() {
    law(
        by_destination(PORTS, DESTINATIONS, 9000),
        Arrival::Redirect,
        &anywhere(&PORTS, &DESTINATIONS),
    );
}

#[test]
fn at_the_port_in_the_host_header() {
    law(by_port(PORTS, 9000), Arrival::Host, &anywhere(&PORTS, &[LOOPBACK]));
}
