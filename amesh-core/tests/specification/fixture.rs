//! Fixtures: small inputs in YAML, and whole captured dumps.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use amesh_core::apisix::Kind;
use amesh_core::finding::ResourceName;
use amesh_core::{
    Arrival, Change, Finding, Options, Rejected, Resource, ResourceType, Snapshot, Target, Updated, dump, translate,
};
use serde_json::{Map, Value, json};

/// Envoy resources and how to translate them.
pub(crate) struct Fixture {
    pub(crate) path: PathBuf,
    pub(crate) resources: Vec<Resource>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) removed: Vec<ResourceName>,
    pub(crate) options: Options,
}

/// What every fixture is translated for.
pub(crate) const TARGETS: [Target; 2] = [Target::Native, Target::Amesh];

/// What a fixture gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Given {
    pub(crate) objects: Vec<(Kind, Value)>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) rejected: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// Every file below `fixtures/` whose name ends so, sorted, without the captured dumps.
pub(crate) fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path
                    .file_name()
                    .is_some_and(|name| name != "scenario" && name != "istiod")
                {
                    folders.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn is_sequence(path: &Path) -> bool {
    path.components().any(|component| component.as_os_str() == "sequence")
}

/// Every fixture of a feature.
pub(crate) fn features() -> Vec<Fixture> {
    files(".in.yaml")
        .iter()
        .filter(|path| !is_sequence(path))
        .map(|path| Fixture::read(path))
        .collect()
}

/// Every captured dump below `fixtures/scenario/`, by its path there.
pub(crate) fn scenarios() -> Vec<(String, Vec<u8>)> {
    let top = root().join("scenario");
    let mut found = Vec::new();
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&top).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "json") {
                found.push((name, std::fs::read(&path).unwrap()));
            } else if name.ends_with(".json.gz") {
                let mut bytes = Vec::new();
                flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap())
                    .read_to_end(&mut bytes)
                    .unwrap();
                found.push((name, bytes));
            }
        }
    }
    found.sort();
    found
}

impl Fixture {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut document: Map<String, Value> =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let options = options(document.remove("options").as_ref(), path);
        let removed = document
            .remove("removed")
            .map(|list| removed(&list))
            .unwrap_or_default();
        let has_resources = document.contains_key("resources");
        assert!(
            has_resources || !removed.is_empty(),
            "{}: neither resources nor removed",
            path.display()
        );
        let (mut resources, mut rejected) = (Vec::new(), Vec::new());
        if has_resources {
            let bytes = serde_json::to_vec(&document).unwrap();
            let dump = dump::read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (resources, rejected) = (dump.resources, dump.rejected);
        }
        Self {
            path: path.to_owned(),
            resources,
            rejected,
            removed,
            options,
        }
    }

    /// The file that holds what this one gives.
    pub(crate) fn output(&self) -> PathBuf {
        let name = self
            .path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .replace(".in.yaml", ".out.yaml");
        self.path.with_file_name(name)
    }
}

fn options(given: Option<&Value>, path: &Path) -> Options {
    let mut options = Options::default();
    for (key, value) in given.and_then(Value::as_object).into_iter().flatten() {
        match (key.as_str(), value.as_str().unwrap_or_default()) {
            ("arrival", "direct") => options.arrival = Some(Arrival::Direct),
            ("arrival", "redirect") => options.arrival = Some(Arrival::Redirect),
            ("arrival", "host") => options.arrival = Some(Arrival::Host),
            // Of a sequence; all others are translated for each.
            ("target", "amesh") => options.target = Target::Amesh,
            ("permit", _) => {
                options.permitted = value
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|rule| rule.as_str().unwrap().to_owned())
                    .collect();
            }
            _ => panic!("{}: no option {key}: {value}", path.display()),
        }
    }
    options
}

fn removed(list: &Value) -> Vec<ResourceName> {
    let one = |entry: &Value| ResourceName {
        kind: ResourceType::from_type_url(entry["@type"].as_str().unwrap()).unwrap(),
        name: entry["name"].as_str().unwrap().to_owned(),
    };
    list.as_array().unwrap().iter().map(one).collect()
}

/// Translates a fixture.
pub(crate) fn outcome(fixture: &Fixture, target: Target) -> Given {
    let mut options = fixture.options.clone();
    options.target = target;
    let mut given = translated(&fixture.resources, &options);
    given.rejected = fixture.rejected.iter().map(ToString::to_string).collect();
    given
}

