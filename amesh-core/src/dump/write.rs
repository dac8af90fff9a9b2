//! Resources that came over the wire, written as Envoy's `/config_dump?include_eds` prints them.

mod document;
mod json;
mod redact;
mod resource;
mod response;

use std::fmt;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::Any;

use crate::decode::ResourceType;

pub use response::{Response, write_response};

/// A resource as the control plane sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Captured {
    /// Its type and its bytes.
    pub resource: Any,
    /// Its version; empty when there is none to tell.
    pub version: String,
}

/// How a dump is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Private keys and other secrets are written, and not `[redacted]`.
    pub keep_secrets: bool,
}

/// A written dump.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// JSON, with a line break at the end.
    pub json: Vec<u8>,
    /// What is not in it.
    pub left_out: Vec<LeftOut>,
}

/// A resource that is not written, or the node, of which something is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its type, as it was sent.
    pub type_url: String,
    /// Its name, when that much is known.
    pub name: Option<String>,
    /// Why.
    pub reason: &'static str,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ResourceType::from_type_url(&self.type_url) {
            Some(kind) => write!(f, "{kind}")?,
            None => write!(f, "{}", self.type_url)?,
        }
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, " is left out: {}", self.reason)
    }
}

/// Writes a dump of resources, and of the proxy that they are for: its node tells a reader what kind of proxy it is.
///
/// It has the shape of Envoy's `/config_dump?include_eds`, with every resource active. Resources are sorted by type and
/// name; of two with one name a reader takes the later. The same resources give the same bytes.
///
/// ```
/// use amesh_core::dump::{self, Captured, WriteOptions};
/// use amesh_core::envoy_types::pb::google::protobuf::Any;
///
/// let cluster = Any {
///     type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
///     value: b"\x0a\x01a".to_vec(),
/// };
/// let captured = [Captured { resource: cluster, version: "1".to_owned() }];
/// let written = dump::write(None, &captured, &WriteOptions::default());
/// assert!(written.left_out.is_empty());
/// assert_eq!(dump::read(&written.json)?.resources[0].name, "a");
/// # Ok::<(), dump::Error>(())
/// ```
///
/// # What is lost
///
/// Nothing but secrets: [`read`](super::read()) gives the same resources as [`decode`](crate::decode()) does, with what is
/// unknown in them, and rejects the same. Each resource is read back when it is written, and one that its JSON does not say
/// whole, because it has fields that these types lack or does not decode, is written as its bytes:
/// `{"@type": "...", "value": "BASE64"}`. So is an extension of a type that is not known, in its place in the resource.
/// Other readers than this one do not understand that form.
///
/// # Secrets
///
/// A dump gets pasted into reports. The fields that Envoy's API marks as sensitive, such as private keys, read
/// `[redacted]` in whichever resource they are, as Envoy prints them. A resource whose secrets cannot be told for certain is
/// left out, and [`Written::left_out`] says so:
///
/// - a secret that does not decode or has anything that these types lack;
/// - a resource with fields that these types lack beside a sensitive field;
/// - one that has the text of a private key where none belongs: with a certificate, or in what cannot be read.
///
/// Whatever else an extension of an unknown type holds is written. [`WriteOptions::keep_secrets`] writes everything.
///
/// # Cost
///
/// Memory beside what comes in and goes out is that of one resource. Ten thousand services of five pods, 24 MB on the wire,
/// took 2.6 s on one core and became 87 MB of JSON; `cargo bench -p amesh-core --bench dump` compares it with reading.
#[must_use]
pub fn write(node: Option<&Node>, resources: &[Captured], options: &WriteOptions) -> Written {
    document::write(node, resources, options)
}
