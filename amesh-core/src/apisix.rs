//! What Apache APISIX stores: its objects as data, with no Envoy in them and no logic.
//!
//! Field names and limits are those of APISIX 3.x's own schemas (`GET /v1/schema` of the control API). An absent field
//! is `None`, never a default filled in; a zero is written as a zero.

mod expr;
mod id;
pub mod plugin;
mod route;
mod upstream;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub use expr::{Expr, Operator, Value};
pub use id::Id;
pub use plugin::Plugins;
pub use route::Route;
pub use upstream::{
    ActiveCheck, ActiveHealthy, ActiveUnhealthy, Balancer, Checks, KeepalivePool, Node, NodeMetadata, PassHost,
    PassiveCheck, PassiveHealthy, PassiveUnhealthy, Scheme, Timeout, Upstream, UpstreamLabels,
};

/// The kinds of objects, in the order in which they must be written: what is referred to comes before what refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `/upstreams`
    Upstreams,
    /// `/routes`
    Routes,
}

impl Kind {
    /// Every kind, in the order in which they must be written.
    pub const ALL: [Self; 2] = [Self::Upstreams, Self::Routes];

    /// The name of the kind in keys and in `apisix.yaml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upstreams => "upstreams",
            Self::Routes => "routes",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The key of an object in APISIX's configuration: `/routes/9080.reviews.default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind.
    pub kind: Kind,
    /// The id within its kind.
    pub id: Id,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.kind, self.id)
    }
}

/// An object of any kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Object {
    /// An upstream.
    Upstream(Box<Upstream>),
    /// A route.
    Route(Box<Route>),
}

impl Object {
    /// The key under which APISIX stores this object.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Upstream(upstream) => Key {
                kind: Kind::Upstreams,
                id: upstream.id.clone(),
            },
            Self::Route(route) => Key {
                kind: Kind::Routes,
                id: route.id.clone(),
            },
        }
    }
}

/// Objects by key.
pub type Objects = BTreeMap<Key, Arc<Object>>;