/// What a fixture gives on any APISIX, and below it what is different where Amesh's Lua package is loaded: the objects,
/// and all findings if one is.
pub(crate) fn both_to_yaml(fixture: &Fixture) -> String {
    let [native, mut amesh] = TARGETS.map(|target| outcome(fixture, target));
    let mut out = native.to_yaml();
    if amesh != native {
        amesh.objects.retain(|object| !native.objects.contains(object));
        amesh.rejected.clear();
        let same = amesh.findings == native.findings;
        out.push_str("amesh:\n");
        for line in amesh.to_yaml().lines().take_while(|line| !same || *line != "findings:") {
            let _ = writeln!(out, "  {line}");
        }
    }
    out
}

/// Translates resources.
pub(crate) fn translated(resources: &[Resource], options: &Options) -> Given {
    let translation = translate(&Snapshot::from_resources(resources.to_vec()), options);
    let object = |(key, object): (&amesh_core::apisix::Key, &std::sync::Arc<amesh_core::apisix::Object>)| {
        (key.kind, serde_json::to_value(&**object).unwrap())
    };
    Given {
        objects: translation.objects().iter().map(object).collect(),
        findings: translation.findings().into_iter().cloned().collect(),
        rejected: Vec::new(),
    }
}

impl Given {
    pub(crate) fn to_yaml(&self) -> String {
        let mut out = String::from("objects:\n");
        for kind in Kind::ALL {
            let objects: Vec<&Value> = self
                .objects
                .iter()
                .filter(|(of, _)| *of == kind)
                .map(|(_, object)| object)
                .collect();
            if !objects.is_empty() {
                let _ = writeln!(out, "  {kind}:");
                for object in objects {
                    push_item(&mut out, "    ", object);
                }
            }
        }
        out.push_str("findings:\n");
        for finding in &self.findings {
            let mut text = format!(
                "{} {} {} {}",
                finding.rule.name, finding.outcome, finding.resource, finding.path
            );
            if let Some(detail) = &finding.detail {
                let _ = write!(text, ": {detail}");
            }
            if finding.permitted {
                text.push_str(" (permitted)");
            }
            let _ = writeln!(out, "  - {}", Value::from(text.trim_end()));
        }
        if !self.rejected.is_empty() {
            out.push_str("rejected:\n");
            for reason in &self.rejected {
                let _ = writeln!(out, "  - {}", Value::from(reason.as_str()));
            }
        }
        out
    }
}

/// The steps of a plan.
pub(crate) fn changes_to_yaml(updated: &Updated) -> String {
    let mut out = String::from("changes:\n");
    for change in &updated.changes.changes {
        match change {
            Change::Put { key, object } => {
                let _ = writeln!(out, "  - put {key}:");
                push_fields(&mut out, "      ", &serde_json::to_value(&**object).unwrap());
            }
            Change::Remove { key } => {
                let _ = writeln!(out, "  - remove {key}");
            }
        }
    }
    for (title, findings) in [("come", &updated.come), ("gone", &updated.gone)] {
        let _ = writeln!(out, "{title}:{}", if findings.is_empty() { " []" } else { "" });
        for finding in findings {
            let _ = writeln!(out, "  - {} {} {}", finding.rule.name, finding.resource, finding.path);
        }
    }
    out
}

/// An object as an item of a YAML list: one line a field, values in JSON, which YAML contains.
fn push_item(out: &mut String, indent: &str, object: &Value) {
    let start = out.len();
    push_fields(out, &format!("{indent}  "), object);
    out.replace_range(start + indent.len()..start + indent.len() + 2, "- ");
}

fn push_fields(out: &mut String, indent: &str, object: &Value) {
    for (name, value) in object.as_object().unwrap() {
        match value.as_array() {
            Some(list) if list.len() > 1 && list.iter().all(|item| item.is_array() || item.is_object()) => {
                let _ = writeln!(out, "{indent}{name}:");
                for item in list {
                    let _ = writeln!(out, "{indent}  - {item}");
                }
            }
            _ => {
                let _ = writeln!(out, "{indent}{name}: {value}");
            }
        }
    }
    if object.as_object().unwrap().is_empty() {
        let _ = writeln!(out, "{indent}{}", json!({}));
    }
}
