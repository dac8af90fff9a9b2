//! Old objects and new objects to an ordered set of changes.

use std::sync::Arc;

use crate::apisix::{Key, Kind, Object, Objects};

/// One step of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Store this object, new or in place of the one under its key.
    Put {
        /// Where.
        key: Key,
        /// What.
        object: Arc<Object>,
    },
    /// Remove the object under this key.
    Remove {
        /// Where.
        key: Key,
    },
}

impl Change {
    /// The key that the step concerns.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Remove { key } => key,
        }
    }
}

/// Steps in an order in which nothing ever refers to something that is not there: first what is referred to, then what
/// refers; removals last, the other way round.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeSet {
    /// The steps.
    pub changes: Vec<Change>,
}

impl ChangeSet {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Does every step on a set of objects.
    pub fn apply_to(&self, objects: &mut Objects) {
        for change in &self.changes {
            match change {
                Change::Put { key, object } => {
                    objects.insert(key.clone(), Arc::clone(object));
                }
                Change::Remove { key } => {
                    objects.remove(key);
                }
            }
        }
    }
}

/// The steps from the old objects to the new ones. Objects that did not change take part in none.
#[must_use]
pub fn plan(old: &Objects, new: &Objects) -> ChangeSet {
    let mut changes = Vec::new();
    // Keys sort by kind, and kinds by what may refer to what.
    let mut before = old.iter().peekable();
    let mut removed = Vec::new();
    for (key, object) in new {
        while let Some((gone, _)) = before.next_if(|(old, _)| *old < key) {
            removed.push(gone.clone());
        }
        let same = before
            .next_if(|(old, _)| *old == key)
            .is_some_and(|(_, old)| Arc::ptr_eq(old, object) || old == object);
        if !same {
            changes.push(Change::Put {
                key: key.clone(),
                object: Arc::clone(object),
            });
        }
    }
    removed.extend(before.map(|(gone, _)| gone.clone()));
    debug_assert!(
        Kind::ALL.is_sorted(),
        "kinds are in the order in which they are written"
    );
    changes.extend(removed.into_iter().rev().map(|key| Change::Remove { key }));
    ChangeSet { changes }
}
