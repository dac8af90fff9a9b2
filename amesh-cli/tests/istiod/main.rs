//! Translation from a real istiod. `AMESH_ISTIOD` names a built `fixtures/istiod`; without it these tests say that they
//! were skipped.

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/apisix.rs"]
mod apisix;
#[path = "../support/istiod.rs"]
mod istiod;
#[path = "../support/workload.rs"]
mod workload;

mod capture;
mod dataplane;
mod live;
mod recording;
mod watch;
