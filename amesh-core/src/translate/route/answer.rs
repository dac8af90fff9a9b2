//! What becomes of the requests that a route takes.

use crate::apisix::Id;
use crate::apisix::plugin::TrafficSplit;

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Upstream(Id),
    Split(TrafficSplit),
    Status { status: u32, body: String },
}
