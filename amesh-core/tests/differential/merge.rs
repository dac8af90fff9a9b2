//! The objects of all cases in one `apisix.yaml`. What a case calls `one` another case calls so as well: ids are replaced by
//! short ones that begin with the number of the case.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::Case;

/// The host and the path of a route that says that the file is in force.
pub(crate) const READY: &str = "ready.differential";

/// The text of the file, and the plugins that its objects use.
pub(crate) fn file(cases: &[Case], target: usize) -> (String, BTreeSet<String>) {
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::from([("routes", Vec::new()), ("upstreams", Vec::new())]);
    for (number, case) in cases.iter().enumerate() {
        let objects = &case.translated[target].objects;
        let mut ids: BTreeMap<(&str, String), String> = BTreeMap::new();
        for (kind, list) in objects {
            for (index, object) in list.iter().enumerate() {
                if let Some(id) = object["id"].as_str() {
                    ids.insert((kind, id.to_owned()), format!("{number}-{index}"));
                }
            }
        }
        for (kind, list) in objects {
            for object in list {
                let mut object = object.clone();
                if let Some(id) = object["id"].as_str().and_then(|id| ids.get(&(*kind, id.to_owned()))) {
                    object["id"] = json!(id);
                }
                refer(&mut object, &ids);
                lists.entry(kind).or_default().push(object);
            }
        }
    }
    let mut plugins = BTreeSet::from(["fault-injection".to_owned()]);
    for object in lists.values().flatten() {
        let names = object["plugins"].as_object().into_iter().flatten();
        plugins.extend(names.map(|(name, _)| name.clone()));
    }
    let answer = json!({"fault-injection": {"abort": {"http_status": 200, "body": "ready"}}});
    let ready = json!({"id": "ready", "uri": "/ready", "hosts": [READY], "plugins": answer});
    lists.entry("routes").or_default().push(ready);
    // JSON is YAML; without its last line APISIX takes the file for half written.
    let text = serde_json::to_string(&lists).expect("JSON");
    (format!("{text}\n#END\n"), plugins)
}

/// Replaces what refers to another object: the value of a field that is named after the kind.
fn refer(value: &mut Value, ids: &BTreeMap<(&str, String), String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let kind = match name.as_str() {
                    "upstream_id" | "upstream" | "upstreams" => "upstreams",
                    "service_id" => "services",
                    "plugin_config_id" => "plugin_configs",
                    _ => "",
                };
                if let Some(id) = value.as_str().and_then(|id| ids.get(&(kind, id.to_owned()))) {
                    *value = json!(id);
                } else {
                    refer(value, ids);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| refer(value, ids)),
        _ => {}
    }
}
