//! Bad documents: whatever is given, the answer is an error with a place, or the good part and what is wrong with the rest.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, which the library must not"
)]

#[path = "support/big_dump.rs"]
mod big_dump;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use amesh_core::dump::{self, Captured, Dump, Error, WriteOptions};
use amesh_core::envoy_types::pb::google::protobuf::Any;
use big_dump::big_dump;
use proptest::prelude::*;
use serde_json::{Value, json};

static RECORDED: LazyLock<String> = LazyLock::new(|| {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenario/istiod/22-envoyfilter-wasm/capture.json");
    std::fs::read_to_string(path).unwrap()
});

fn read(document: &str) -> Dump {
    dump::read(document.as_bytes()).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// The one rejection of a document.
fn rejected(document: &str) -> String {
    let dump = read(document);
    assert_eq!(dump.rejected.len(), 1, "{document}: {:?}", dump.rejected);
    dump.rejected[0].to_string()
}

#[test]
fn a_wrong_type_has_its_place_in_the_document() {
    let document = |port: &str| {
        format!(
            r#"{{"configs": [{{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": [
                {{"name": "l", "active_state": {{"listener": {{
                    "@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "l",
                    "address": {{"socket_address": {{"address": "0.0.0.0", "port_value": {port}}}}}}}}}}},
                {{"name": "m", "active_state": {{"listener": {{
                    "@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "m"}}}}}}]}}]}}"#
        )
    };
    let place = "configs[0].dynamic_listeners[0].active_state.listener.address.socket_address.port_value";
    for (port, message) in [
        (r#""http""#, "invalid digit found in string"),
        (
            "{}",
            "invalid type: map, expected a 32-bit unsigned integer or decimal string",
        ),
        ("-1", "out of range integral type conversion attempted"),
        ("4294967296", "out of range integral type conversion attempted"),
        ("99999999999999999999999", "float value out of range"),
        ("1.5", "expected integer value"),
        (
            "true",
            "invalid type: boolean `true`, expected a 32-bit unsigned integer or decimal string",
        ),
    ] {
        let dump = read(&document(port));
        assert_eq!(dump.resources.len(), 1, "the neighbour is used");
        assert_eq!(
            rejected(&document(port)),
            format!(r#"Listener "l": {place}: {message}"#),
            "{port}"
        );
    }
    // Too big for any number: found when the resource is read as a tree.
    assert_eq!(
        rejected(&document("1e999")),
        r#"Listener "l": configs[0].dynamic_listeners[0].active_state.listener: number out of range"#
    );
}

#[test]
fn the_place_is_spelled_as_the_document_spells_it() {
    assert_eq!(
        rejected(r#"[{"name": "c", "connectTimeout": "soon"}]"#),
        r#"Cluster "c": [0].connectTimeout: failed to parse duration"#
    );
    assert_eq!(
        rejected(r#"{"name": "c", "connect_timeout": 5}"#),
        r#"Cluster "c": connect_timeout: invalid type: integer `5`, expected a duration string"#
    );
}

#[test]
fn the_place_goes_on_inside_an_extension() {
    let document = r#"{"name": "l", "filter_chains": [{"filters": [{"name": "t", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": 5}}]}]}"#;
    assert_eq!(
        rejected(document),
        r#"Listener "l": filter_chains[0].filters[0].typed_config.stat_prefix: invalid type: integer `5`, expected a string"#
    );
}

#[test]
fn what_is_no_resource_is_rejected_alone() {
    let cluster = r#"{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "c"}"#;
    for (bad, message) in [
        ("5", "resources[1]: expected an object"),
        ("null", "resources[1]: expected an object"),
        ("[]", "resources[1]: expected an object"),
        (r#"{"name": "x"}"#, r#""x": resources[1]: expected '@type' field"#),
        (
            r#"{"@type": "type.googleapis.com/istio.networking.nds.v1.NameTable", "name": "x"}"#,
            r#""x": resource type "type.googleapis.com/istio.networking.nds.v1.NameTable" is not one that a mesh sends to a proxy"#,
        ),
        (
            r#"{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster"}"#,
            "Cluster: the resource has no name",
        ),
        (
            r#"{"\ud800": 1, "name": "x"}"#,
            "resources[1]: unexpected end of hex escape",
        ),
    ] {
        let document = format!(r#"{{"resources": [{cluster}, {bad}]}}"#);
        assert_eq!(read(&document).resources.len(), 1, "{bad}");
        assert_eq!(rejected(&document), message, "{bad}");
    }
}

#[test]
fn what_is_unknown_is_left_out_with_its_place_and_the_rest_is_used() {
    let dump = read(
        r#"{"name": "l", "newField": 1, "filterChains": [{"filters": [
            {"name": "a", "typedConfig": {"@type": "type.googleapis.com/no.Such", "x": {"y": [1]}}},
            {"name": "b", "typedConfig": {}},
            {"name": "c", "typedConfig": {"odd": 1, "statPrefix": "s",
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"}}]}]}"#,
    );
    assert_eq!(dump.rejected, []);
    let unknown: Vec<String> = dump.resources[0]
        .unknown
        .iter()
        .map(|unknown| format!("{}: {}", unknown.path, unknown.what))
        .collect();
    assert_eq!(
        unknown,
        [
            r#"filter_chains[0].filters[0].typed_config: message type "no.Such""#,
            r#"filter_chains[0].filters[2].typed_config.odd: field "odd""#,
            r#"newField: field "newField""#,
        ]
    );
}

#[test]
fn of_two_resources_with_one_name_the_later_is_used() {
    let dump = read(
        r#"[{"name": "c", "connectTimeout": "1s"}, {"name": "d", "connectTimeout": "1s"}, {"name": "c", "connectTimeout": "2s"}]"#,
    );
    assert_eq!(dump.resources.len(), 2);
    let amesh_core::decode::Body::Cluster(cluster) = &dump.resources[0].body else {
        panic!("{:?}", dump.resources[0]);
    };
    assert_eq!(cluster.connect_timeout.as_ref().unwrap().seconds, 2);
    assert_eq!(dump.findings.len(), 1);
    assert_eq!(dump.findings[0].rule.name, "dump-duplicate-name");
    assert_eq!(dump.findings[0].detail.as_deref(), Some("[2]"));
    // The same twice is no matter.
    let same = read(r#"[{"name": "c", "connectTimeout": "1s"}, {"name": "c", "connectTimeout": "1s"}]"#);
    assert_eq!((same.resources.len(), same.findings.len()), (1, 0));
}

#[test]
fn what_is_not_active_is_reported_and_not_used() {
    let listener = r#"{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "l"}"#;
    let dump = read(&format!(
        r#"{{"configs": [{{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamicListeners": [
            {{"name": "l", "warmingState": {{"listener": {listener}}}, "drainingState": {{"listener": {listener}}},
              "errorState": {{"failedConfiguration": {listener}, "details": "no good"}}}}]}},
           {{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_warming_clusters": [
            {{"cluster": {{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "c"}}}}]}}]}}"#
    ));
    assert!(dump.resources.is_empty() && dump.rejected.is_empty());
    let found: Vec<String> = dump
        .findings
        .iter()
        .map(|finding| format!("{} {} {:?}", finding.resource, finding.rule.name, finding.detail))
        .collect();
    assert_eq!(
        found,
        [
            r#"Listener "l" dump-draining None"#,
            r#"Listener "l" dump-error-state Some("no good")"#,
            r#"Listener "l" dump-warming None"#,
            r#"Cluster "c" dump-warming None"#,
        ]
    );
}

#[test]
fn a_redacted_key_is_recognised_in_text_and_in_base64() {
    for source in [
        r#"{"inline_string": "[redacted]"}"#,
        r#"{"inline_bytes": "[redacted]"}"#,
        r#"{"inline_bytes": "W3JlZGFjdGVkXQ=="}"#,
    ] {
        let dump = read(&format!(
            r#"{{"name": "s", "tls_certificate": {{"private_key": {source}}}}}"#
        ));
        assert_eq!(dump.rejected, [], "{source}");
        assert_eq!(dump.findings.len(), 1, "{source}");
        assert_eq!(dump.findings[0].rule.name, "dump-private-key-redacted");
        assert_eq!(dump.findings[0].path, "tls_certificate.private_key");
    }
}

#[test]
fn a_truncated_document_is_a_syntax_error_wherever_it_ends() {
    let end = RECORDED.trim_end().len();
    for length in (1..end).step_by(997).chain(end - 20..end) {
        let error = dump::read(&RECORDED.as_bytes()[..length]).unwrap_err();
        assert!(
            matches!(error, Error::Syntax { format: "JSON", line, .. } if line > 0),
            "{length}: {error}"
        );
    }
}

#[test]
fn depth_is_an_error_and_not_a_crash() {
    let nested = |levels: usize| format!("{}1{}", r#"{"a": "#.repeat(levels), "}".repeat(levels));
    let resource = |levels| {
        format!(
            r#"{{"name": "c", "type": "EDS", "metadata": {{"filter_metadata": {{"x": {}}}}}}}"#,
            nested(levels)
        )
    };
    assert_eq!(read(&resource(20)).resources.len(), 1);
    for levels in [200, 100_000] {
        assert_eq!(rejected(&resource(levels)), r#"Cluster "c": recursion limit exceeded"#);
        assert!(dump::read(nested(levels).as_bytes()).is_err());
        let list = "[".repeat(levels) + &"]".repeat(levels);
        assert!(dump::read(list.as_bytes()).is_ok_and(|dump| dump.resources.is_empty() && dump.rejected.len() == 1));
        assert!(dump::read("[".repeat(levels).as_bytes()).is_err());
        // The same in YAML, in both of its styles.
        assert!(dump::read(format!("name: c\nmetadata: {}", nested(levels).replace('"', "")).as_bytes()).is_err());
        assert!(dump::read("- ".repeat(levels).as_bytes()).is_err());
        assert!(dump::read("? ".repeat(levels).as_bytes()).is_err());
    }
    // Messages in messages, where each level is known: protobuf itself stops at a hundred.
    let rules = format!("{}{{\"any\": true}}{}", r#"{"not_rule": "#.repeat(110), "}".repeat(110));
    let filter = format!(
        r#"{{"name": "l", "filter_chains": [{{"filters": [{{"name": "r", "typed_config": {{
            "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "stat_prefix": "s",
            "rules": {{"policies": {{"p": {{"permissions": [{rules}]}}}}}}}}}}]}}]}}"#
    );
    drop(dump::read(filter.as_bytes()));
}

#[test]
fn yaml_that_grows_is_refused() {
    let mut bomb = "a0: &a0 {name: xxxxxxxxxxxxxxxx}\n".to_owned();
    for level in 1..20 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{}]", before.trim_end_matches(", ")).unwrap();
    }
    let error = dump::read(bomb.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::Syntax { format: "YAML", .. }), "{error}");
    // A few aliases are fine.
    let dump = read("- &a {name: c, connectTimeout: &t 1s}\n- {name: d, connectTimeout: *t}\n");
    assert_eq!((dump.resources.len(), dump.rejected.len()), (2, 0));
}

