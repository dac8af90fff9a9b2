//! Objects to a shared dictionary, so that whoever reads it sees whole values in an order that always makes sense, whatever
//! fails in between. `docs/dictionary.md` has the layout and the order.
//!
//! Nothing here knows nginx: a [`Zone`] is all there is, and the tests have one that fails at any step.

mod journal;
mod manifest;
mod outcome;
mod peril;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amesh_core::apisix::{Kind, Object, Objects};
use amesh_core::{Change, ChangeSet};
use xxhash_rust::xxh3::xxh3_64;

use crate::zone::{Error, Space, Zone, footprint};
use manifest::{Manifest, SPARE, part_key, part_of};
pub(crate) use outcome::{Failure, Fill, Published};
use peril::Peril;

/// A dictionary without keys is one that `config_xds` never reads again.
const SENTINEL: &str = "/_sentinel";

/// Where it is tried whether a value fits.
const TRIAL: &str = "/_trial";

/// With so much room any value of up to a page fits, and it is not tried. For a larger one there have to be pages side by side.
const PLENTY: usize = 64 << 10;
const PAGE: usize = 4096;

/// After so many writes it is looked again who owns the dictionaries. A process that is killed in the middle of a call leaves
/// them damaged, so there are no more calls than needed.
const TRUST: usize = if cfg!(test) { 3 } else { 32 };

const VERSION: &str = "version";
const BEGUN: &str = "begun";
const OWNER: &str = "owner";

/// What is known of a key.
#[derive(Debug, Default)]
struct Entry {
    wanted: Option<Arc<Object>>,
    /// What is in the dictionary, where that is known.
    stored: Option<Stored>,
}

/// What is in the dictionary.
#[derive(Debug)]
struct Stored {
    object: Arc<Object>,
    /// The hash and the length of its text.
    text: (u64, usize),
}

/// The one who writes.
#[derive(Debug)]
pub(crate) struct Publisher<Z: Zone> {
    config: Z,
    version: Z,
    owner: String,
    entries: BTreeMap<Arc<str>, Entry>,
    manifest: Manifest,
    /// Keys that may not be in the dictionary as they are wanted, in the order in which they are written.
    pending: BTreeSet<(usize, Arc<str>)>,
    /// Parts of the manifest that may name keys that are gone, or may not be as they were written.
    stale: BTreeSet<usize>,
    /// Keys that have changed since the last publish.
    unannounced: BTreeSet<Arc<str>>,
    /// More may have changed than is known.
    everything: bool,
    /// The version that is being written.
    writing: Option<u64>,
    /// How much may be written before it is looked again who owns the dictionaries.
    trust: usize,
    peril: Peril,
    /// The sum of the footprints of objects.
    used: usize,
    /// How many objects are in the dictionary, by rank.
    counts: [usize; Kind::ALL.len() + 1],
}

/// Kinds that are referred to come before those that refer. Kinds of another release come last, and so go first.
fn rank(key: &str) -> usize {
    let kind = key.split('/').nth(1).unwrap_or_default();
    let known = Kind::ALL.iter().position(|known| known.name() == kind);
    known.unwrap_or(Kind::ALL.len())
}

impl<Z: Zone> Publisher<Z> {
    /// Takes the dictionaries over, with what a writer before left in them. `owner` is a text that nobody else has.
    pub(crate) fn adopt(config: Z, version: Z, owner: &str) -> Result<Self, Failure> {
        let peril = Peril::read(&version)?;
        version.set(OWNER, owner.as_bytes()).map_err(Failure::at(OWNER))?;
        peril.enter(&version)?;
        config.delete(TRIAL).map_err(Failure::at(TRIAL))?;
        let (manifest, stale) = Manifest::read(&config).map_err(Failure::at("/_manifest"))?;
        peril.leave(&version)?;
        let number = |key| version.number(key).map_err(Failure::at(key));
        let everything = number(BEGUN)? != number(VERSION)?;
        Ok(Self {
            config,
            version,
            owner: owner.to_owned(),
            entries: BTreeMap::new(),
            manifest,
            pending: BTreeSet::new(),
            stale,
            unannounced: BTreeSet::new(),
            everything,
            writing: None,
            trust: 0,
            peril,
            used: 0,
            counts: Default::default(),
        })
    }

