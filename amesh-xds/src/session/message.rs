//! What goes into a session and what comes out.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use amesh_core::finding::ResourceName;
use amesh_core::{Rejected, ResourceType, Update};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A stream is open.
    Connected {
        /// Whether it leads to the server of the stream before: the versions of one server mean nothing to another.
        same_server: bool,
    },
    /// The control plane sent something.
    Response(Response),
    /// The consumer has dealt with the last delivery.
    Verdict(Verdict),
    /// What is wanted by name changed.
    Subscribe(Changes),
    /// The stream is gone.
    Closed,
    /// It is that long since some fixed moment. Send one before any other event, and when [`Session::deadline`](super::Session::deadline) comes.
    Tick(Duration),
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "an action lives no longer than it takes to carry it out"
)]
pub enum Action {
    /// Send a request on the stream.
    Send(Request),
    /// Hand this to the consumer, and its verdict back as [`Event::Verdict`]. There is at most one at a time.
    Deliver(Delivery),
    /// A response was refused, wholly or in part, for another reason than the last one of its type.
    Refused {
        /// The type.
        kind: ResourceType,
        /// What the control plane is told.
        message: String,
    },
    /// Resources that the control plane did not send in time. They may still come.
    Absent(Vec<ResourceName>),
}

/// A message to the control plane.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// State of the world.
    StateOfTheWorld(DiscoveryRequest),
    /// Delta.
    Delta(DeltaDiscoveryRequest),
}

/// A message of the control plane. Its resources are not shown by `Debug`: they may be secrets, and many.
#[derive(Clone, PartialEq)]
pub enum Response {
    /// State of the world.
    StateOfTheWorld(DiscoveryResponse),
    /// Delta.
    Delta(DeltaDiscoveryResponse),
}

/// What a response changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// The type of the response.
    pub kind: ResourceType,
    /// Its version.
    pub version: String,
    /// Resources that are new or differ in their bytes, and resources that are gone.
    pub update: Update,
    /// Resources that are not used; the last good version of each stays.
    pub rejected: Vec<Rejected>,
    /// Every name that the response tells something of: of what changed, came again as it is held, is bad, or is gone.
    pub answered: BTreeSet<String>,
    /// Whether the response was about every resource of its type: in state of the world one of clusters or listeners is.
    pub full: bool,
    /// Resources that the control plane took away and that are kept, because something still refers to them or because
    /// [`Options::keep_when_all_removed`](super::Options::keep_when_all_removed) says so.
    pub kept: Vec<ResourceName>,
}

/// What the consumer says to a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Resources that it does not use, and why. Their last good versions must stay in place.
    pub rejected: Vec<(ResourceName, String)>,
    /// What is wanted by name because of the delivery.
    pub changes: Changes,
}

/// Changes of what is wanted by name. Wildcard types are always wanted whole and are ignored here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Resources that are wanted from now on.
    pub wanted: BTreeSet<ResourceName>,
    /// Resources that are no longer wanted. The session forgets them, and the consumer has to.
    pub unwanted: BTreeSet<ResourceName>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, nonce, resources) = match self {
            Self::StateOfTheWorld(response) => ("StateOfTheWorld", &response.nonce, response.resources.len()),
            Self::Delta(response) => ("Delta", &response.nonce, response.resources.len()),
        };
        let mut shown = f.debug_struct(name);
        shown.field("type_url", &self.type_url()).field("nonce", nonce);
        shown.field("resources", &resources).finish_non_exhaustive()
    }
}

impl Response {
    pub(super) fn type_url(&self) -> &str {
        match self {
            Self::StateOfTheWorld(response) => &response.type_url,
            Self::Delta(response) => &response.type_url,
        }
    }
}
