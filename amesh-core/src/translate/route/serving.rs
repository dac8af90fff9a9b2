//! What the connection managers that use a route configuration do with its requests.

use crate::apisix::plugin::PathForm;

/// What connection managers do with the requests of a route configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Serving {
    /// Whether WebSocket upgrades are passed on.
    pub(crate) websocket: bool,
    /// Whether the header that tells of a client's certificate is removed from requests.
    pub(crate) removes_client_cert: bool,
    /// How paths are written before a route is looked for.
    pub(crate) path: PathForm,
    /// Which address of X-Forwarded-For is taken for the client's, counted from the end.
    pub(crate) client_hop: Option<u32>,
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
    };

    /// What is safe where two connection managers use the same routes.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            websocket: self.websocket && other.websocket,
            removes_client_cert: self.removes_client_cert || other.removes_client_cert,
            path: PathForm {
                normalize: self.path.normalize || other.path.normalize,
                merge_slashes: self.path.merge_slashes || other.path.merge_slashes,
                escaped_slashes: self.path.escaped_slashes.max(other.path.escaped_slashes),
            },
            client_hop: self.client_hop.filter(|_| self.client_hop == other.client_hop),
        }
    }
}