    /// The version that readers see; `None` where nothing was ever published.
    pub(crate) fn announced(&self) -> Result<Option<u64>, Failure> {
        let number = self.version.number(VERSION).map_err(Failure::at(VERSION))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a version is a whole number far below the limit of a double"
        )]
        Ok(number.map(|number| number as u64))
    }

    /// From now on these objects are wanted, and nothing else.
    pub(crate) fn want_only(&mut self, objects: &Objects) {
        for entry in self.entries.values_mut() {
            entry.wanted = None;
        }
        for key in self.manifest.keys() {
            self.entries.entry(Arc::clone(key)).or_default();
        }
        for (key, object) in objects {
            let entry = self.entries.entry(key.to_string().into()).or_default();
            entry.wanted = Some(Arc::clone(object));
        }
        self.pending = self.entries.keys().map(|key| (rank(key), Arc::clone(key))).collect();
    }

    /// From now on these changes are wanted too.
    pub(crate) fn want(&mut self, changes: &ChangeSet) {
        for change in &changes.changes {
            let key: Arc<str> = change.key().to_string().into();
            let entry = self.entries.entry(Arc::clone(&key)).or_default();
            entry.wanted = match change {
                Change::Put { object, .. } => Some(Arc::clone(object)),
                Change::Remove { .. } => None,
            };
            self.pending.insert((rank(&key), key));
        }
    }

    /// Whether something is not in the dictionary as it is wanted, or not announced.
    pub(crate) fn is_behind(&self) -> bool {
        !self.pending.is_empty() || !self.unannounced.is_empty() || self.everything || !self.stale.is_empty()
    }

    /// Brings the dictionary in step and announces it; `None` where there is nothing to announce. `now` is the time in
    /// milliseconds since 1970.
    pub(crate) fn publish(&mut self, now: u64) -> Result<Option<Published>, Failure> {
        self.own()?;
        self.trust = TRUST;
        self.peril.enter(&self.version)?;
        let published = self.bring(now);
        self.peril.end(&self.version, &published);
        published
    }

    fn bring(&mut self, now: u64) -> Result<Option<Published>, Failure> {
        self.keep_sentinel(now)?;
        let wanted = |(_, key): &&(usize, Arc<str>)| self.entries.get(key).is_some_and(|entry| entry.wanted.is_some());
        let (puts, removals): (Vec<_>, Vec<_>) = self.pending.iter().partition(wanted);
        let puts: Vec<_> = puts.into_iter().cloned().collect();
        let removals: Vec<_> = removals.into_iter().rev().cloned().collect();
        self.list(&puts, now)?;
        for (rank, key) in puts {
            self.put(&key, now)?;
            self.pending.remove(&(rank, key));
        }
        for (rank, key) in removals {
            self.remove(&key, now)?;
            self.stale.insert(part_of(&key));
            self.pending.remove(&(rank, key));
        }
        self.unlist(now)?;
        self.announce(now)
    }

    /// Looks whether everything is in the dictionary as it was written, and brings what is not into the next publish. Gives
    /// how many keys that are.
    pub(crate) fn audit(&mut self) -> Result<usize, Failure> {
        self.own()?;
        let mut astray = Vec::new();
        for (key, entry) in &self.entries {
            let there = self.config.get(key).map_err(Failure::at(key))?;
            let there = there.map(|text| (xxh3_64(&text), text.len()));
            let queued = self.pending.contains(&(rank(key), Arc::clone(key)));
            if there != entry.stored.as_ref().map(|stored| stored.text) && !queued {
                astray.push(Arc::clone(key));
            }
        }
        for part in 0..manifest::PARTS {
            let key = part_key(part);
            let there = self.config.get(&key).map_err(Failure::at(&key))?;
            if there != self.manifest.text_of(part) {
                self.stale.insert(part);
            }
        }
        let count = astray.len();
        for key in astray {
            self.note(&key, None);
            self.pending.insert((rank(&key), key));
        }
        Ok(count)
    }

    /// How full the dictionary is; `None` where it cannot say.
    pub(crate) fn fill(&self) -> Option<Fill> {
        let Space { capacity, free } = self.config.space()?;
        let used = self.used + self.manifest.used();
        Some(Fill {
            capacity,
            used,
            free_pages: free,
            percent: (used * 100).checked_div(capacity).unwrap_or_default(),
        })
    }

    /// How many objects are in the dictionary, by kind. Those of kinds of another release are not counted.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let counts = self.counts.iter().copied();
        Kind::ALL.into_iter().map(Kind::name).zip(counts).collect()
    }

    /// Stores what people and metrics read. That it fits is not worth a failure.
    pub(crate) fn tell(&self, status: &str) -> Result<(), Failure> {
        self.own()?;
        self.version
            .set("status", status.as_bytes())
            .map_err(Failure::at("status"))
    }

    /// Fails when somebody else writes now.
    fn own(&self) -> Result<(), Failure> {
        let owner = self.version.get(OWNER).map_err(Failure::at(OWNER))?;
        if owner.as_deref() == Some(self.owner.as_bytes()) {
            Ok(())
        } else {
            Err(Failure::Superseded)
        }
    }

    /// To be called before everything that is written: it is still ours, and the version that it belongs to is noted, so
    /// that a successor knows that there is something that was not announced.
    fn begin(&mut self, now: u64) -> Result<u64, Failure> {
        if self.trust == 0 {
            self.own()?;
            self.trust = TRUST;
        }
        self.trust -= 1;
        if let Some(version) = self.writing {
            return Ok(version);
        }
        let version = self.announced()?.map_or(now, |last| last + 1);
        self.set_number(BEGUN, version)?;
        self.writing = Some(version);
        Ok(version)
    }

    fn set_number(&self, key: &str, number: u64) -> Result<(), Failure> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 need 41 bits")]
        self.version.set_number(key, number as f64).map_err(Failure::at(key))
    }

    fn keep_sentinel(&mut self, now: u64) -> Result<(), Failure> {
        if self.config.get(SENTINEL).map_err(Failure::at(SENTINEL))?.is_none() {
            self.begin(now)?;
            self.config.set(SENTINEL, b"{}").map_err(Failure::at(SENTINEL))?;
        }
        Ok(())
    }

    /// Names in the manifest what will be stored.
    fn list(&mut self, puts: &[(usize, Arc<str>)], now: u64) -> Result<(), Failure> {
        // What the writer before left broken first, and before that the part whose text may be in the spare place alone.
        let mut stale: Vec<(usize, Vec<u8>)> = Vec::new();
        for part in &self.stale {
            stale.extend(self.manifest.text_of(*part).map(|text| (*part, text)));
        }
        stale.sort_by_key(|(_, text)| text != self.manifest.spare());
        for (part, text) in stale {
            match self.replace_part(part, &text, now) {
                Ok(()) | Err(Failure::Store { error: Error::Full, .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        let mut added: BTreeMap<usize, Vec<Arc<str>>> = BTreeMap::new();
        for (_, key) in puts.iter().filter(|(_, key)| !self.manifest.names(key)) {
            added.entry(part_of(key)).or_default().push(Arc::clone(key));
        }
        for (part, keys) in added {
            let keys = self.manifest.part(part, keys, |_| true);
            if let Some(text) = Manifest::text(part, &keys) {
                self.replace_part(part, &text, now)?;
            }
            self.manifest.set(part, keys);
        }
        Ok(())
    }

    fn replace_part(&mut self, part: usize, text: &[u8], now: u64) -> Result<(), Failure> {
        let key = part_key(part);
        let before = self.config.get(&key).map_err(Failure::at(&key))?;
        if before.as_deref() == Some(text) {
            return Ok(());
        }
        if self.manifest.spare() != text {
            self.begin(now)?;
            // Where it does not fit it is gone.
            self.manifest.spare().clear();
            self.config.set(SPARE, text).map_err(Failure::at(&key))?;
            *self.manifest.spare() = text.to_vec();
        }
        self.replace(&key, before, text, now).map(drop)
    }

    /// Gives up a part that names nothing, and a spare text of it.
    fn erase_part(&mut self, part: usize, now: u64) -> Result<(), Failure> {
        self.manifest.spare().clear();
        self.erase(SPARE, false, now)?;
        self.erase(&part_key(part), false, now).map(drop)
    }

    /// Takes out of the manifest what is gone. A part that cannot be written names too much, which does no harm.
    fn unlist(&mut self, now: u64) -> Result<(), Failure> {
        for part in self.stale.clone() {
            let keys = self.manifest.part(part, [], |key| self.entries.contains_key(key));
            let written = match Manifest::text(part, &keys) {
                Some(text) => self.replace_part(part, &text, now),
                None => self.erase_part(part, now),
            };
            match written {
                Ok(()) => {
                    self.manifest.set(part, keys);
                    self.stale.remove(&part);
                }
                Err(Failure::Store { error: Error::Full, .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &Arc<str>, now: u64) -> Result<(), Failure> {
        let Some(entry) = self.entries.get(key) else {
            return Ok(());
        };
        let Some(object) = entry.wanted.clone() else {
            return Ok(());
        };
        let text = |object: &Object| {
            let invalid = |error: serde_json::Error| Error::Other(error.to_string());
            serde_json::to_vec(object).map_err(invalid).map_err(Failure::at(key))
        };
        let before = match &entry.stored {
            Some(stored) if stored.object == object => return Ok(()),
            Some(stored) => Some(text(&stored.object)?),
            None => self.config.get(key).map_err(Failure::at(key))?,
        };
        let text = text(&object)?;
        match self.replace(key, before, &text, now) {
            Ok(changed) => {
                let text = (xxh3_64(&text), text.len());
                self.note(key, Some(Stored { object, text }));
                if changed {
                    self.unannounced.insert(Arc::clone(key));
                }
                Ok(())
            }
            Err(failure) => {
                if !matches!(failure, Failure::Store { error: Error::Full, .. }) {
                    // It is not known what is there.
                    self.note(key, None);
                    self.unannounced.insert(Arc::clone(key));
                }
                Err(failure)
            }
        }
    }

    fn remove(&mut self, key: &Arc<str>, now: u64) -> Result<(), Failure> {
        let known = self.entries.get(key).is_some_and(|entry| entry.stored.is_some());
        if self.erase(key, known, now)? {
            self.unannounced.insert(Arc::clone(key));
        }
        self.note(key, None);
        self.entries.remove(key);
        Ok(())
    }

    /// Notes what is in the dictionary under a key.
    fn note(&mut self, key: &Arc<str>, stored: Option<Stored>) {
        let size = |stored: &Option<Stored>| stored.as_ref().map_or(0, |stored| footprint(key.len(), stored.text.1));
        let entry = self.entries.entry(Arc::clone(key)).or_default();
        self.used = (self.used + size(&stored)).saturating_sub(size(&entry.stored));
        let count = &mut self.counts[rank(key)];
        *count = (*count + usize::from(stored.is_some())).saturating_sub(usize::from(entry.stored.is_some()));
        entry.stored = stored;
    }

    /// Stores a text in place of another, unless they are the same. If that fails what was there before is there again.
    fn replace(&mut self, key: &str, before: Option<Vec<u8>>, text: &[u8], now: u64) -> Result<bool, Failure> {
        if before.as_deref() == Some(text) {
            return Ok(false);
        }
        self.begin(now)?;
        if let Some(before) = &before {
            self.try_room(key, before.len(), text.len())?;
        }
        let Err(error) = self.config.set(key, text) else {
            return Ok(true);
        };
        let key = key.to_owned();
        if let (Error::Full, Some(before)) = (&error, before)
            && self.config.set(&key, &before).is_err()
        {
            return Err(Failure::Lost { key, error });
        }
        Err(Failure::Store { key, error })
    }

    /// Fails if there is no room for a value of another length. The dictionary gives up the old value before it looks for
    /// room, so whoever reads in between, or finds this process killed there, would miss the key.
    fn try_room(&self, key: &str, before: usize, length: usize) -> Result<(), Failure> {
        let needed = footprint(key.len(), length);
        if footprint(key.len(), before) == needed {
            return Ok(());
        }
        let free = self.config.space().map_or(0, |space| space.free);
        if needed <= PAGE && free >= PLENTY {
            return Ok(());
        }
        let trial = vec![b' '; (key.len() + length).saturating_sub(TRIAL.len())];
        self.config.set(TRIAL, &trial).map_err(Failure::at(key))?;
        self.config.delete(TRIAL).map_err(Failure::at(key))
    }

    /// Deletes a key, and tells whether it was there.
    fn erase(&mut self, key: &str, known: bool, now: u64) -> Result<bool, Failure> {
        if !known && self.config.get(key).map_err(Failure::at(key))?.is_none() {
            return Ok(false);
        }
        self.begin(now)?;
        self.config.delete(key).map_err(Failure::at(key))?;
        Ok(true)
    }

    /// Writes the journal's entry and then the version, if there is something to tell.
    fn announce(&mut self, now: u64) -> Result<Option<Published>, Failure> {
        let first = self.announced()?.is_none();
        if !first && self.unannounced.is_empty() && !self.everything {
            return Ok(None);
        }
        let mut version = self.begin(now)?;
        if let Some(last) = self.announced()?.filter(|last| *last >= version) {
            // The writer before announced something between its last look at who owns the dictionary and now.
            version = last + 1;
            self.set_number(BEGUN, version)?;
            self.writing = Some(version);
            self.everything = true;
        }
        let changed = (!self.everything).then_some(&self.unannounced);
        let longest = journal::longest(self.version.space().map(|space| space.capacity));
        let entry = journal::entry(version, changed, longest);
        let everything = entry.ends_with('*');
        let key = journal::key(version);
        // Without an entry readers compare everything; the one of an older version that may be there tells them the same.
        let _ = self.version.set(&key, entry.as_bytes());
        self.own()?;
        self.set_number(VERSION, version)?;
        self.writing = None;
        self.everything = false;
        let changed = std::mem::take(&mut self.unannounced).len();
        Ok(Some(Published {
            version,
            changed,
            everything,
        }))
    }
}
