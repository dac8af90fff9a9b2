//! Values that many messages share and that are no resources of their own.

pub(crate) mod address;
pub(crate) mod duration;
pub(crate) mod format;
pub(crate) mod fraction;
pub(crate) mod string_match;
