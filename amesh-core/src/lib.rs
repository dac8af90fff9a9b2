//! Maps Envoy's xDS resources, as Istio sends them, to Apache APISIX objects, with a finding for everything that is not
//! carried over.
#![warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")
)]

pub mod apisix;
pub mod coverage;
pub mod decode;
mod descriptor;
pub mod dump;
mod feature;
mod field_path;
pub mod finding;
mod options;
pub mod plan;
mod regex;
mod rule;
mod snapshot;
mod translate;

/// Envoy's API as Rust types: the release whose fields [`coverage`] accounts for.
pub use envoy_types;

pub use decode::{Rejected, Resource, ResourceType, decode};
pub use finding::{Finding, Outcome, Rule};
pub use options::{Arrival, Options, Target};
pub use plan::{Change, ChangeSet, plan};
pub use snapshot::{Dirty, Snapshot, Update};
pub use translate::{Translation, Updated, translate};

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
