//! Settings from JSON, from variables, and none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use amesh_core::{Arrival, Target};
use amesh_xds::server::Address;
use amesh_xds::session::Protocol;

use super::{SETTINGS, Settings};

const NODE: &str = "router~10.0.0.9~gw-1.default~default.svc.cluster.local";

fn variables(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn read(json: &str, list: &[(&str, &str)]) -> Settings {
    Settings::read(Some(json.as_bytes()), variables(list)).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn fails(json: &str, list: &[(&str, &str)]) -> String {
    let settings = Settings::read(Some(json.as_bytes()), variables(list));
    let made = settings.and_then(|settings| settings.client());
    made.expect_err("it is no good").to_string()
}

fn addresses(settings: &Settings) -> Vec<String> {
    let config = settings.client().expect("whom to ask, and who asks");
    config.servers.iter().map(|server| server.address.to_string()).collect()
}

#[test]
fn json_goes_before_variables_and_these_before_what_holds_otherwise() {
    let settings = read(
        r#"{"server": ["a:1", "unix:/b"], "node": "x", "wait": 5.0, "log_level": null}"#,
        &[
            ("AMESH_SERVER", "c:3"),
            ("AMESH_WAIT", "7"),
            ("AMESH_ARRIVAL", "redirect"),
        ],
    );
    assert_eq!(settings.servers, ["a:1", "unix:/b"]);
    assert_eq!(settings.wait, Duration::from_secs(5));
    assert_eq!(settings.options.arrival, Some(Arrival::Redirect));
    assert_eq!(settings.protocol, Protocol::Delta);
}

#[test]
fn every_setting_is_read_from_json_and_from_its_variable() {
    let values: &[(&str, &str, &str)] = &[
        ("server", r#"["a:1"]"#, "a:1"),
        ("ca_cert", r#""/r""#, "/r"),
        ("server_name", r#""n""#, "n"),
        ("token", r#""/t""#, "/t"),
        ("client_cert", r#""/c""#, "/c"),
        ("client_key", r#""/k""#, "/k"),
        ("protocol", r#""sotw""#, "sotw"),
        ("node", r#""sidecar~1.2.3.4~a.b~c""#, "sidecar~1.2.3.4~a.b~c"),
        ("bootstrap", r#""/b""#, "/b"),
        ("proxy", r#""router""#, "router"),
        ("domain", r#""example""#, "example"),
        ("labels", r#"{"app": "a", "v": "1"}"#, "app=a, v=1"),
        (
            "metadata",
            r#"{"CLUSTER_ID": "k", "N": {"a": 1}}"#,
            r#"{"CLUSTER_ID": "k", "N": {"a": 1}}"#,
        ),
        ("target", r#""native""#, "native"),
        ("arrival", r#""host""#, "host"),
        ("permit", r#"["istio-mutual-tls"]"#, ""),
        ("keep_when_all_removed", "true", "true"),
        ("wait", "9", "9"),
        ("wake_socket", r#""/w""#, "/w"),
        ("log_level", r#""debug""#, "debug"),
    ];
    let named: BTreeSet<&str> = values.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(named, SETTINGS.iter().map(|setting| setting.name).collect());
    let shown = |settings: &Settings| {
        let mut settings = settings.clone();
        settings.environment.clear();
        format!("{settings:?}")
    };
    let default = shown(&read("{}", &[]));
    let rule = amesh_core::coverage::rules()
        .into_iter()
        .find(|rule| rule.outcome == amesh_core::Outcome::FailsClosed);
    let rule = rule.expect("a rule that fails closed").name;
    for (name, json, text) in values {
        let (json, text) = if *name == "permit" {
            (format!("[\"{rule}\"]"), rule)
        } else {
            ((*json).to_owned(), *text)
        };
        let from_json = shown(&read(&format!("{{\"{name}\": {json}}}"), &[]));
        assert_ne!(from_json, default, "{name}");
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.name == *name)
            .expect("a setting");
        for variable in setting.variables {
            assert_eq!(shown(&read("{}", &[(variable, text)])), from_json, "{variable}");
        }
    }
}

#[test]
fn what_is_no_good_is_named() {
    for (json, list, expected) in [
        ("[1]", &[][..], "the settings are no JSON object: it is something else"),
        (
            r#"{"servre": "x"}"#,
            &[],
            "there is no setting \"servre\": did you mean \"server\"?",
        ),
        (r#"{"zzz": "x"}"#, &[], "there is no setting \"zzz\""),
        (
            r#"{"server": 7}"#,
            &[],
            "server: it has to be a text or a list of texts",
        ),
        (
            r#"{"wait": 0}"#,
            &[],
            "wait: it has to be whole seconds, from 1 to 86400",
        ),
        (
            r#"{"wait": 1.5}"#,
            &[],
            "wait: it has to be whole seconds, from 1 to 86400",
        ),
        (
            "{}",
            &[("AMESH_PROTOCOL", "v2")],
            "AMESH_PROTOCOL: it has to be one of delta, sotw",
        ),
        (
            "{}",
            &[("AMESH_LABELS", "app")],
            "AMESH_LABELS: it has to be texts by name",
        ),
        (
            r#"{"node": "x"}"#,
            &[],
            "node: it does not have four parts with ~ between them",
        ),
        (
            "{}",
            &[],
            "nothing says who asks: node and bootstrap are not set, and POD_NAMESPACE is not set",
        ),
        (
            r#"{"bootstrap": "/nowhere"}"#,
            &[],
            "bootstrap: /nowhere: No such file or directory (os error 2)",
        ),
    ] {
        assert_eq!(fails(json, list), expected, "{json} {list:?}");
    }
    let failure = fails(r#"{"permit": ["istio-mutal-tls"]}"#, &[]);
    assert!(
        failure.starts_with("permit: no rule that fails closed is called \"istio-mutal-tls\""),
        "{failure}"
    );
    assert_eq!(
        fails(&format!(r#"{{"server": "a:1", "token": "/t", "node": "{NODE}"}}"#), &[]),
        "a token is not sent to a:1 in plain text: set ca_cert"
    );
    for json in [
        format!(r#"{{"server": "istiod", "node": "{NODE}"}}"#),
        format!(r#"{{"server": "a:1", "server_name": "x", "node": "{NODE}"}}"#),
        format!(r#"{{"server": "a:1", "ca_cert": "/r", "client_cert": "/c", "node": "{NODE}"}}"#),
    ] {
        fails(&json, &[]);
    }
}

#[test]
fn a_variable_that_is_almost_one_of_ours_is_noticed() {
    let given = variables(&[
        ("AMESH_SEVER", "a"),
        ("AMESH_SERVER", "b"),
        ("AMESH_GRPC_SOURCE", "grpc://x:1"),
        ("AMESH_SYNC_INTERVAL", "10"),
        ("AMESH_CONTROLLER_SERVICE_HOST", "10.0.0.1"),
        ("AMESH_PORT", "tcp://10.0.0.1:80"),
        ("MESH_SERVER", "c"),
    ]);
    assert_eq!(super::misspelt(&given), [("AMESH_SEVER", "AMESH_SERVER".to_owned())]);
}

#[test]
fn an_empty_table_of_lua_is_no_setting() {
    assert_eq!(read("[]", &[]).options.target, Target::Amesh);
    assert!(read(r#"{"labels": [], "metadata": []}"#, &[]).labels.is_empty());
    let stock = Settings::read(None, BTreeMap::new()).expect("no settings");
    assert_eq!(stock.options.target, Target::Native);
}

#[test]
fn a_pod_needs_no_settings() {
    let pod = [
        ("POD_NAME", "app-7c9"),
        ("POD_NAMESPACE", "shop"),
        ("INSTANCE_IP", "10.0.0.1"),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
    ];
    let settings = read("{}", &pod);
    let config = settings.client().expect("whom to ask, and who asks");
    assert_eq!(
        config.session.node.id,
        "sidecar~10.0.0.1~app-7c9.shop~shop.svc.cluster.local"
    );
    assert!(
        config
            .session
            .node
            .metadata
            .expect("metadata")
            .fields
            .contains_key("CLUSTER_ID")
    );
    assert_eq!(addresses(&settings), ["istiod.istio-system.svc.cluster.local:15010"]);
}

#[test]
fn the_variable_of_gos_amesh_is_understood() {
    let settings = read(
        &format!(r#"{{"node": "{NODE}"}}"#),
        &[("ISTIO_XDS_SOURCE", "grpc://istiod:15010")],
    );
    assert_eq!(addresses(&settings), ["istiod:15010"]);
}

#[test]
fn a_bootstrap_file_says_whom_to_ask_and_who_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bootstrap.json");
    let text = format!(
        r#"{{"xds_servers": [{{"server_uri": "unix:///x", "channel_creds": [{{"type": "insecure"}}]}}], "node": {{"id": "{NODE}"}}}}"#
    );
    std::fs::write(&path, text).expect("a file");
    let file = format!(r#""bootstrap": "{}""#, path.display());
    let config = read(&format!("{{{file}}}"), &[])
        .client()
        .expect("whom to ask, and who asks");
    assert_eq!(config.servers[0].address, Address::Unix("/x".into()));
    assert_eq!(config.session.node.id, NODE);
    // What is set goes before.
    let settings = read(&format!(r#"{{{file}, "server": "a:1"}}"#), &[]);
    assert_eq!(addresses(&settings), ["a:1"]);
}