#[test]
fn numbers_that_are_none() {
    for document in [
        r#"{"name": "c", "type": "EDS", "common_lb_config": {"healthy_panic_threshold": {"value": NaN}}}"#,
        r#"{"name": "c", "type": "EDS", "common_lb_config": {"healthy_panic_threshold": {"value": Infinity}}}"#,
        "name: c\ntype: EDS\ncommon_lb_config: {healthy_panic_threshold: {value: .nan}}",
        "name: c\ntype: EDS\ncommon_lb_config: {healthy_panic_threshold: {value: .inf}}",
    ] {
        let error = dump::read(document.as_bytes()).unwrap_err();
        assert!(
            matches!(error, Error::Syntax { line, .. } if line > 0),
            "{document}: {error}"
        );
    }
    // protobuf's JSON has them as text, and Envoy refuses the percentage.
    assert_eq!(
        rejected(r#"{"name": "c", "type": "EDS", "common_lb_config": {"healthy_panic_threshold": {"value": "NaN"}}}"#),
        r#"Cluster "c": common_lb_config.healthy_panic_threshold: NaN is not a percentage"#
    );
}

#[test]
fn a_key_that_is_there_twice_in_yaml_is_an_error() {
    let error = dump::read(b"name: a\nname: b\nconnectTimeout: 1s\n").unwrap_err();
    assert!(
        matches!(
            error,
            Error::Syntax {
                format: "YAML",
                line: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_dump_of_some_megabytes() {
    let text = big_dump(4_000_000);
    let dump = read(&text);
    assert_eq!(dump.rejected, []);
    assert_eq!(dump.findings, []);
    assert!(dump.resources.len() > 800, "{}", dump.resources.len());
}

#[test]
#[ignore = "takes seconds and more than a gigabyte, most of it to make the dump"]
fn a_dump_of_a_hundred_megabytes() {
    let text = big_dump(100_000_000);
    let dump = read(&text);
    assert_eq!(dump.rejected, []);
    assert!(dump.resources.len() > 20_000, "{}", dump.resources.len());
}

/// Every place in a tree, as a JSON pointer.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{key}"), out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), out);
            }
        }
        _ => {}
    }
}

static TREE: LazyLock<(Value, Vec<String>)> = LazyLock::new(|| {
    let tree: Value = serde_json::from_str(&RECORDED).unwrap();
    let mut places = Vec::new();
    pointers(&tree, "", &mut places);
    (tree, places)
});

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!([[{}]])),
        Just(json!({"@type": "type.googleapis.com/no.Such"})),
        Just(json!({"@type": 5})),
        Just(json!({"@type": "type.googleapis.com/no.Such", "value": "AAEC"})),
        Just(json!({"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "value": "AAEC"})),
        Just(json!({"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "value": "CgFh"})),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!(u64::MAX)),
        Just(json!(true)),
        Just(json!("")),
        Just(json!("-5s")),
        ".*".prop_map(Value::String),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_crash_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(dump::read(&bytes));
    }

    #[test]
    fn no_text_crashes_it(text in "[\\[\\]{}\":,a-z0-9 \n&*?!|>#-]{0,80}") {
        drop(dump::read(text.as_bytes()));
    }

    #[test]
    fn no_byte_of_a_dump_crashes_it(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = RECORDED.clone().into_bytes();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        drop(dump::read(&bytes));
    }

    /// Whatever stands in one place of a dump, no resource but the one that holds the place is lost.
    #[test]
    fn one_bad_place_costs_one_resource(place in any::<prop::sample::Index>(), odd in odd_value()) {
        let (tree, places) = &*TREE;
        let place = &places[place.index(places.len())];
        let whole = read(&RECORDED).resources.len();
        let mut tree = tree.clone();
        *tree.pointer_mut(place).unwrap() = odd;
        let inside_of_an_entry = place.split('/').count() > 4;
        match dump::read(tree.to_string().as_bytes()) {
            Ok(dump) if inside_of_an_entry => prop_assert!(dump.resources.len() + 1 >= whole, "{place}"),
            Ok(_) => {}
            Err(error) => prop_assert!(!inside_of_an_entry, "{place}: {error}"),
        }
    }

    /// Whatever a dump with an odd value holds, written it reads the same, and is written the same.
    #[test]
    fn what_is_read_can_be_written(place in any::<prop::sample::Index>(), odd in odd_value()) {
        let (tree, places) = &*TREE;
        let mut tree = tree.clone();
        *tree.pointer_mut(&places[place.index(places.len())]).unwrap() = odd;
        if let Ok(dump) = dump::read(tree.to_string().as_bytes()) {
            let json = written(&dump);
            let again = dump::read(&json).unwrap();
            prop_assert_eq!(&again.rejected, &[]);
            prop_assert_eq!(&again.node, &dump.node);
            prop_assert_eq!(again.resources.len(), dump.resources.len());
            prop_assert_eq!(String::from_utf8(written(&again)), String::from_utf8(json));
        }
    }
}

fn written(dump: &Dump) -> Vec<u8> {
    let resources = dump.resources.iter().map(|resource| Captured {
        resource: Any {
            type_url: format!("type.googleapis.com/{}", resource.body.kind().message()),
            value: resource.body.encode(),
        },
        version: String::new(),
    });
    let mut options = WriteOptions::default();
    options.keep_secrets = true;
    let written = dump::write(dump.node.as_ref(), &resources.collect::<Vec<_>>(), &options);
    assert_eq!(written.left_out, []);
    written.json
}
