//! `amesh coverage`

use amesh_core::coverage;
use insta::assert_snapshot;
use serde_json::Value;

use crate::{GATEWAY, amesh};

fn shown(args: &[&str]) -> String {
    let run = amesh(args);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{args:?}");
    run.stdout
}

#[test]
fn the_fields_that_a_dump_sets() {
    assert_snapshot!(shown(&["coverage", "--used-by", GATEWAY]));
}

#[test]
fn every_row_is_in_every_form() {
    let rows: usize = coverage::features()
        .iter()
        .map(|feature| {
            let fields: usize = feature.messages.iter().map(|message| message.fields.len()).sum();
            fields + feature.extensions.len()
        })
        .sum();
    let json: Value = serde_json::from_str(&shown(&["coverage", "--format", "json"])).expect("JSON");
    assert_eq!(json["fields"].as_array().map(Vec::len), Some(rows));
    let counts: u64 = json["counts"]
        .as_object()
        .expect("counts")
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(counts, rows as u64);
    let markdown = shown(&["coverage", "--format", "markdown"]);
    assert_eq!(markdown.lines().filter(|line| line.starts_with("| `")).count(), rows);
    let table = shown(&["coverage"]);
    assert_eq!(table.lines().filter(|line| line.starts_with("    ")).count(), rows);
}

#[test]
fn a_dump_narrows_every_form_to_the_same_rows() {
    let json: Value =
        serde_json::from_str(&shown(&["coverage", "--used-by", GATEWAY, "--format", "json"])).expect("JSON");
    let fields = json["fields"].as_array().expect("a list");
    assert!(fields.iter().all(|field| field["times"].as_u64() > Some(0)), "{json}");
    let has = |message: &str, field: &str| {
        fields
            .iter()
            .any(|row| row["message"] == message && row["field"] == field)
    };
    assert!(has("envoy.config.route.v3.VirtualHost", "domains"));
    assert!(!has("envoy.config.route.v3.VirtualHost", "request_mirror_policies"));
    let markdown = shown(&["coverage", "--used-by", GATEWAY, "--format", "markdown"]);
    assert_eq!(
        markdown.lines().filter(|line| line.starts_with("| `")).count(),
        fields.len()
    );
}
