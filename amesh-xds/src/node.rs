//! Who asks: the node that a control plane decides by what to send.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::{Locality, Node};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value};
use serde_json::Value as Json;

/// Why there is no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// An environment variable is not set that the injector always sets.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// The text is neither JSON nor YAML.
    #[error("the bootstrap file is neither JSON nor YAML: {0}")]
    Text(String),
    /// The bootstrap file has no node, or one without an id.
    #[error("the bootstrap file has no node with an id")]
    NoNode,
    /// The id is not of the form that istiod reads.
    #[error("{0}")]
    Id(&'static str),
}

/// A node by hand. `kind` is Istio's: `sidecar` or `router`.
#[must_use]
pub fn from_parts(kind: &str, ip: &str, name: &str, namespace: &str, domain: &str) -> Node {
    Node {
        id: format!("{kind}~{ip}~{name}.{namespace}~{domain}"),
        metadata: Some(Struct {
            fields: HashMap::from([
                ("NAMESPACE".to_owned(), text(namespace)),
                ("INSTANCE_IPS".to_owned(), text(ip)),
            ]),
        }),
        ..Node::default()
    }
}

/// A node from its id, `KIND~IP~POD.NAMESPACE~DOMAIN`, as for [`from_parts`].
///
/// # Errors
///
/// [`NodeError::Id`] when istiod would not understand the id; it ends the stream then.
pub fn from_id(id: &str) -> Result<Node, NodeError> {
    let parts: Vec<&str> = id.split('~').collect();
    let [kind, ip, pod, domain] = parts[..] else {
        return Err(NodeError::Id("it does not have four parts with ~ between them"));
    };
    if !["sidecar", "router", "waypoint"].contains(&kind) {
        return Err(NodeError::Id("its first part is neither sidecar, router nor waypoint"));
    }
    if ip.parse::<IpAddr>().is_err() {
        return Err(NodeError::Id("its second part is no IP address"));
    }
    match pod.rsplit_once('.') {
        Some((name, namespace)) if !name.is_empty() && !namespace.is_empty() => {
            Ok(from_parts(kind, ip, name, namespace, domain))
        }
        _ => Err(NodeError::Id("its third part is no POD.NAMESPACE")),
    }
}

/// Adds labels of the node's pod, by which istiod selects what is meant for some workloads only.
pub fn add_labels<'l>(node: &mut Node, labels: impl IntoIterator<Item = (&'l str, &'l str)>) {
    let mut labels = labels.into_iter().peekable();
    if labels.peek().is_none() {
        return;
    }
    let fields = &mut node.metadata.get_or_insert_default().fields;
    let entry = fields.entry("LABELS".to_owned()).or_default();
    if !matches!(entry.kind, Some(Kind::StructValue(_))) {
        entry.kind = Some(Kind::StructValue(Struct::default()));
    }
    if let Some(Kind::StructValue(held)) = &mut entry.kind {
        held.fields
            .extend(labels.map(|(key, value)| (key.to_owned(), text(value))));
    }
}

/// Adds metadata. The value is JSON or, where it is none, a text. `GENERATOR` is left out, as from a bootstrap file.
pub fn add_metadata(node: &mut Node, key: &str, value: &str) {
    let fields = &mut node.metadata.get_or_insert_default().fields;
    fields.insert(key.to_owned(), json_or_text(true, value));
    whole(node);
}

