//! The whole document: which of the shapes it has, and where the resources are in it.

use serde_json::value::RawValue;

use super::envelope::enveloped;
use super::outline::{Kind, Members, items, kind};
use super::reader::{Reader, members};
use super::{Error, GIVE, Shape, foreign, guess, raw, response, section};
use crate::decode::ResourceType;
use crate::field_path::Path;

const ADMIN: &str = "envoy.admin.v3.";

/// Reads a document of JSON text.
pub(super) fn read(text: &str, reader: &mut Reader) -> Result<Shape, Error> {
    if text.trim_start().starts_with('[') {
        return match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => list(&items, reader),
            Err(error) => several(text, &error, reader),
        };
    }
    match serde_json::from_str::<Members<'_>>(text) {
        Ok(root) => object(text, &root, reader),
        Err(error) => several(text, &error, reader),
    }
}

/// What is no single document: several, one after another, if the first is whole.
fn several(text: &str, error: &serde_json::Error, reader: &mut Reader) -> Result<Shape, Error> {
    let mut documents: Vec<&RawValue> = Vec::new();
    let mut are_responses = false;
    for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match document {
            Ok(document) if documents.is_empty() => {
                are_responses = is_response(document);
                documents.push(document);
            }
            Ok(document) if are_responses => documents.push(document),
            Ok(_) => return Err(Error::SeveralDocuments),
            Err(later) if are_responses => return Err(Error::json_syntax(&later)),
            Err(_) => return Err(Error::json_syntax(error)),
        }
    }
    if documents.len() < 2 {
        return Err(Error::json_syntax(error));
    }
    response::fold(&documents, reader)
}

fn object(text: &str, root: &Members<'_>, reader: &mut Reader) -> Result<Shape, Error> {
    let at = Path::root();
    if let Some((key, configs)) = list_member(root, "configs")? {
        if let Some(error) = configs.first().and_then(|first| first_object(first)) {
            return Err(error);
        }
        config_dump(&configs, at.field(key), reader);
        return Ok(Shape::ConfigDump);
    }
    if let Some((_, resources)) = list_member(root, "resources")? {
        if let Some(error) = resources.first().and_then(|first| first_object(first)) {
            return Err(error);
        }
        response::read(root, at, reader);
        return Ok(Shape::DiscoveryResponse);
    }
    // One that says that there is nothing.
    if response::is_response(root) {
        return Ok(Shape::DiscoveryResponse);
    }
    if let Some(type_url) = root.string("@type") {
        return typed(text, root, &type_url, reader);
    }
    if root.has("bootstrap") {
        bootstrap_dump(root, true, at, reader);
        return Ok(Shape::BootstrapDump);
    }
    if section::is_section(root) {
        section::read(reader, root, root.has("dynamic_listeners"), at);
        return Ok(Shape::Section);
    }
    if let Some(error) = foreign::members(root) {
        return Err(error);
    }
    if ["static_resources", "dynamic_resources", "node"]
        .iter()
        .any(|key| root.has(key))
    {
        bootstrap(root, true, at, reader);
        return Ok(Shape::Bootstrap);
    }
    // `istioctl x internal-debug --all` prints a map from istiod to what it said.
    let nested = root
        .iter()
        .next()
        .and_then(|(_, value)| items(value).into_iter().next());
    if let Some(error) = nested.and_then(first_object) {
        return Err(error);
    }
    let Some(kind) = guess::kind(root) else {
        return Err(unrecognised(root));
    };
    whole(text, kind, reader)?;
    Ok(Shape::Resource)
}

/// A document that is one message with an `@type`.
fn typed(text: &str, root: &Members<'_>, type_url: &str, reader: &mut Reader) -> Result<Shape, Error> {
    let at = Path::root();
    let message = type_url.rsplit('/').next().unwrap_or(type_url);
    if let Some(kind) = ResourceType::from_type_url(type_url) {
        whole(text, kind, reader)?;
        return Ok(Shape::Resource);
    }
    match message.strip_prefix(ADMIN) {
        Some("BootstrapConfigDump") => {
            bootstrap_dump(root, true, at, reader);
            Ok(Shape::BootstrapDump)
        }
        Some(_) if section::is_section(root) => {
            section::read(reader, root, root.has("dynamic_listeners"), at);
            Ok(Shape::Section)
        }
        _ => Err(foreign::members(root).unwrap_or_else(|| Error::NotADump {
            found: format!("a message of type {message:?}"),
            instead: GIVE,
        })),
    }
}

/// The document itself is the resource.
fn whole(text: &str, kind: ResourceType, reader: &mut Reader) -> Result<(), Error> {
    let json = serde_json::from_str(text).map_err(|error| Error::json_syntax(&error))?;
    reader.resource(json, Some(kind), Path::root());
    Ok(())
}

