//! Which keys are in the dictionary, written down in the dictionary: there is no way to list them.

use std::collections::BTreeSet;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::zone::{Error, Zone, footprint, room};

/// How many parts there are. A change of one key rewrites one part.
pub(crate) const PARTS: usize = 256;

/// Where the text of a part is before it takes the place of the one that is there: a process that is killed in the middle of
/// the exchange can leave neither. No longer than the key of a part, so that it takes no more room.
pub(crate) const SPARE: &str = "/_manifest/x";

/// The key of a part.
pub(crate) fn part_key(part: usize) -> String {
    format!("/_manifest/{part}")
}

/// The part that names a key.
pub(crate) fn part_of(key: &str) -> usize {
    usize::from(xxh3_64(key.as_bytes()).to_le_bytes()[0])
}

/// The parts, as they are in the dictionary.
#[derive(Debug)]
pub(crate) struct Manifest {
    parts: Vec<BTreeSet<Arc<str>>>,
    /// The sum of the footprints of parts.
    used: usize,
    /// What is under [`SPARE`].
    spare: Vec<u8>,
}

impl Manifest {
    /// What a writer before left, and which parts are not in the dictionary as they should be. Lines that are no keys of
    /// objects are passed over.
    pub(crate) fn read(zone: &impl Zone) -> Result<(Self, BTreeSet<usize>), Error> {
        let spare = zone.get(SPARE)?.unwrap_or_default();
        let mut parts = Vec::with_capacity(PARTS);
        let mut astray = BTreeSet::new();
        for part in 0..PARTS {
            let there = zone.get(&part_key(part))?;
            let keys = named(there.as_deref().unwrap_or_default(), part);
            let keys: BTreeSet<Arc<str>> = keys.into_iter().chain(named(&spare, part)).collect();
            if Self::text(part, &keys) != there {
                astray.insert(part);
            }
            parts.push(keys);
        }
        let used = parts.iter().enumerate().map(|(part, keys)| takes(part, keys)).sum();
        Ok((Self { parts, used, spare }, astray))
    }

    /// What it takes of the dictionary.
    pub(crate) fn used(&self) -> usize {
        let spare = (!self.spare.is_empty()).then(|| footprint(SPARE.len(), self.spare.len()));
        self.used + spare.unwrap_or_default()
    }

    /// What is under [`SPARE`]; nothing where nothing is.
    pub(crate) const fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.spare
    }

    /// Every key that is named.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.parts.iter().flatten()
    }

    /// Whether a key is named.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.parts[part_of(key)].contains(key)
    }

    /// A part with keys added, or with only those that `keep` holds for.
    pub(crate) fn part(
        &self,
        part: usize,
        add: impl IntoIterator<Item = Arc<str>>,
        keep: impl Fn(&str) -> bool,
    ) -> BTreeSet<Arc<str>> {
        let held = self.parts[part].iter().filter(|key| keep(key)).cloned();
        held.chain(add).collect()
    }

    /// Notes that a part was written.
    pub(crate) fn set(&mut self, part: usize, keys: BTreeSet<Arc<str>>) {
        self.used = (self.used + takes(part, &keys)).saturating_sub(takes(part, &self.parts[part]));
        self.parts[part] = keys;
    }

    /// The text of a part; `None` where it names nothing.
    ///
    /// Empty lines fill the memory that it takes anyway, so most changes overwrite it in place. A value of another size is
    /// given up before the new one is stored, and a process that is killed right then leaves none.
    pub(crate) fn text(part: usize, keys: &BTreeSet<Arc<str>>) -> Option<Vec<u8>> {
        let lines: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let mut text = lines.join("\n").into_bytes();
        text.resize(room(part_key(part).len(), text.len()), b'\n');
        (!lines.is_empty()).then_some(text)
    }

    /// The text of a part as it is.
    pub(crate) fn text_of(&self, part: usize) -> Option<Vec<u8>> {
        Self::text(part, &self.parts[part])
    }
}

/// The keys of a part in a text.
fn named(text: &[u8], part: usize) -> BTreeSet<Arc<str>> {
    let text = String::from_utf8_lossy(text);
    let keys = text.lines().filter(|key| is_object(key) && part_of(key) == part);
    keys.map(Arc::from).collect()
}

/// What a part takes of the dictionary.
fn takes(part: usize, keys: &BTreeSet<Arc<str>>) -> usize {
    let length = keys.iter().map(|key| key.len() + 1).sum::<usize>().checked_sub(1);
    length.map_or(0, |length| footprint(part_key(part).len(), length))
}

/// Whether a key is `/<kind>/<id>`, and none of ours.
fn is_object(key: &str) -> bool {
    let segments = key.strip_prefix('/').and_then(|rest| rest.split_once('/'));
    segments.is_some_and(|(kind, id)| !kind.is_empty() && !kind.starts_with('_') && !id.is_empty() && !id.contains('/'))
}
