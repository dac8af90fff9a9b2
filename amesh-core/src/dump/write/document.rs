//! The sections of a dump, in Envoy's order.

use envoy_types::pb::envoy::config::core::v3::Node;
use prost::{Message as _, Name as _};
use prost_reflect::DynamicMessage;

use super::super::Shape;
use super::super::reader::Reader;
use super::json::Printed;
use super::{Captured, LeftOut, WriteOptions, Written, resource};
use crate::decode::ResourceType;
use crate::descriptor;
use crate::field_path::Path;

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
    let mut out = Out::default();
    out.open(Some("configs"), '[');
    out.section("BootstrapConfigDump");
    if let Some(node) = node {
        out.open(Some("bootstrap"), '{');
        out.value(Some("node"), &node_text(node, &mut left_out));
        out.close('}');
    }
    out.close('}');
    for section in SECTIONS {
        if let Some(section) = section {
            section.write(resources, options, &mut out, &mut left_out);
        } else {
            out.section("ScopedRoutesConfigDump");
            out.close('}');
        }
    }
    for captured in of_type(resources, None) {
        match resource::bytes(captured, options) {
            Ok(bytes) => out.value(None, &resource::text(&captured.resource.type_url, &bytes)),
            Err(missing) => left_out.push(missing),
        }
    }
    out.close(']');
    Written {
        json: out.finish(),
        left_out,
    }
}

fn of_type(resources: &[Captured], kind: Option<ResourceType>) -> impl Iterator<Item = &Captured> {
    resources
        .iter()
        .filter(move |captured| ResourceType::from_type_url(&captured.resource.type_url) == kind)
}

impl Section {
    fn write(&self, resources: &[Captured], options: &WriteOptions, out: &mut Out, left_out: &mut Vec<LeftOut>) {
        let mut sorted: Vec<(String, &Captured)> = of_type(resources, Some(self.kind))
            .map(|captured| (resource::name(&captured.resource.value), captured))
            .collect();
        // What has the same name keeps its order.
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        // Envoy has no section for extensions where there are none.
        if sorted.is_empty() && self.kind == ResourceType::TypedExtensionConfig {
            return;
        }
        out.section(self.message);
        if !sorted.is_empty() {
            out.open(Some(self.list), '[');
            for (name, captured) in sorted {
                match resource::bytes(captured, options) {
                    Ok(bytes) => {
                        let text = resource::text(&captured.resource.type_url, &bytes);
                        self.entry(&name, &captured.version, &text, out);
                    }
                    Err(missing) => left_out.push(missing),
                }
            }
            out.close(']');
        }
        out.close('}');
    }

    fn entry(&self, name: &str, version: &str, resource: &str, out: &mut Out) {
        out.open(None, '{');
        if self.entry != Entry::Plain && !name.is_empty() {
            out.string("name", name);
        }
        if self.entry == Entry::Stated {
            out.open(Some("active_state"), '{');
        }
        if !version.is_empty() {
            out.string("version_info", version);
        }
        out.value(Some(self.member), resource);
        if self.entry == Entry::Stated {
            out.close('}');
        }
        out.close('}');
    }
}

/// The node; without its metadata if JSON does not say all of that.
fn node_text(node: &Node, left_out: &mut Vec<LeftOut>) -> String {
    if let Some(text) = print_node(node).filter(|text| read_node(text).as_ref() == Some(node)) {
        return text;
    }
    left_out.push(LeftOut {
        type_url: Node::type_url(),
        name: Some(node.id.clone()),
        reason: "JSON does not say all of it; its metadata is not written",
    });
    let bare = Node {
        metadata: None,
        ..node.clone()
    };
    print_node(&bare).unwrap_or_else(|| "{}".to_owned())
}

fn print_node(node: &Node) -> Option<String> {
    let message = descriptor::message(&Node::full_name())?;
    let message = DynamicMessage::decode(message, node.encode_to_vec().as_slice()).ok()?;
    resource::print(&Printed::new(&message))
}

fn read_node(text: &str) -> Option<Node> {
    let mut reader = Reader::default();
    reader.node(serde_json::from_str(text).ok()?, Path::root());
    reader.finish(Shape::Bootstrap).node
}

/// A document that grows, each level indented by a space, as Envoy prints it.
struct Out {
    text: String,
    level: usize,
    /// The innermost object or list has nothing in it yet.
    is_empty: bool,
}

impl Default for Out {
    fn default() -> Self {
        Self {
            text: "{".to_owned(),
            level: 1,
            is_empty: true,
        }
    }
}

impl Out {
    fn finish(mut self) -> Vec<u8> {
        self.close('}');
        self.text.push('\n');
        self.text.into_bytes()
    }

    fn line(&mut self) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', self.level));
    }

    fn item(&mut self, key: Option<&str>) {
        if !self.is_empty {
            self.text.push(',');
        }
        self.is_empty = false;
        self.line();
        if let Some(key) = key {
            self.text.push('"');
            self.text.push_str(key);
            self.text.push_str("\": ");
        }
    }

    fn open(&mut self, key: Option<&str>, bracket: char) {
        self.item(key);
        self.text.push(bracket);
        self.level += 1;
        self.is_empty = true;
    }

    fn close(&mut self, bracket: char) {
        self.level = self.level.saturating_sub(1);
        if !self.is_empty {
            self.line();
        }
        self.is_empty = false;
        self.text.push(bracket);
    }

    fn section(&mut self, message: &str) {
        self.open(None, '{');
        self.string("@type", &format!("type.googleapis.com/envoy.admin.v3.{message}"));
    }

    fn string(&mut self, key: &str, text: &str) {
        self.value(Some(key), &serde_json::Value::from(text).to_string());
    }

    /// JSON text. It has line breaks only between its parts, never inside a string.
    fn value(&mut self, key: Option<&str>, json: &str) {
        self.item(key);
        for (index, line) in json.split('\n').enumerate() {
            if index > 0 {
                self.line();
            }
            self.text.push_str(line);
        }
    }
}
