//! What the translator promises, checked on every fixture: the outputs, the coverage table, APISIX's own schema, and
//! the laws of plans and updates.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read fixtures and settings; the library does not"
)]

mod apisix_schema;
mod coverage;
mod fixture;
mod golden;
mod laws;
mod no_panic;
mod reflect;
mod scenario;
