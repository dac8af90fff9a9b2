//! `Any` to typed resource: one entry function, one check per resource of what Envoy itself refuses.

mod check;
mod cluster;
mod endpoint;
pub(crate) mod extension;
mod header;
mod listener;
mod route;
mod schema;
mod unknown;
pub(crate) mod wire;

use std::fmt;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use prost::Message as _;
use serde::Serialize;

use crate::field_path::Path;

/// The resource types that Amesh understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ResourceType {
    /// `envoy.config.listener.v3.Listener`
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration`
    RouteConfiguration,
    /// `envoy.config.cluster.v3.Cluster`
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`
    ClusterLoadAssignment,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`
    Secret,
    /// `envoy.config.core.v3.TypedExtensionConfig`, which ECDS carries.
    TypedExtensionConfig,
}

impl ResourceType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::Listener,
        Self::RouteConfiguration,
        Self::Cluster,
        Self::ClusterLoadAssignment,
        Self::Secret,
        Self::TypedExtensionConfig,
    ];

    /// The full protobuf name of the message.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Listener => "envoy.config.listener.v3.Listener",
            Self::RouteConfiguration => "envoy.config.route.v3.RouteConfiguration",
            Self::Cluster => "envoy.config.cluster.v3.Cluster",
            Self::ClusterLoadAssignment => "envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::TypedExtensionConfig => "envoy.config.core.v3.TypedExtensionConfig",
        }
    }

    /// The type of that full protobuf name or type URL.
    #[must_use]
    pub fn from_type_url(url: &str) -> Option<Self> {
        let name = url.rsplit('/').next().unwrap_or(url);
        Self::ALL.into_iter().find(|kind| kind.message() == name)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.message();
        f.pad(name.rsplit('.').next().unwrap_or(name))
    }
}

/// A decoded resource. Cloning it is cheap.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its name, as Envoy knows it: a load assignment's is its `cluster_name`.
    pub name: String,
    /// The message.
    pub body: Body,
    /// What is newer than Amesh's types: fields, enum values and types of extensions, sorted by path.
    pub unknown: Vec<Unknown>,
}

/// The message of a resource. What is in a secret is not shown by `Debug`.
#[derive(Clone, PartialEq)]
pub enum Body {
    /// A listener.
    Listener(Arc<Listener>),
    /// A route configuration.
    RouteConfiguration(Arc<RouteConfiguration>),
    /// A cluster.
    Cluster(Arc<Cluster>),
    /// The endpoints of a cluster.
    ClusterLoadAssignment(Arc<ClusterLoadAssignment>),
    /// A certificate, key or trust anchor.
    Secret(Arc<Secret>),
    /// An extension's configuration.
    TypedExtensionConfig(Arc<TypedExtensionConfig>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, message): (_, &dyn fmt::Debug) = match self {
            Self::Listener(message) => ("Listener", message),
            Self::RouteConfiguration(message) => ("RouteConfiguration", message),
            Self::Cluster(message) => ("Cluster", message),
            Self::ClusterLoadAssignment(message) => ("ClusterLoadAssignment", message),
            Self::Secret(_) => ("Secret", &format_args!("[redacted]")),
            Self::TypedExtensionConfig(message) => ("TypedExtensionConfig", message),
        };
        f.debug_tuple(kind).field(message).finish()
    }
}

impl Body {
    /// The type of the resource.
    #[must_use]
    pub const fn kind(&self) -> ResourceType {
        match self {
            Self::Listener(_) => ResourceType::Listener,
            Self::RouteConfiguration(_) => ResourceType::RouteConfiguration,
            Self::Cluster(_) => ResourceType::Cluster,
            Self::ClusterLoadAssignment(_) => ResourceType::ClusterLoadAssignment,
            Self::Secret(_) => ResourceType::Secret,
            Self::TypedExtensionConfig(_) => ResourceType::TypedExtensionConfig,
        }
    }
}

impl Body {
    /// The message as it would come over the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Listener(message) => message.encode_to_vec(),
            Self::RouteConfiguration(message) => message.encode_to_vec(),
            Self::Cluster(message) => message.encode_to_vec(),
            Self::ClusterLoadAssignment(message) => message.encode_to_vec(),
            Self::Secret(message) => message.encode_to_vec(),
            Self::TypedExtensionConfig(message) => message.encode_to_vec(),
        }
    }
}

/// Something on the wire that Amesh's types do not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unknown {
    /// The place, from the resource down: `virtual_hosts[0].routes[1].match.#99`.
    pub path: String,
    /// What was found there: `field 99`, `enum value 7`, `field "new_name"`.
    pub what: String,
}

