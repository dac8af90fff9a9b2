//! A dump of any size, made of a real one: the recording of 200 services, as often as needed under new names.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

/// A config dump of at least that many bytes, printed as Envoy prints it.
pub(crate) fn big_dump(bytes: usize) -> String {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenario/istiod/27-big/capture.json.gz");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(packed).unwrap())
        .read_to_string(&mut plain)
        .unwrap();
    let recorded: Value = serde_json::from_str(&plain).unwrap();
    let mut sections = recorded["configs"].as_array().unwrap().clone();
    let copies = bytes.div_ceil(plain.len());
    for section in &mut sections {
        for (list, name) in [
            ("dynamic_active_clusters", "/cluster/name"),
            ("dynamic_endpoint_configs", "/endpoint_config/cluster_name"),
            ("dynamic_route_configs", "/route_config/name"),
        ] {
            let Some(entries) = section.get(list).and_then(Value::as_array).cloned() else {
                continue;
            };
            let all = section[list].as_array_mut().unwrap();
            for copy in 1..copies {
                all.extend(entries.iter().map(|entry| renamed(entry, name, copy)));
            }
        }
    }
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&serde_json::json!({ "configs": sections }), &mut serializer).unwrap();
    String::from_utf8(text).unwrap()
}

fn renamed(entry: &Value, name: &str, copy: usize) -> Value {
    let text = entry.to_string().replace("svc-", &format!("svc-{copy}-"));
    let mut entry: Value = serde_json::from_str(&text).unwrap();
    let name = entry.pointer_mut(name).unwrap();
    *name = format!("{}-{copy}", name.as_str().unwrap()).into();
    entry
}