fn list(list: &[&RawValue], reader: &mut Reader) -> Result<Shape, Error> {
    if let Some(error) = list.first().and_then(|first| first_object(first)) {
        return Err(error);
    }
    if list.first().is_some_and(|first| is_response(first)) {
        return response::fold(list, reader);
    }
    let root = Path::root();
    let mut outlines = Vec::with_capacity(list.len());
    for (index, json) in list.iter().enumerate() {
        match members(json, root.index(index)) {
            Ok(outline) => outlines.push((index, *json, outline)),
            Err(reason) => reader.reject(json, None, reason),
        }
    }
    if !outlines.is_empty() && outlines.iter().all(|(.., outline)| is_named(outline)) {
        for (index, _, outline) in &outlines {
            let at = root.index(*index);
            for (name, json) in outline.iter() {
                let kind = Members::of(json).ok().and_then(|members| guess::kind(&members));
                reader.resource(json, kind, at.key(name));
            }
        }
        return Ok(Shape::NamedResources);
    }
    let kinds: Vec<Option<ResourceType>> = outlines.iter().map(|(.., outline)| guess::kind(outline)).collect();
    // One that has too few fields to tell is of the type of its neighbours.
    let mut known = kinds.iter().flatten();
    let common = known.next().filter(|first| known.all(|kind| kind == *first)).copied();
    if common.is_none()
        && kinds.iter().all(Option::is_none)
        && let Some((.., outline)) = outlines.iter().find(|(.., outline)| !outline.has("@type"))
    {
        return Err(unrecognised(outline));
    }
    for ((index, json, _), kind) in outlines.iter().zip(&kinds) {
        enveloped(json, kind.or(common), root.index(*index), reader);
    }
    Ok(Shape::ResourceList)
}

/// Whether this is `{"name of a resource": {...}}`.
fn is_named(outline: &Members<'_>) -> bool {
    outline.len() == 1
        && outline
            .iter()
            .all(|(key, value)| kind(value) == Kind::Object && key != "@type" && !guess::is_field(key))
}

fn config_dump(configs: &[&RawValue], at: Path<'_>, reader: &mut Reader) {
    let mut outlines = Vec::with_capacity(configs.len());
    for (index, json) in configs.iter().enumerate() {
        match members(json, at.index(index)) {
            Ok(outline) => outlines.push((index, *json, outline)),
            Err(reason) => reader.reject(json, None, reason),
        }
    }
    let listeners = outlines
        .iter()
        .any(|(.., outline)| outline.has("dynamic_listeners") || outline.has("static_listeners"));
    let clusters = outlines
        .iter()
        .any(|(.., outline)| outline.has("dynamic_active_clusters") || outline.has("static_clusters"));
    for (index, json, outline) in &outlines {
        let at = at.index(*index);
        let type_url = outline.string("@type").unwrap_or_default();
        let message = type_url.rsplit('/').next().unwrap_or(&type_url);
        match message.strip_prefix(ADMIN) {
            // Other sections repeat what the bootstrap has of static resources.
            Some("BootstrapConfigDump") => bootstrap_dump(outline, !listeners && !clusters, at, reader),
            _ if raw::resource(json, at).is_some() => reader.resource(json, None, at),
            Some(message) => {
                if !section::read_single(reader, message, json, at) {
                    section::read(reader, outline, listeners, at);
                }
            }
            None if outline.has("bootstrap") => bootstrap_dump(outline, !listeners && !clusters, at, reader),
            None if section::is_section(outline) => section::read(reader, outline, listeners, at),
            None => enveloped(json, guess::kind(outline), at, reader),
        }
    }
}

fn bootstrap_dump(outline: &Members<'_>, resources: bool, at: Path<'_>, reader: &mut Reader) {
    let Some((key, json)) = outline.get("bootstrap") else {
        return;
    };
    let at = at.field(key);
    match members(json, at) {
        Ok(outline) => bootstrap(&outline, resources, at, reader),
        Err(reason) => reader.reject(json, None, reason),
    }
}

/// Envoy's own configuration: the node, and the static resources unless the dump lists them elsewhere.
fn bootstrap(outline: &Members<'_>, resources: bool, at: Path<'_>, reader: &mut Reader) {
    if let Some((key, node)) = outline.get("node") {
        reader.node(node, at.field(key));
    }
    let Some((key, json)) = outline.get("static_resources").filter(|_| resources) else {
        return;
    };
    let at = at.field(key);
    let outline = match members(json, at) {
        Ok(outline) => outline,
        Err(reason) => return reader.reject(json, None, reason),
    };
    for (field, kind) in [
        ("listeners", ResourceType::Listener),
        ("clusters", ResourceType::Cluster),
        ("secrets", ResourceType::Secret),
    ] {
        let Some((key, json)) = outline.get(field) else {
            continue;
        };
        for (index, json) in items(json).into_iter().enumerate() {
            reader.resource(json, Some(kind), at.field(key).index(index));
        }
    }
}

fn is_response(json: &RawValue) -> bool {
    Members::of(json).is_ok_and(|members| response::is_response(&members))
}

/// A list that must be one if it is there.
fn list_member<'a, 'r>(root: &'r Members<'a>, name: &str) -> Result<Option<(&'r str, Vec<&'a RawValue>)>, Error> {
    let Some((key, value)) = root.get(name) else {
        return Ok(None);
    };
    if kind(value) != Kind::List {
        return Err(Error::Json {
            path: key.to_owned(),
            message: "expected a list".to_owned(),
        });
    }
    Ok(Some((key, items(value))))
}

/// What the first object of a list shows the document to be, if that is no dump.
fn first_object(json: &RawValue) -> Option<Error> {
    foreign::members(&Members::of(json).ok()?)
}

fn unrecognised(root: &Members<'_>) -> Error {
    let keys: Vec<String> = root.iter().take(5).map(|(key, _)| format!("{key:?}")).collect();
    let found = match keys.as_slice() {
        [] => "an empty object".to_owned(),
        keys => format!("an object with {}", keys.join(", ")),
    };
    Error::NotADump { found, instead: GIVE }
}
