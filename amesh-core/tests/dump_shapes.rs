//! Every shape that a captured document can have, and what is said of documents that are none.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use amesh_core::dump::{self, Dump, Error, Shape};

fn read(document: &str) -> Dump {
    dump::read(document.as_bytes()).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// The shape and the resources, as `Cluster a`.
fn summary(dump: &Dump) -> (Shape, Vec<String>) {
    assert_eq!(dump.rejected, []);
    let names = dump
        .resources
        .iter()
        .map(|resource| format!("{} {}", resource.body.kind(), resource.name))
        .collect();
    (dump.shape, names)
}

fn check(document: &str, shape: Shape, resources: &[&str]) {
    let (found, names) = summary(&read(document));
    assert_eq!(names, resources, "{document}");
    assert_eq!(found, shape, "{document}");
}

const CLUSTER: &str = r#"{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "c", "type": "EDS"}"#;
const LISTENER: &str = r#"{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "l"}"#;

#[test]
fn envoys_config_dump_in_snake_case() {
    check(
        &format!(
            r#"{{"configs": [
                {{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {{
                    "node": {{"id": "n"}},
                    "static_resources": {{"clusters": [{{"name": "repeated below"}}]}}}}}},
                {{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "version_info": "1",
                  "static_clusters": [{{"cluster": {CLUSTER}, "last_updated": "2026-11-24T00:00:00Z"}}]}},
                {{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
                  "dynamic_listeners": [{{"name": "l", "active_state": {{"version_info": "1", "listener": {LISTENER}}}}}]}},
                {{"@type": "type.googleapis.com/envoy.admin.v3.ScopedRoutesConfigDump"}}]}}"#
        ),
        Shape::ConfigDump,
        &["Cluster c", "Listener l"],
    );
}

