//! `amesh diff`

use insta::assert_snapshot;

use crate::{GATEWAY, amesh, amesh_reading, path, read};

const CHANGED: &str = "tests/input/gateway-changed.yaml";

#[test]
fn nothing_differs_from_itself() {
    let run = amesh(&["diff", GATEWAY, GATEWAY]);
    assert_eq!(
        (run.status, run.stdout.as_str(), run.stderr.as_str()),
        (Some(0), "", "")
    );
}

#[test]
fn objects_and_findings_come_change_and_go() {
    let run = amesh(&["diff", GATEWAY, CHANGED]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(1), ""));
    assert_snapshot!(run.stdout);
}

#[test]
fn the_other_way_round_the_counts_change_places() {
    let last = |args: &[&str]| amesh(args).stdout.lines().last().map(str::to_owned).unwrap_or_default();
    let there = last(&["diff", GATEWAY, CHANGED]);
    let back = last(&["diff", CHANGED, GATEWAY]);
    let numbers = |line: &str| {
        let words = line.split(|character: char| !character.is_ascii_digit());
        words.filter_map(|word| word.parse::<usize>().ok()).collect::<Vec<_>>()
    };
    let [added, changed, removed, come, gone] = numbers(&there)[..] else {
        panic!("{there}")
    };
    assert_eq!(numbers(&back), [removed, changed, added, gone, come]);
    assert!(added + removed > 0 && changed > 0, "{there}");
}

#[test]
fn quiet_leaves_only_the_status_and_a_dump_may_come_by_pipe() {
    let run = amesh_reading(read(&path(CHANGED)).as_bytes(), &["diff", "-q", GATEWAY, "-"]);
    assert_eq!(
        (run.status, run.stdout.as_str(), run.stderr.as_str()),
        (Some(1), "", "")
    );
}

#[test]
fn a_route_in_front_moves_findings_and_changes_none() {
    let route = "                - match: { path: /first }\n                  direct_response: { status: 204 }\n";
    let anchor = "                - match: { prefix: /reviews";
    let before = read(&path(GATEWAY));
    let after = before.replacen(anchor, &format!("{route}{anchor}"), 1);
    assert_ne!(before, after);
    let run = amesh_reading(after.as_bytes(), &["diff", GATEWAY, "-"]);
    assert_eq!(run.status, Some(1));
    assert!(run.stdout.ends_with("Findings: 0 come, 0 gone.\n"), "{}", run.stdout);
}
