//! What becomes of the requests that a route takes.

use crate::apisix::Id;
use crate::apisix::plugin::{Plugins, TrafficSplit};

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Upstream(Id),
    Split(TrafficSplit),
    /// A status without a body, given by Amesh itself.
    Status(u32),
    /// What these plugins answer.
    Own(Box<Plugins>),
}
