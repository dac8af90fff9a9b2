//! What becomes of the requests that a route takes.

use crate::apisix::Id;
use crate::apisix::plugin::{Abort, AmeshAnswer, Redirect, TrafficSplit};

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Upstream(Id),
    Split(TrafficSplit),
    /// A status without a body, given by Amesh itself.
    Status(u32),
    /// A redirect by APISIX's own plugin.
    Redirect(Redirect),
    /// A direct response by APISIX's own plugin.
    Abort(Abort),
    /// A redirect or a direct response by Amesh's plugin.
    Amesh(AmeshAnswer),
}
