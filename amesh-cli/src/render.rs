//! How things look: objects as files, findings and tables as text, JSON and SARIF.

pub(crate) mod apisix_yaml;
pub(crate) mod coverage;
pub(crate) mod diff;
pub(crate) mod event;
pub(crate) mod explain;
pub(crate) mod finding;
pub(crate) mod objects;
pub(crate) mod report;
pub(crate) mod sarif;
pub(crate) mod style;
mod tree;
