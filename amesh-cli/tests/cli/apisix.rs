//! What a real APISIX reads from the file is what was written.

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/apisix.rs"]
mod real;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::amesh_reading;
use real::Apisix;

/// Texts that one YAML reader or another takes for something else, or that APISIX would replace.
const AWKWARD: [&str; 28] = [
    "on",
    "No",
    "y",
    "true",
    "null",
    "~",
    " ",
    "1e3",
    "0x10",
    "0o7",
    "012",
    "1_000",
    "12:30:45",
    ".inf",
    "2001-01-01",
    "-",
    "- a",
    "*a",
    "&a",
    "!a",
    "# a",
    "a #b",
    "a: b",
    "{a",
    "[a",
    "\"'\\",
    "${{HOME}} ${{AMESH_UNSET}}",
    "é\u{1F600}\u{2028}",
];

/// A gateway with a cluster, and a route with a condition, for each of the texts.
fn dump() -> Value {
    let clusters = AWKWARD.iter().map(|text| {
        json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": text,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": { "cluster_name": text, "endpoints": [{ "lb_endpoints": [
                { "endpoint": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 9 } } } },
            ] }] },
        })
    });
    let routes = AWKWARD.map(|text| {
        json!({
            "match": { "prefix": "/", "headers": [{ "name": "x-text", "string_match": { "exact": text } }] },
            "route": { "cluster": text, "timeout": "0s" },
        })
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "s",
        "route_config": { "name": "r", "virtual_hosts": [{ "name": "v", "domains": ["*"], "routes": routes }] },
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        } }],
    });
    let listener = json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "l",
        "address": { "socket_address": { "address": "0.0.0.0", "port_value": 8080 } },
        "filter_chains": [{ "filters": [
            { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager },
        ] }],
    });
    Value::Array(clusters.chain([listener]).collect())
}

#[test]
fn a_real_apisix_reads_what_was_written() {
    let Some(home) = real::home() else { return };
    let input = dump().to_string();
    let yaml = amesh_reading(input.as_bytes(), &["translate", "-q"]);
    assert_eq!((yaml.status, yaml.stderr.as_str()), (Some(0), ""));
    let texts = amesh_reading(input.as_bytes(), &["translate", "-q", "--format", "shdict"]).stdout;
    let texts: BTreeMap<String, String> = serde_json::from_str(&texts).expect("JSON");
    assert!(texts.len() > 2 * AWKWARD.len(), "{texts:?}");

    let apisix = Apisix::start(&home, &yaml.stdout);
    let read = ["upstreams", "routes"].map(|kind| (kind, apisix.objects(kind)));
    for (kind, objects) in &read {
        let written = texts.keys().filter(|key| key.starts_with(&format!("/{kind}/"))).count();
        assert_eq!(objects.len(), written, "{kind}");
    }
    for (key, text) in &texts {
        let written: Value = serde_json::from_str(text).expect("JSON");
        let (_, objects) = read
            .iter()
            .find(|(kind, _)| key.starts_with(&format!("/{kind}/")))
            .expect("a kind");
        let object = &objects[written["id"].as_str().expect("an id")];
        // APISIX adds defaults of its own to what it was given.
        for (field, value) in written.as_object().expect("an object") {
            assert!(
                same(&object[field], value),
                "{key}: {field} is {} instead of {value}",
                object[field]
            );
        }
    }
}

/// Lua has one type of number, and one empty table.
fn same(read: &Value, written: &Value) -> bool {
    match (read, written) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => b.iter().all(|(name, b)| a.get(name).is_some_and(|a| same(a, b))),
        (Value::Object(a), Value::Array(b)) => a.is_empty() && b.is_empty(),
        (a, b) => a == b,
    }
}
