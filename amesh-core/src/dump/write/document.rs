//! The sections of a dump, in Envoy's order.

use envoy_types::pb::envoy::config::core::v3::Node;
use prost::Message as _;
use prost_reflect::DynamicMessage;

use super::json::Printed;
use super::{Captured, LeftOut, WriteOptions, Written, resource};
use crate::decode::ResourceType;
use crate::descriptor;

/// A section with the resources of one type.
struct Section {
    message: &'static str,
    list: &'static str,
    /// The field of an entry that holds the resource.
    member: &'static str,
    kind: ResourceType,
    entry: Entry,
}

/// What an entry has beside the version and the resource.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Nothing.
    Plain,
    /// The name.
    Named,
    /// The name, and the rest inside an active state.
    Stated,
}

const fn section(
    message: &'static str,
    list: &'static str,
    member: &'static str,
    kind: ResourceType,
    entry: Entry,
) -> Section {
    Section {
        message,
        list,
        member,
        kind,
        entry,
    }
}

/// Every section after the bootstrap. `istioctl` wants each to be there, also when there is nothing in it.
static SECTIONS: &[Option<Section>] = {
    use Entry::{Named, Plain, Stated};
    use ResourceType::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration, Secret, TypedExtensionConfig};
    &[
        Some(section(
            "ClustersConfigDump",
            "dynamic_active_clusters",
            "cluster",
            Cluster,
            Plain,
        )),
        Some(section(
            "EcdsConfigDump",
            "ecds_filters",
            "ecds_filter",
            TypedExtensionConfig,
            Plain,
        )),
        Some(section(
            "EndpointsConfigDump",
            "dynamic_endpoint_configs",
            "endpoint_config",
            ClusterLoadAssignment,
            Plain,
        )),
        Some(section(
            "ListenersConfigDump",
            "dynamic_listeners",
            "listener",
            Listener,
            Stated,
        )),
        // Envoy has that of scoped routes here; a mesh does not fill it.
        None,
        Some(section(
            "RoutesConfigDump",
            "dynamic_route_configs",
            "route_config",
            RouteConfiguration,
            Plain,
        )),
        Some(section(
            "SecretsConfigDump",
            "dynamic_active_secrets",
            "secret",
            Secret,
            Named,
        )),
    ]
};

pub(super) fn write(node: Option<&Node>, resources: &[Captured], options: &WriteOptions) -> Written {
    let mut left_out = Vec::new();
    let mut configs = Vec::with_capacity(SECTIONS.len() + 1);
    let bootstrap = node.and_then(node_text).map(|node| object(&[("node", node)]));
    let mut members = vec![("@type", admin("BootstrapConfigDump"))];
    members.extend(bootstrap.map(|bootstrap| ("bootstrap", bootstrap)));
    configs.push(object(&members));
    for section in SECTIONS {
        let Some(section) = section else {
            configs.push(object(&[("@type", admin("ScopedRoutesConfigDump"))]));
            continue;
        };
        let entries = entries(section, resources, options, &mut left_out);
        // Envoy has no section for extensions where there are none.
        if entries.is_empty() && section.kind == ResourceType::TypedExtensionConfig {
            continue;
        }
        let mut members = vec![("@type", admin(section.message))];
        if !entries.is_empty() {
            members.push((section.list, list(&entries)));
        }
        configs.push(object(&members));
    }
    for captured in resources {
        if ResourceType::from_type_url(&captured.resource.type_url).is_none() {
            match resource::bytes(captured, options) {
                Ok(bytes) => configs.push(resource::text(&captured.resource.type_url, &bytes)),
                Err(missing) => left_out.push(missing),
            }
        }
    }
    let mut json = object(&[("configs", list(&configs))]);
    json.push('\n');
    Written {
        json: json.into_bytes(),
        left_out,
    }
}

fn entries(
    section: &Section,
    resources: &[Captured],
    options: &WriteOptions,
    left_out: &mut Vec<LeftOut>,
) -> Vec<String> {
    let mut sorted: Vec<(String, &Captured)> = resources
        .iter()
        .filter(|captured| ResourceType::from_type_url(&captured.resource.type_url) == Some(section.kind))
        .map(|captured| (resource::name(&captured.resource.value), captured))
        .collect();
    // What has the same name keeps its order.
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut entries = Vec::with_capacity(sorted.len());
    for (name, captured) in sorted {
        match resource::bytes(captured, options) {
            Ok(bytes) => {
                let text = resource::text(&captured.resource.type_url, &bytes);
                entries.push(entry(section, &name, &captured.version, text));
            }
            Err(missing) => left_out.push(missing),
        }
    }
    entries
}

fn entry(section: &Section, name: &str, version: &str, resource: String) -> String {
    let mut members = Vec::with_capacity(3);
    if section.entry != Entry::Plain && !name.is_empty() {
        members.push(("name", string(name)));
    }
    let mut state = Vec::with_capacity(2);
    if !version.is_empty() {
        state.push(("version_info", string(version)));
    }
    state.push((section.member, resource));
    if section.entry == Entry::Stated {
        members.push(("active_state", object(&state)));
    } else {
        members.extend(state);
    }
    object(&members)
}

fn node_text(node: &Node) -> Option<String> {
    let message = descriptor::message("envoy.config.core.v3.Node")?;
    let message = DynamicMessage::decode(message, node.encode_to_vec().as_slice()).ok()?;
    resource::print(&Printed::new(&message))
}

fn admin(message: &str) -> String {
    string(&format!("type.googleapis.com/envoy.admin.v3.{message}"))
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object of members that are JSON text, each level indented by a space.
fn object(members: &[(&str, String)]) -> String {
    let mut text = String::from("{");
    for (index, (key, value)) in members.iter().enumerate() {
        text.push_str(if index == 0 { "\n \"" } else { ",\n \"" });
        text.push_str(key);
        text.push_str("\": ");
        indent(&mut text, value);
    }
    text.push_str("\n}");
    text
}

fn list(items: &[String]) -> String {
    let mut text = String::from("[");
    for (index, item) in items.iter().enumerate() {
        text.push_str(if index == 0 { "\n " } else { ",\n " });
        indent(&mut text, item);
    }
    text.push_str("\n]");
    text
}

/// JSON has line breaks only between its parts, never inside a string.
fn indent(text: &mut String, json: &str) {
    for (index, line) in json.split('\n').enumerate() {
        if index > 0 {
            text.push_str("\n ");
        }
        text.push_str(line);
    }
}
