//! What becomes of a publish.

use super::peril::MOST;
use crate::zone::Error;

/// Why something was not published. It is tried again with the next publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Another library writes now, and this one never does again.
    #[error("another process has taken over")]
    Superseded,
    /// Nobody lives who touches the dictionary: it is left alone.
    #[error(
        "nginx's memory is damaged: {MOST} processes in a row ended while they worked on it. What was published last goes \
         on serving where it is loaded already; restart APISIX (a reload keeps the memory)"
    )]
    Damaged,
    /// A value could not be stored, and the one before it is in place.
    #[error("{key}: {error}")]
    Store {
        /// The key.
        key: String,
        /// Why.
        error: Error,
    },
    /// A value could not be stored, and neither could the one before it: the key is not there now.
    #[error("{key}: {error}, and the value before it is lost")]
    Lost {
        /// The key.
        key: String,
        /// Why.
        error: Error,
    },
}

impl Failure {
    pub(super) fn at(key: &str) -> impl FnOnce(Error) -> Self {
        let key = key.to_owned();
        |error| Self::Store { key, error }
    }

    /// Whether there is no use in trying again.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Superseded
                | Self::Damaged
                | Self::Store {
                    error: Error::Closed,
                    ..
                }
                | Self::Lost {
                    error: Error::Closed,
                    ..
                }
        )
    }
}

/// What a publish did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// The new version.
    pub(crate) version: u64,
    /// How many keys differ from the version before, as far as is known.
    pub(crate) changed: usize,
    /// Whether readers have to compare everything.
    pub(crate) everything: bool,
}

/// How full the dictionary of the configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Fill {
    /// Its size in bytes.
    pub(crate) capacity: usize,
    /// What its keys take, with what nginx rounds up.
    pub(crate) used: usize,
    /// What is in pages of which nothing is used.
    pub(crate) free_pages: usize,
    /// `used` of `capacity`.
    pub(crate) percent: usize,
}
