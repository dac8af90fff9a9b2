//! `amesh explain`

use amesh_core::coverage;
use insta::assert_snapshot;

use crate::amesh;

fn explained(name: &str) -> String {
    let run = amesh(&["explain", name]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{name}");
    run.stdout
}

#[test]
fn a_rule() {
    assert_snapshot!(explained("downstream-tls"));
}

#[test]
fn a_field_by_its_last_parts() {
    let full = explained("envoy.config.route.v3.RouteAction.timeout");
    assert_eq!(explained("RouteAction.timeout"), full);
    assert_snapshot!(full);
}

#[test]
fn a_message_is_explained_field_by_field() {
    assert_snapshot!(explained("QueryParameterMatcher"));
}

#[test]
fn every_rule_and_every_field_can_be_asked_for() {
    let rules = coverage::rules();
    let list = amesh(&["explain"]).stdout;
    assert_eq!(list.lines().count(), rules.len());
    for rule in rules {
        assert!(list.contains(rule.name), "{}", rule.name);
    }
    // One field of each message: a run for every field would take minutes.
    for message in coverage::features().iter().flat_map(|feature| feature.messages) {
        if let Some(field) = message.fields.first() {
            let name = format!("{}.{}", message.name, field.name);
            assert!(explained(&name).starts_with(&name), "{name}");
        }
    }
}
