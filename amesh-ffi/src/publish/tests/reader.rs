//! Two readers as `docs/dictionary.md` describes them: one that follows the journal, and APISIX's own, which reads all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value as Json;

use crate::zone::fake::{Content, Value, World};

fn number(content: &Content, key: &str) -> Option<u64> {
    match content.get(key)? {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "versions are whole"
        )]
        Value::Number(number) => Some(*number as u64),
        Value::Text(_) => panic!("{key} is a text"),
    }
}

/// The object under a key, which has to be whole.
fn object(world: &World, key: &str) -> Option<Json> {
    let Value::Text(text) = world.config.get(key)? else {
        panic!("{key} is a number");
    };
    let object: Json = serde_json::from_slice(text).unwrap_or_else(|error| panic!("{key}: {error}"));
    assert_eq!(object["id"].as_str(), key.rsplit('/').next(), "{key}");
    Some(object)
}

fn is_object(key: &str) -> bool {
    ["/routes/", "/upstreams/"].iter().any(|kind| key.starts_with(kind))
}

fn all(world: &World) -> impl Iterator<Item = &String> {
    world.config.keys().filter(|key| is_object(key))
}

/// Every object in the dictionary.
pub(super) fn everything(world: &World) -> BTreeMap<String, Json> {
    all(world)
        .filter_map(|key| Some((key.clone(), object(world, key)?)))
        .collect()
}

/// Fails if a key is not in the manifest, where its successor and readers find it.
pub(super) fn check_manifest(world: &World) {
    let parts = world.config.iter().filter(|(key, _)| key.starts_with("/_manifest/"));
    let named: BTreeSet<&[u8]> = parts
        .filter_map(|(_, value)| match value {
            Value::Text(text) => Some(text.split(|byte| *byte == b'\n')),
            Value::Number(_) => None,
        })
        .flatten()
        .collect();
    for key in all(world) {
        assert!(named.contains(key.as_bytes()), "{key} is not in the manifest");
    }
}

/// Fails if a route refers to what is not there.
pub(super) fn check_references(objects: &BTreeMap<String, Json>) {
    for (key, route) in objects.iter().filter(|(key, _)| key.starts_with("/routes/")) {
        let upstream = route["upstream_id"].as_str().expect("an upstream");
        assert!(
            objects.contains_key(&format!("/upstreams/{upstream}")),
            "{key} refers to {upstream}"
        );
    }
}

/// Reads what the journal names.
#[derive(Debug, Default)]
pub(super) struct Follower {
    version: Option<u64>,
    objects: BTreeMap<String, Json>,
    /// The version that is being read, and the keys that are left.
    reading: Option<(u64, VecDeque<String>)>,
    /// How often it compared everything.
    pub(super) compared: usize,
}

impl Follower {
    /// Does that many steps: a look at the version with the entries, or the value of one key.
    pub(super) fn step(&mut self, world: &World, steps: usize) {
        for _ in 0..steps {
            let Some((version, keys)) = &mut self.reading else {
                let Some(version) = number(&world.version, "version").filter(|new| Some(*new) != self.version) else {
                    return;
                };
                let keys = self.changed(world, version).unwrap_or_else(|| {
                    self.compared += 1;
                    self.objects.keys().chain(all(world)).cloned().collect()
                });
                self.reading = Some((version, keys.into_iter().collect()));
                continue;
            };
            let Some(key) = keys.pop_front() else {
                self.version = Some(*version);
                self.reading = None;
                continue;
            };
            match object(world, &key) {
                Some(object) => drop(self.objects.insert(key, object)),
                None => drop(self.objects.remove(&key)),
            }
        }
    }

    /// The keys between the version that is applied and this one; `None` where the journal does not say.
    fn changed(&self, world: &World, version: u64) -> Option<BTreeSet<String>> {
        let seen = self.version?;
        if version < seen || version - seen > 1024 {
            return None;
        }
        let mut keys = BTreeSet::new();
        for each in seen + 1..=version {
            let Value::Text(text) = world.version.get(&format!("journal/{}", each % 1024))? else {
                panic!("an entry is a number");
            };
            let text = std::str::from_utf8(text).expect("text");
            let mut lines = text.lines();
            if lines.next()? != each.to_string() {
                return None;
            }
            for line in lines {
                if line == "*" {
                    return None;
                }
                assert!(is_object(line), "{line}");
                keys.insert(line.to_owned());
            }
        }
        Some(keys)
    }

    /// Reads to the end.
    pub(super) fn finish(&mut self, world: &World) -> &BTreeMap<String, Json> {
        while self.reading.is_some() || number(&world.version, "version") != self.version {
            self.step(world, 1);
        }
        &self.objects
    }
}

/// Reads every key when the version differs.
#[derive(Debug, Default)]
pub(super) struct Stock {
    version: Option<u64>,
    pub(super) objects: BTreeMap<String, Json>,
}

impl Stock {
    /// Looks at the version.
    pub(super) fn look(&mut self, world: &World) {
        let version = number(&world.version, "version");
        if version == self.version {
            return;
        }
        // Without a key it would not go on.
        assert!(!world.config.is_empty());
        self.objects = everything(world);
        // What is announced holds together.
        check_references(&self.objects);
        assert!(self.version <= version, "{:?} {version:?}", self.version);
        self.version = version;
    }
}