#[test]
fn istiods_config_dump_in_camel_case() {
    check(
        &format!(
            r#"{{"configs": [
                {{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"}},
                {{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "versionInfo": "1",
                  "dynamicActiveClusters": [{{"cluster": {CLUSTER}}}]}},
                {{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
                  "dynamicListeners": [{{"name": "l", "activeState": {{"listener": {LISTENER}}}}}]}},
                {{"@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump",
                  "ecdsFilters": [{{"ecdsFilter": {{"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "e"}}}}]}}]}}"#
        ),
        Shape::ConfigDump,
        &["Cluster c", "Listener l", "TypedExtensionConfig e"],
    );
}

#[test]
fn istiods_config_dump_of_chosen_types_is_flat() {
    check(
        &format!(r#"{{"configs": [{LISTENER}, {CLUSTER}]}}"#),
        Shape::ConfigDump,
        &["Listener l", "Cluster c"],
    );
}

#[test]
fn one_entry_of_a_config_dump() {
    check(
        &format!(
            r#"{{"configs": [{{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump.DynamicListener",
                "name": "l", "active_state": {{"listener": {LISTENER}}}}}]}}"#
        ),
        Shape::ConfigDump,
        &["Listener l"],
    );
}

#[test]
fn what_istioctl_prints_of_one_kind() {
    check(
        r#"[{"name": "a", "type": "EDS", "connectTimeout": "10s"}, {"name": "b", "connectTimeout": "10s"}, {"name": "bare"}]"#,
        Shape::ResourceList,
        &["Cluster a", "Cluster b", "Cluster bare"],
    );
    check(
        r#"[{"name": "a", "virtualHosts": [{"name": "v", "domains": ["*"]}]}]"#,
        Shape::ResourceList,
        &["RouteConfiguration a"],
    );
    check(
        r#"[{"clusterName": "a", "endpoints": []}]"#,
        Shape::ResourceList,
        &["ClusterLoadAssignment a"],
    );
    check("[]", Shape::ResourceList, &[]);
}

#[test]
fn sections_by_themselves() {
    check(
        r#"{"ecdsFilters": [{"versionInfo": "1", "ecdsFilter": {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "e"}}]}"#,
        Shape::Section,
        &["TypedExtensionConfig e"],
    );
    check(
        r#"{"dynamicActiveSecrets": [{"name": "s", "secret": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "name": "s"}}]}"#,
        Shape::Section,
        &["Secret s"],
    );
}

#[test]
fn a_bootstrap_gives_its_static_resources_and_the_node() {
    let bootstrap = r#""node": {"id": "sidecar~10.0.0.1~a.b~b.svc.cluster.local", "metadata": {"NAMESPACE": "b"}},
        "staticResources": {"clusters": [{"name": "xds-grpc"}],
            "listeners": [{"address": {"socketAddress": {"address": "0.0.0.0", "portValue": 15090}}}]},
        "admin": {}"#;
    for (document, shape) in [
        (format!(r#"{{"bootstrap": {{{bootstrap}}}}}"#), Shape::BootstrapDump),
        (format!("{{{bootstrap}}}"), Shape::Bootstrap),
    ] {
        check(&document, shape, &["Listener 0.0.0.0_15090", "Cluster xds-grpc"]);
        assert_eq!(
            read(&document).node.unwrap().id,
            "sidecar~10.0.0.1~a.b~b.svc.cluster.local"
        );
    }
}

#[test]
fn discovery_responses_of_both_protocols() {
    check(
        &format!(
            r#"{{"versionInfo": "1", "resources": [{CLUSTER}], "typeUrl": "type.googleapis.com/envoy.config.cluster.v3.Cluster"}}"#
        ),
        Shape::DiscoveryResponse,
        &["Cluster c"],
    );
    check(
        &format!(r#"{{"resources": [{{"name": "c", "version": "1", "resource": {CLUSTER}}}], "nonce": "n"}}"#),
        Shape::DiscoveryResponse,
        &["Cluster c"],
    );
}

#[test]
fn what_istios_ads_client_saves() {
    check(
        r#"[{"outbound|80||a": {"name": "outbound|80||a", "type": "EDS"}}, {"b": {"name": "b", "connectTimeout": "1s"}}]"#,
        Shape::NamedResources,
        &["Cluster outbound|80||a", "Cluster b"],
    );
}

#[test]
fn one_resource_with_or_without_its_type() {
    check(CLUSTER, Shape::Resource, &["Cluster c"]);
    check(
        r#"{"name": "r", "virtualHosts": []}"#,
        Shape::Resource,
        &["RouteConfiguration r"],
    );
    check(
        r#"{"name": "l", "@type": "type.googleapis.com/envoy.config.listener.v3.Listener"}"#,
        Shape::Resource,
        &["Listener l"],
    );
}

#[test]
fn yaml_is_the_same_document() {
    check(
        "resources:\n# a comment\n- \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: c\n  connect_timeout: 1s\n",
        Shape::DiscoveryResponse,
        &["Cluster c"],
    );
    check(
        "{resources: [{name: c, connect_timeout: 1s}]}",
        Shape::DiscoveryResponse,
        &["Cluster c"],
    );
    check(
        "---\nname: c\nconnectTimeout: 1s\n...\n",
        Shape::Resource,
        &["Cluster c"],
    );
}

#[test]
fn a_mark_of_byte_order_and_windows_line_ends_are_taken() {
    let document = format!("\u{feff}{{\r\n\"resources\": [\r\n{CLUSTER}]}}\r\n");
    check(&document, Shape::DiscoveryResponse, &["Cluster c"]);
    check(
        "\u{feff}name: c\r\nconnectTimeout: 1s\r\n",
        Shape::Resource,
        &["Cluster c"],
    );
}

/// What the message says that the document is.
fn found(document: &[u8]) -> String {
    match dump::read(document) {
        Err(Error::NotADump { found, .. }) => found,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(document)),
    }
}

#[test]
fn other_documents_are_named() {
    for (document, name) in [
        (
            r#"{"versionInfo": "1", "resources": [{"@type": "type.googleapis.com/envoy.service.status.v3.ClientConfig", "genericXdsConfigs": []}]}"#,
            "istioctl proxy-status",
        ),
        (
            r#"[{"cluster_id": "Kubernetes", "proxy": "a.b", "istio_version": "1.29"}]"#,
            "/debug/syncz",
        ),
        (
            r#"{"istiod-1": [{"cluster_id": "Kubernetes", "proxy": "a.b", "cluster_sent": "x"}]}"#,
            "/debug/syncz",
        ),
        (r#"{"workloads": {}, "services": {}, "policies": {}}"#, "ztunnel"),
        (
            r#"{"xds_servers": [{"server_uri": "unix:///etc/istio/XDS"}], "node": {"id": "x"}}"#,
            "gRPC xDS bootstrap",
        ),
        (
            r#"[{"name": "outbound|80||a", "addedViaApi": true, "hostStatuses": []}]"#,
            "istioctl proxy-config endpoint",
        ),
        (r#"{"cluster_statuses": [{"name": "a"}]}"#, "/clusters"),
        (r#"{"listener_statuses": []}"#, "/listeners"),
        (
            r#"{"routes": [{"uri": "/*", "upstream": {}}]}"#,
            "APISIX's configuration",
        ),
        ("routes:\n  - uri: /*\nupstreams: []\n#END\n", "APISIX's configuration"),
        ("deployment:\n  role: data_plane\n", "configuration file of APISIX"),
        (
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n",
            "Kubernetes or Istio object",
        ),
        (
            "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Pod\n",
            "Kubernetes or Istio object",
        ),
        (
            r#"{"kind": "List", "apiVersion": "v1", "items": []}"#,
            "Kubernetes or Istio object",
        ),
        ("<!DOCTYPE html>\n<html></html>", "HTML"),
        (
            r#"{"name": "v", "domains": ["*"], "routes": []}"#,
            "part of a route configuration",
        ),
        (r#"{"name": "a"}"#, r#"an object with "name""#),
        ("{}", "an empty object"),
        ("just words", "plain text"),
        // What `istioctl proxy-config cluster` prints without `-o json`, and a log.
        (
            "SERVICE FQDN          PORT   SUBSET\ndetails.default: x    9080   -\n\tx: y: z\n",
            "plain text",
        ),
        (
            "2026-11-24T10:00:00Z info xds: started\n2026-11-24T10:00:01Z info ads: \"x\": y\n",
            "plain text",
        ),
        ("42", "plain text"),
    ] {
        let found = found(document.as_bytes());
        assert!(found.contains(name), "{document}: {found}");
    }
}

#[test]
fn bytes_that_are_no_text_are_named() {
    assert!(found(b"\x1f\x8b\x08\0\0").contains("gzip"));
    assert!(found(b"PK\x03\x04").contains("zip"));
    assert!(found(b"\xff\xfe{\0}\0").contains("UTF-16"));
    assert!(found(b"\n\x05hello\x12\x03abc").contains("protobuf"));
    assert!(found(b"\n\x05hello\x12\xff\xfe\x01").contains("protobuf"));
    assert_eq!(
        dump::read(b"{\"name\": \"\xff\"}").unwrap_err(),
        Error::NotUtf8 { offset: 10 }
    );
}

#[test]
fn nothing_is_said_to_be_nothing() {
    for document in ["", " \n\t", "\u{feff}", "# only a comment\n"] {
        assert_eq!(
            dump::read(document.as_bytes()).unwrap_err(),
            Error::Empty,
            "{document:?}"
        );
    }
}

#[test]
fn a_syntax_error_has_its_place() {
    let error = dump::read(b"{\n \"configs\": [\n  {,\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed JSON at line 3, column 4: key must be a string"
    );
    let error = dump::read(b"resources:\n- name: [\n").unwrap_err();
    assert!(
        matches!(error, Error::Syntax { format: "YAML", line, .. } if line > 0),
        "{error}"
    );
    for settings in [
        "# a comment\n\n- a: b: c\n",
        "\"a\": b: c\n",
        "{a: b: c\n",
        "a:\n\tb: c\n",
    ] {
        let error = dump::read(settings.as_bytes()).unwrap_err();
        assert!(
            matches!(error, Error::Syntax { format: "YAML", .. }),
            "{settings}: {error}"
        );
    }
}

#[test]
fn a_stream_of_yaml_documents_is_refused() {
    let error = dump::read(b"name: a\nconnectTimeout: 1s\n---\nname: b\n").unwrap_err();
    assert_eq!(error, Error::SeveralDocuments);
}

#[test]
fn a_part_of_the_wrong_type_is_named() {
    let error = dump::read(br#"{"configs": {"a": 1}}"#).unwrap_err();
    assert_eq!(error.to_string(), "configs: expected a list");
}
