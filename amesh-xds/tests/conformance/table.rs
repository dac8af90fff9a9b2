//! Which test shows which rule.

use std::collections::{BTreeMap, BTreeSet};

/// Where named tests are.
const SOURCES: [&str; 11] = [
    include_str!("stream.rs"),
    include_str!("validation.rs"),
    include_str!("subscription.rs"),
    include_str!("order.rs"),
    include_str!("failure.rs"),
    include_str!("istiod.rs"),
    include_str!("../connection/main.rs"),
    include_str!("../connection/tls.rs"),
    include_str!("../oracle/main.rs"),
    include_str!("../../src/backoff.rs"),
    include_str!("../../src/node.rs"),
];

/// The numbers of the rules of xDS, and of the habits of istiod.
const ROWS: [(&str, &[std::ops::RangeInclusive<u32>]); 2] =
    [("xds", &[1..=14, 20..=28, 30..=43, 50..=69]), ("pr", &[1..=21])];

/// Rules that no test of this crate shows, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "xds_59",
        "the consumer's: amesh-core plans what is referred to before what refers to it",
    ),
    ("pr_15", "how the server paces itself; a client sees nothing of it"),
    ("pr_16", "istiod offers a sidecar nothing on demand"),
    (
        "pr_21",
        "no health is reported: it serves machines that register themselves",
    ),
];

fn rows() -> BTreeSet<String> {
    let ids = |(prefix, ranges): (&str, &[std::ops::RangeInclusive<u32>])| {
        let numbers: Vec<u32> = ranges.iter().cloned().flatten().collect();
        numbers
            .into_iter()
            .map(|number| format!("{prefix}_{number:02}"))
            .collect::<Vec<_>>()
    };
    ROWS.into_iter().flat_map(ids).collect()
}

fn tests() -> BTreeMap<String, Vec<String>> {
    let mut tests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in SOURCES {
        let mut is_test = false;
        for line in source.lines().map(str::trim) {
            let line = line.strip_prefix("async ").unwrap_or(line);
            if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
                let name = name.split('(').next().unwrap_or(name);
                let id: Vec<&str> = name.splitn(3, '_').take(2).collect();
                tests.entry(id.join("_")).or_default().push(name.to_owned());
            }
            is_test = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        }
    }
    tests
}

#[test]
fn every_rule_has_a_test_or_a_reason() {
    let (rows, tests) = (rows(), tests());
    let elsewhere: BTreeMap<&str, &str> = ELSEWHERE.iter().copied().collect();
    let mut problems = Vec::new();
    for row in &rows {
        let shown = tests.get(row).map(|names| names.join(", "));
        match (&shown, elsewhere.get(row.as_str())) {
            (Some(_), Some(_)) => problems.push(format!("{row} has a test and a reason to have none")),
            (None, None) => problems.push(format!("{row} has no test")),
            _ => {}
        }
        let reason = elsewhere.get(row.as_str()).map(|reason| format!("({reason})"));
        println!(
            "{}  {}",
            row.to_uppercase().replace('_', "-"),
            shown.or(reason).unwrap_or_default()
        );
    }
    for name in elsewhere.keys().filter(|name| !rows.contains(**name)) {
        problems.push(format!("{name} is no rule"));
    }
    let strays = tests
        .iter()
        .filter(|(id, _)| (id.starts_with("xds") || id.starts_with("pr_")) && !rows.contains(*id));
    problems.extend(strays.map(|(id, names)| format!("{names:?}: {id} is no rule")));
    assert!(problems.is_empty(), "{problems:#?}");
}