/// A resource that is not used, alone; its neighbours are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", subject(.kind.as_ref(), .name.as_deref()))]
pub struct Rejected {
    /// Its type, when that much is known.
    pub kind: Option<ResourceType>,
    /// Its name, when that much is known.
    pub name: Option<String>,
    /// Why.
    pub reason: Reason,
}

fn subject(kind: Option<&ResourceType>, name: Option<&str>) -> String {
    match (kind, name) {
        (Some(kind), Some(name)) => format!("{kind} {name:?}: "),
        (Some(kind), None) => format!("{kind}: "),
        (None, Some(name)) => format!("{name:?}: "),
        (None, None) => String::new(),
    }
}

/// A place that may be the resource itself.
fn place(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

/// Why a resource is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes are not a message of that type.
    #[error("malformed protobuf: {0}")]
    Malformed(String),
    /// The JSON is not a message of that type.
    #[error("{}{message}", place(.path))]
    Json {
        /// The place in the document.
        path: String,
        /// What is wrong there.
        message: String,
    },
    /// The type is none of a mesh's resource types.
    #[error("resource type {0:?} is not one that a mesh sends to a proxy")]
    UnknownType(String),
    /// The resource has no name.
    #[error("the resource has no name")]
    Nameless,
    /// Envoy refuses this configuration.
    #[error("{}{message}", place(.path))]
    Invalid {
        /// The field.
        path: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Reason {
    pub(crate) fn json(at: Path<'_>, message: &str) -> Self {
        Self::Json {
            path: at.to_string(),
            message: message.to_owned(),
        }
    }
}

/// Decodes a resource from its type URL and its bytes.
///
/// # Errors
///
/// [`Rejected`] when the bytes are not a message of that type, or when Envoy would refuse the configuration.
pub fn decode(type_url: &str, bytes: &[u8]) -> Result<Resource, Rejected> {
    let Some(kind) = ResourceType::from_type_url(type_url) else {
        return Err(Rejected {
            kind: None,
            name: None,
            reason: Reason::UnknownType(type_url.to_owned()),
        });
    };
    let malformed = |error: prost::DecodeError| Rejected {
        kind: Some(kind),
        name: None,
        reason: Reason::Malformed(error.to_string()),
    };
    let (name, body) = match kind {
        ResourceType::Listener => {
            let message: Arc<Listener> = merged(bytes).map_err(malformed)?;
            (message.name.clone(), Body::Listener(message))
        }
        ResourceType::RouteConfiguration => {
            let message: Arc<RouteConfiguration> = merged(bytes).map_err(malformed)?;
            (message.name.clone(), Body::RouteConfiguration(message))
        }
        ResourceType::Cluster => {
            let message: Arc<Cluster> = merged(bytes).map_err(malformed)?;
            (message.name.clone(), Body::Cluster(message))
        }
        ResourceType::ClusterLoadAssignment => {
            let message: Arc<ClusterLoadAssignment> = merged(bytes).map_err(malformed)?;
            (message.cluster_name.clone(), Body::ClusterLoadAssignment(message))
        }
        ResourceType::Secret => {
            let message: Arc<Secret> = merged(bytes).map_err(malformed)?;
            (message.name.clone(), Body::Secret(message))
        }
        ResourceType::TypedExtensionConfig => {
            let message: Arc<TypedExtensionConfig> = merged(bytes).map_err(malformed)?;
            (message.name.clone(), Body::TypedExtensionConfig(message))
        }
    };
    if name.is_empty() {
        return Err(Rejected {
            kind: Some(kind),
            name: None,
            reason: Reason::Nameless,
        });
    }
    if let Err(reason) = check(&body) {
        return Err(Rejected {
            kind: Some(kind),
            name: Some(name),
            reason,
        });
    }
    Ok(Resource {
        name,
        body,
        unknown: unknown::find(kind.message(), bytes),
    })
}

/// Decodes a message where it stays: a cluster is four kilobytes that need not be moved.
fn merged<M: prost::Message + Default>(bytes: &[u8]) -> Result<Arc<M>, prost::DecodeError> {
    let mut message = Arc::<M>::default();
    if let Some(message) = Arc::get_mut(&mut message) {
        message.merge(bytes)?;
    }
    Ok(message)
}

/// Refuses what Envoy refuses, as far as it is known to.
fn check(body: &Body) -> check::Checked {
    match body {
        Body::Listener(listener) => listener::check(listener),
        Body::RouteConfiguration(config) => route::check(config, Path::root()),
        Body::Cluster(cluster) => cluster::check(cluster),
        Body::ClusterLoadAssignment(assignment) => endpoint::check(assignment, true, Path::root()),
        Body::Secret(_) | Body::TypedExtensionConfig(_) => Ok(()),
    }
}
