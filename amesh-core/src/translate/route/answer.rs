//! What becomes of the requests that a route takes.

use super::rewrite::Changed;
use crate::apisix::plugin::{Abort, AmeshAnswer, Plugins, Redirect, TrafficSplit};
use crate::apisix::{Id, Timeout};

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

/// What a route does with its requests.
#[derive(Debug)]
pub(super) struct Served {
    /// `None`: the operator permitted the route to be left out.
    pub(super) answer: Option<Answer>,
    /// Whether WebSocket upgrades are passed on; `None`: as the connection manager says.
    pub(super) websocket: Option<bool>,
    /// `None`: the upstream's own.
    pub(super) timeout: Option<Timeout>,
    /// Path and host on the way to the upstream.
    pub(super) changed: Changed,
    /// What else happens to the requests.
    pub(super) plugins: Plugins,
}

impl Served {
    /// An answer and nothing else.
    pub(super) fn answered(answer: Option<Answer>) -> Self {
        Self {
            answer,
            websocket: None,
            timeout: None,
            changed: Changed::default(),
            plugins: Plugins::default(),
        }
    }
}
