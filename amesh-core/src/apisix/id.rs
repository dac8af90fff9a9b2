//! Ids that people can read, that stay the same when things around them move, and that do not collide.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3Default;

/// The id of an APISIX object: 1 to 64 characters of `[A-Za-z0-9_.-]`. Cloning it is cheap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(Arc<str>);

/// The longest id that APISIX accepts, in characters.
const LONGEST: usize = 64;

/// Hexadecimal digits of the hash that tells apart names that would read the same.
const HASH: usize = 10;

/// Characters that stay as they are.
const fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'
}

impl Id {
    /// The id of something that has a name of its own.
    ///
    /// `|`, which Istio puts between the parts of a cluster name, becomes `_`. A name that is too long, holds another
    /// character that APISIX refuses, or holds a `_` that could be mistaken for a `|`, gets a hash of the whole name
    /// at its end. So two different names give two different ids, up to a collision of 40-bit hashes between names
    /// that also read the same.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if (1..=LONGEST).contains(&name.len()) && name.bytes().all(|byte| plain(byte) || byte == b'|') {
            return Self(name.replace('|', "_").into());
        }
        Self::of_parts(&[name], "")
    }

    /// The id of something that is told apart by several names, which it shows joined by `.`, and by a further text,
    /// which only the hash at its end depends on.
    #[must_use]
    pub fn of_parts(parts: &[&str], further: &str) -> Self {
        let mut hash = Xxh3Default::new();
        for part in parts.iter().chain([&further]) {
            // The length in front keeps ["a", "b.c"] and ["a.b", "c"] apart.
            hash.update(&part.len().to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut id = String::with_capacity(LONGEST);
        for part in parts {
            if !id.is_empty() {
                id.push('.');
            }
            let room = (LONGEST - HASH - 1).saturating_sub(id.len());
            id.extend(
                part.bytes()
                    .take(room)
                    .map(|byte| if plain(byte) { char::from(byte) } else { '_' }),
            );
        }
        id.truncate(LONGEST - HASH - 1);
        // The first ten of sixteen hexadecimal digits. Writing to a string cannot fail.
        let _ = write!(id, "_{:0HASH$x}", hash.digest() >> (64 - 4 * HASH));
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_istio_cluster_name_stays_legible() {
        assert_eq!(
            Id::of("outbound|9080|v1|reviews.default.svc.cluster.local").as_str(),
            "outbound_9080_v1_reviews.default.svc.cluster.local"
        );
    }

    #[test]
    fn names_that_would_read_the_same_get_different_ids() {
        let names = ["a|b", "a_b", "a b", "a/b", "", "_", " "];
        let ids: std::collections::BTreeSet<Id> = names.iter().map(|name| Id::of(name)).collect();
        assert_eq!(ids.len(), names.len(), "{ids:?}");
        assert_ne!(Id::of_parts(&["a", "b.c"], ""), Id::of_parts(&["a.b", "c"], ""));
    }

    proptest::proptest! {
        #[test]
        fn every_id_is_one_that_apisix_accepts(parts: Vec<String>, further: String) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let id = Id::of_parts(&parts, &further);
            proptest::prop_assert!((1..=LONGEST).contains(&id.as_str().len()));
            proptest::prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
        }
    }
}