/// The node of a pod that Istio's injector prepared, from its environment variables.
///
/// Needed are `POD_NAME`, `POD_NAMESPACE` and `INSTANCE_IP`. `ISTIO_META_*` become metadata, `ISTIO_METAJSON_*` metadata of
/// a structure, as for Istio's own agent. `kind` is `sidecar` or `router`; the domain is the cluster's, where none is known
/// `cluster.local`.
///
/// # Errors
///
/// [`NodeError::Missing`] names the first variable that is needed and not there.
pub fn from_environment(kind: &str, domain: &str, variables: &BTreeMap<String, String>) -> Result<Node, NodeError> {
    let get = |name: &'static str| {
        let value = variables.get(name).filter(|value| !value.is_empty());
        value.map(String::as_str).ok_or(NodeError::Missing(name))
    };
    let namespace = get("POD_NAMESPACE")?;
    let (pod, ip) = (get("POD_NAME")?, get("INSTANCE_IP")?);
    let mut node = from_parts(kind, ip, pod, namespace, &format!("{namespace}.svc.{domain}"));
    let fields = &mut node.metadata.get_or_insert_default().fields;
    fields.insert("NAME".to_owned(), text(pod));
    for (variable, key) in [
        ("SERVICE_ACCOUNT", "SERVICE_ACCOUNT"),
        ("PROXY_CONFIG", "PROXY_CONFIG"),
        ("TRUST_DOMAIN", "TRUST_DOMAIN"),
    ] {
        if let Ok(value) = get(variable) {
            fields.insert(key.to_owned(), json_or_text(key == "PROXY_CONFIG", value));
        }
    }
    let mut labels = None;
    for (variable, value) in variables {
        if let Some(key) = variable.strip_prefix("ISTIO_META_") {
            fields.insert(key.to_owned(), text(value));
        } else if let Some(key) = variable.strip_prefix("ISTIO_METAJSON_") {
            match (key, json_or_text(true, value)) {
                // What is in it goes by the name that istiod reads.
                ("LABELS", parsed) => labels = Some(parsed),
                // Others are spread over the metadata, as Istio's agent does.
                (
                    _,
                    Value {
                        kind: Some(Kind::StructValue(parsed)),
                    },
                ) => fields.extend(parsed.fields),
                (_, parsed) => drop(fields.insert(key.to_owned(), parsed)),
            }
        }
    }
    if let Some(labels) = labels {
        fields.insert("LABELS".to_owned(), labels);
    }
    whole(&mut node);
    Ok(node)
}

/// The node in the text of a bootstrap file of Envoy or of gRPC, JSON or YAML.
///
/// The metadata `GENERATOR` is left out: with it istiod sends what a gRPC client wants, and not what Envoy is told.
///
/// # Errors
///
/// [`NodeError::Text`] and [`NodeError::NoNode`] when there is none in it.
pub fn from_bootstrap(file: &str) -> Result<Node, NodeError> {
    let document: Json = match serde_json::from_str(file) {
        Ok(document) => document,
        // Not JSON, so YAML, whose words about what is wrong are kept.
        Err(_) => serde_saphyr::from_str(file).map_err(|error| NodeError::Text(first_line(&error.to_string())))?,
    };
    // `istioctl proxy-config bootstrap` puts it one level deeper.
    let node = document
        .get("node")
        .or_else(|| document.get("bootstrap").and_then(|bootstrap| bootstrap.get("node")))
        .ok_or(NodeError::NoNode)?;
    let string = |from: &Json, names: &[&str]| {
        let value = names.iter().find_map(|name| from.get(*name));
        value.and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    let mut read = Node {
        id: string(node, &["id"]),
        cluster: string(node, &["cluster"]),
        locality: node.get("locality").map(|locality| Locality {
            region: string(locality, &["region"]),
            zone: string(locality, &["zone"]),
            sub_zone: string(locality, &["sub_zone", "subZone"]),
        }),
        ..Node::default()
    };
    if let Some(Json::Object(metadata)) = node.get("metadata") {
        let fields = metadata.iter().map(|(key, value)| (key.clone(), value_of(value)));
        read.metadata = Some(Struct {
            fields: fields.collect(),
        });
    }
    if read.id.is_empty() {
        return Err(NodeError::NoNode);
    }
    whole(&mut read);
    Ok(read)
}

/// An error without the picture of the text below it.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// What every node has, and what none may have.
fn whole(node: &mut Node) {
    if let Some(metadata) = &mut node.metadata {
        metadata.fields.remove("GENERATOR");
    }
}

fn json_or_text(is_json: bool, value: &str) -> Value {
    let parsed = if is_json {
        serde_json::from_str(value).ok()
    } else {
        None
    };
    parsed.as_ref().map_or_else(|| text(value), value_of)
}

fn text(value: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(value.to_owned())),
    }
}

