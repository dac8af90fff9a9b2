//! What each publish changed, for readers that keep up.

use std::collections::BTreeSet;
use std::sync::Arc;

/// How many publishes are remembered.
const RING: u64 = 1024;

/// In place of keys: compare everything.
const EVERYTHING: &str = "*";

/// The key of a version's entry.
pub(crate) fn key(version: u64) -> String {
    format!("journal/{}", version % RING)
}

/// How long an entry may be, so that the ring takes no more than half of a dictionary. Of one that cannot say how large it
/// is the smallest is assumed that APISIX's own templates have, 1 MiB.
pub(crate) fn longest(capacity: Option<usize>) -> usize {
    const NODE: usize = 68;
    let each = capacity.unwrap_or(1 << 20) / 2 / 1024;
    // What nginx allocates is a power of two with the node and the key in it.
    let rounded = if each.is_power_of_two() {
        each
    } else {
        each.next_power_of_two() / 2
    };
    rounded.clamp(256, 65_536) - NODE - key(RING - 1).len()
}

/// The entry of a version: the keys, or that everything has to be compared.
pub(crate) fn entry(version: u64, changed: Option<&BTreeSet<Arc<str>>>, longest: usize) -> String {
    let mut text = version.to_string();
    for key in changed.into_iter().flatten() {
        text.push('\n');
        text.push_str(key);
        if text.len() > longest {
            return entry(version, None, longest);
        }
    }
    if changed.is_none() {
        text.push('\n');
        text.push_str(EVERYTHING);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_too_long_says_so() {
        let keys: BTreeSet<Arc<str>> = ["/routes/a", "/routes/b"].map(Arc::from).into();
        assert_eq!(entry(7, Some(&keys), 100), "7\n/routes/a\n/routes/b");
        assert_eq!(entry(7, Some(&keys), 15), "7\n*");
        assert_eq!(entry(7, None, 100), "7\n*");
        assert_eq!(entry(7, Some(&BTreeSet::new()), 100), "7");
    }

    #[test]
    fn the_ring_takes_half_of_its_dictionary() {
        for (capacity, expected) in [(None, 512), (Some(10 << 20), 4096), (Some(12_288), 256)] {
            assert_eq!(longest(capacity) + 68 + "journal/1023".len(), expected, "{capacity:?}");
        }
    }
}
