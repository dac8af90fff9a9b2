//! Translation from a real istiod. `AMESH_ISTIOD` names a built `fixtures/istiod`; without it these tests say that they
//! were skipped.

#[path = "../support/istiod.rs"]
mod istiod;

mod capture;
mod live;
mod recording;
mod watch;
