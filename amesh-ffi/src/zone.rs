//! A shared dictionary, as the writer sees it.

#[cfg(test)]
pub(crate) mod fake;

/// Why a dictionary did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// There is no room, and nothing was evicted. A value that was there before may be gone: see [`Zone::set`].
    #[error("no memory")]
    Full,
    /// nginx is taking its memory down, or has.
    #[error("this process is ending")]
    Closed,
    /// A key or a value is longer than a dictionary can say.
    #[error("a key or a value is too long")]
    TooLong,
    /// Something else, in the words of the dictionary.
    #[error("{0}")]
    Other(String),
}

/// Room, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Of the whole dictionary.
    pub(crate) capacity: usize,
    /// In pages of which nothing is used. What is free in other pages is not counted.
    pub(crate) free: usize,
}

/// A shared dictionary. Each call is atomic for all who read and write it.
pub(crate) trait Zone {
    /// The text under a key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// The number under a key; `None` where there is none or something else.
    fn number(&self, key: &str) -> Result<Option<f64>, Error>;

    /// Stores a text without ever evicting another key. A text of the same length as the one that is there always fits.
    /// For one of another length the old one is given up first, so on [`Error::Full`] the key is gone.
    fn set(&self, key: &str, value: &[u8]) -> Result<(), Error>;

    /// Stores a number.
    fn set_number(&self, key: &str, value: f64) -> Result<(), Error>;

    /// Removes a key, whether it is there or not.
    fn delete(&self, key: &str) -> Result<(), Error>;

    /// How much room there is; `None` where the dictionary cannot say.
    fn space(&self) -> Option<Space>;
}

/// What nginx keeps beside key and value.
const NODE: usize = 68;

/// What one key takes of a dictionary's memory.
///
/// nginx allocates powers of two up to half a page and whole pages above, for the node, the key and the value.
pub(crate) fn footprint(key: usize, value: usize) -> usize {
    const PAGE: usize = 4096;
    let bytes = NODE + key + value;
    if bytes <= PAGE / 2 {
        bytes.next_power_of_two()
    } else {
        bytes.next_multiple_of(PAGE)
    }
}

/// How long a value can be in the memory that one of some length takes.
pub(crate) fn room(key: usize, value: usize) -> usize {
    footprint(key, value) - NODE - key
}

#[cfg(test)]
mod tests {
    use super::{footprint, room};

    #[test]
    fn memory_is_taken_in_powers_of_two_and_in_pages() {
        for (key, value, expected) in [
            (10, 50, 128),
            (10, 51, 256),
            (20, 500, 1024),
            (20, 1960, 2048),
            (20, 1961, 4096),
            (20, 5000, 8192),
        ] {
            assert_eq!(footprint(key, value), expected, "{key} {value}");
            assert_eq!(footprint(key, room(key, value)), expected, "{key} {value}");
            assert!(footprint(key, room(key, value) + 1) > expected, "{key} {value}");
        }
    }
}