fn value_of(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        // Protobuf's numbers are doubles.
        Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Json::String(value) => Kind::StringValue(value.clone()),
        Json::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(value_of).collect(),
        }),
        Json::Object(fields) => Kind::StructValue(Struct {
            fields: fields
                .iter()
                .map(|(key, value)| (key.clone(), value_of(value)))
                .collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn meta<'a>(node: &'a Node, key: &str) -> Option<&'a Kind> {
        node.metadata.as_ref()?.fields.get(key)?.kind.as_ref()
    }

    fn string(node: &Node, key: &str) -> Option<String> {
        match meta(node, key)? {
            Kind::StringValue(value) => Some(value.clone()),
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn pr_02_the_id_has_four_parts() {
        let node = from_parts("sidecar", "10.0.0.1", "app-1", "default", "default.svc.cluster.local");
        assert_eq!(node.id, "sidecar~10.0.0.1~app-1.default~default.svc.cluster.local");
        assert_eq!(string(&node, "NAMESPACE").as_deref(), Some("default"));
    }

    #[test]
    fn an_id_that_istiod_would_not_understand_is_refused() {
        let node = from_id("router~::1~gw-1.a.ns~ns.svc.cluster.local").unwrap();
        assert_eq!(string(&node, "NAMESPACE").as_deref(), Some("ns"));
        assert_eq!(string(&node, "INSTANCE_IPS").as_deref(), Some("::1"));
        assert_eq!(node.id, "router~::1~gw-1.a.ns~ns.svc.cluster.local");
        for (id, expected) in [
            ("gw", "it does not have four parts with ~ between them"),
            (
                "gateway~1.2.3.4~a.b~c",
                "its first part is neither sidecar, router nor waypoint",
            ),
            ("router~localhost~a.b~c", "its second part is no IP address"),
            ("router~1.2.3.4~a~c", "its third part is no POD.NAMESPACE"),
            ("router~1.2.3.4~a.~c", "its third part is no POD.NAMESPACE"),
        ] {
            assert_eq!(from_id(id).unwrap_err().to_string(), expected, "{id}");
        }
    }

    #[test]
    fn labels_and_metadata_are_added_to_what_is_there() {
        let mut node = from_id("sidecar~1.2.3.4~a.b~c").unwrap();
        add_labels(&mut node, [("app", "a")]);
        add_labels(&mut node, [("version", "v1")]);
        add_metadata(&mut node, "CLUSTER_ID", "Kubernetes");
        add_metadata(&mut node, "PROXY_CONFIG", r#"{"concurrency": 2}"#);
        add_metadata(&mut node, "GENERATOR", "grpc");
        assert!(matches!(meta(&node, "LABELS"), Some(Kind::StructValue(labels)) if labels.fields.len() == 2));
        assert_eq!(string(&node, "CLUSTER_ID").as_deref(), Some("Kubernetes"));
        assert!(matches!(meta(&node, "PROXY_CONFIG"), Some(Kind::StructValue(_))));
        assert_eq!(meta(&node, "GENERATOR"), None);
    }

    #[test]
    fn pr_20_a_pod_says_its_namespace_labels_and_cluster() {
        let node = from_environment(
            "sidecar",
            "cluster.local",
            &variables(&[
                ("POD_NAME", "app-7c9"),
                ("POD_NAMESPACE", "shop"),
                ("INSTANCE_IP", "10.0.0.1"),
                ("SERVICE_ACCOUNT", "app"),
                ("PROXY_CONFIG", r#"{"concurrency":2}"#),
                ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
                ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT"),
                ("ISTIO_METAJSON_LABELS", r#"{"app":"app","version":"v1"}"#),
                ("ISTIO_METAJSON_ANNOTATIONS", r#"{"a":"b"}"#),
                ("PATH", "/bin"),
            ]),
        )
        .unwrap();
        assert_eq!(node.id, "sidecar~10.0.0.1~app-7c9.shop~shop.svc.cluster.local");
        for (key, value) in [
            ("NAMESPACE", "shop"),
            ("SERVICE_ACCOUNT", "app"),
            ("CLUSTER_ID", "Kubernetes"),
            ("INTERCEPTION_MODE", "REDIRECT"),
            ("a", "b"),
        ] {
            assert_eq!(string(&node, key).as_deref(), Some(value), "{key}");
        }
        assert!(matches!(meta(&node, "LABELS"), Some(Kind::StructValue(labels)) if labels.fields.len() == 2));
        assert!(matches!(meta(&node, "PROXY_CONFIG"), Some(Kind::StructValue(_))));
        assert_eq!(meta(&node, "PATH"), None);
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let error = from_environment(
            "sidecar",
            "cluster.local",
            &variables(&[("POD_NAMESPACE", "a"), ("POD_NAME", "b")]),
        );
        assert_eq!(error, Err(NodeError::Missing("INSTANCE_IP")));
    }

    #[test]
    fn pr_19_the_generator_for_grpc_is_left_out() {
        let grpc = r#"{
            "xds_servers": [{"server_uri": "unix:///etc/istio/proxy/XDS"}],
            "node": {"id": "sidecar~10.0.0.1~a.b~b.svc.cluster.local", "cluster": "a.b",
                     "metadata": {"GENERATOR": "grpc", "NAMESPACE": "b", "N": 1, "L": [true, null]},
                     "locality": {"region": "r", "zone": "z", "sub_zone": "s"}}
        }"#;
        let node = from_bootstrap(grpc).unwrap();
        assert_eq!(
            (node.id.as_str(), node.cluster.as_str()),
            ("sidecar~10.0.0.1~a.b~b.svc.cluster.local", "a.b")
        );
        assert_eq!(
            node.locality.as_ref().map(|locality| locality.sub_zone.as_str()),
            Some("s")
        );
        assert_eq!(meta(&node, "GENERATOR"), None);
        assert_eq!(string(&node, "NAMESPACE").as_deref(), Some("b"));
        assert_eq!(meta(&node, "N"), Some(&Kind::NumberValue(1.0)));

        let variables = variables(&[
            ("POD_NAME", "a"),
            ("POD_NAMESPACE", "b"),
            ("INSTANCE_IP", "10.0.0.1"),
            ("ISTIO_META_GENERATOR", "grpc"),
        ]);
        assert_eq!(
            meta(
                &from_environment("sidecar", "cluster.local", &variables).unwrap(),
                "GENERATOR"
            ),
            None
        );
    }

    #[test]
    fn an_envoy_bootstrap_is_read_as_yaml_and_as_istioctl_prints_it() {
        let yaml =
            "node:\n  id: router~1.2.3.4~gw.ns~ns.svc.cluster.local\n  metadata:\n    NAMESPACE: ns\nadmin: {}\n";
        let node = from_bootstrap(yaml).unwrap();
        assert_eq!(string(&node, "NAMESPACE").as_deref(), Some("ns"));
        let dump = format!(
            "{{\"bootstrap\": {{\"node\": {{\"id\": \"{}\", \"locality\": {{\"subZone\": \"x\"}}}}}}}}",
            node.id
        );
        let again = from_bootstrap(&dump).unwrap();
        assert_eq!((again.id, again.locality.unwrap().sub_zone), (node.id, "x".to_owned()));
    }

    #[test]
    fn a_file_without_a_node_is_said() {
        assert_eq!(from_bootstrap("{}"), Err(NodeError::NoNode));
        assert_eq!(from_bootstrap(r#"{"node": {"cluster": "x"}}"#), Err(NodeError::NoNode));
        assert!(matches!(from_bootstrap("{"), Err(NodeError::Text(_))));
    }
}
