//! What becomes of the requests that a route takes.

use crate::apisix::Id;
use crate::apisix::plugin::{Abort, AmeshAnswer, Redirect, TrafficSplit, WeightedClusters};

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Upstream(Id),
    /// Shared out by APISIX's own plugin.
    Split(TrafficSplit),
    /// Shared out by Amesh's plugin.
    Clusters(WeightedClusters),
    /// A status without a body, given by Amesh itself.
    Status(u32),
    /// A redirect by APISIX's own plugin.
    Redirect(Redirect),
    /// A direct response by APISIX's own plugin.
    Abort(Abort),
    /// A redirect or a direct response by Amesh's plugin.
    Amesh(AmeshAnswer),
}

impl Answer {
    /// Whether requests go to an upstream.
    pub(super) const fn forwards(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Split(_) | Self::Clusters(_) => true,
            Self::Status(_) | Self::Redirect(_) | Self::Abort(_) | Self::Amesh(_) => false,
        }
    }
}
