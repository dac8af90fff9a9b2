//! What the connection managers that use a route configuration do with its requests.

use std::sync::Arc;

use super::path::FORMS;
use crate::apisix::plugin::{Manager, PathForm};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static HEADERS_DIFFER: Rule = Rule::new(
    "connection-manager-headers-differ",
    Outcome::Approximated,
    "listeners with the same routes do different things to headers of their own",
    "What a connection manager does to headers that are not its routes' (its name in Server, ids of requests, what clients \
     say of themselves) becomes part of each route. Where several connection managers use a route configuration and do not \
     do the same, the routes do what one of them does: one that believes clients least.",
    "configure the connection managers alike, or give each a route configuration of its own",
);

/// What connection managers do with the requests of a route configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Serving {
    /// Whether WebSocket upgrades are passed on.
    pub(crate) websocket: bool,
    /// Whether the header that tells of a client's certificate is removed from requests.
    pub(crate) removes_client_cert: bool,
    /// How paths are written before a route is looked for.
    pub(crate) path: PathForm,
    /// Which address of X-Forwarded-For is taken for the client's, counted from the end.
    pub(crate) client_hop: Option<u32>,
    /// What happens to headers that are not the routes'; `None`: what Envoy does by default.
    pub(crate) manager: Option<Arc<Manager>>,
}

impl Serving {
    /// As Istio has it at every listener.
    pub(crate) const ISTIO: Self = Self {
        websocket: true,
        removes_client_cert: true,
        path: PathForm {
            normalize: true,
            merge_slashes: false,
            escaped_slashes: None,
        },
        client_hop: None,
        manager: None,
    };

    /// What connection managers that use the same routes do with their requests; `None` where there are none.
    pub(crate) fn shared<'a>(mut all: impl Iterator<Item = &'a Self>, findings: &Findings) -> Option<Self> {
        let first = all.next()?;
        let (mut headers, mut paths) = (false, false);
        let shared = all.fold(first.clone(), |shared, other| {
            headers |= other.manager != first.manager;
            paths |= other.path != first.path;
            shared.and(other)
        });
        findings.add_if(headers, &HEADERS_DIFFER, Path::root());
        let amesh = findings.options().target == Target::Amesh;
        findings.add_if(amesh && paths, &FORMS, Path::root());
        Some(shared)
    }

    /// Whether a route's changes of the Server header last: else the connection manager overwrites it.
    pub(crate) fn keeps_server(&self) -> bool {
        self.manager.as_ref().is_some_and(|manager| manager.upstream_server)
    }

    /// What is safe where two connection managers use the same routes.
    fn and(self, other: &Self) -> Self {
        Self {
            websocket: self.websocket && other.websocket,
            removes_client_cert: self.removes_client_cert || other.removes_client_cert,
            path: PathForm {
                normalize: self.path.normalize || other.path.normalize,
                merge_slashes: self.path.merge_slashes || other.path.merge_slashes,
                escaped_slashes: self.path.escaped_slashes.max(other.path.escaped_slashes),
            },
            client_hop: self.client_hop.filter(|_| self.client_hop == other.client_hop),
            manager: less_trusting(self.manager, other.manager.clone()),
        }
    }
}

/// The one that believes clients less.
fn less_trusting(one: Option<Arc<Manager>>, other: Option<Arc<Manager>>) -> Option<Arc<Manager>> {
    let trust = |manager: &Option<Arc<Manager>>| {
        let edge = manager.as_ref().and_then(|manager| manager.edge);
        (edge.is_none(), edge)
    };
    if (trust(&other), &other) < (trust(&one), &one) {
        other
    } else {
        one
    }
}
