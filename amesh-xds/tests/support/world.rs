//! A session and its consumer that have a whole mesh, and what one response does to them.

use amesh_core::envoy_types::pb::google::protobuf::Any;
use amesh_core::{Options, ResourceType, Translation, decode, translate};
use amesh_xds::Replica;
use amesh_xds::session::{self, Action, Event, ORDER, Protocol, Response, Session};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};

use crate::mesh::Mesh;

/// Clusters of a mesh with mutual TLS have nodes only where that is permitted.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.permitted.insert("istio-mutual-tls".to_owned());
    options
}

/// A session with a control plane that speaks delta, and its consumer; both have the whole mesh.
pub(crate) struct World {
    session: Session,
    pub(crate) replica: Replica,
    pub(crate) translation: Translation,
    nonce: usize,
}

/// A resource as it comes in delta.
pub(crate) fn resource(name: &str, version: &str, kind: ResourceType, value: Vec<u8>) -> Resource {
    Resource {
        name: name.to_owned(),
        version: version.to_owned(),
        resource: Some(Any {
            type_url: format!("type.googleapis.com/{}", kind.message()),
            value,
        }),
        ..Resource::default()
    }
}

impl World {
    pub(crate) fn new(mesh: &Mesh) -> Self {
        let mut delta = session::Options::default();
        delta.protocol = Protocol::Delta;
        let mut world = Self {
            session: Session::new(delta),
            replica: Replica::new(),
            translation: translate(&amesh_core::Snapshot::new(), &options()),
            nonce: 0,
        };
        world.session.handle(Event::Connected { same_server: true });
        for kind in ORDER {
            let all = mesh.resources().filter(|(message, _)| *message == kind.message());
            let all = all.map(|(message, bytes)| {
                let name = decode(message, bytes).expect("a resource").name;
                resource(&name, "1", kind, bytes.to_vec())
            });
            let all: Vec<Resource> = all.collect();
            if !all.is_empty() {
                let response = world.response(kind, all);
                world.take(response);
            }
        }
        assert!(world.session.is_complete());
        world
    }

    /// A response in memory.
    pub(crate) fn response(&mut self, kind: ResourceType, resources: Vec<Resource>) -> Response {
        self.nonce += 1;
        Response::Delta(DeltaDiscoveryResponse {
            resources,
            type_url: format!("type.googleapis.com/{}", kind.message()),
            nonce: self.nonce.to_string(),
            ..DeltaDiscoveryResponse::default()
        })
    }

    /// From a response to the changes of objects and the acknowledgement. Gives how many of each.
    pub(crate) fn take(&mut self, response: Response) -> (usize, usize) {
        let mut actions = self.session.handle(Event::Response(response));
        let Some(Action::Deliver(delivery)) = actions.pop() else {
            panic!("{actions:?}");
        };
        let (dirty, verdict) = self.replica.apply(delivery.update);
        let updated = self.translation.update(self.replica.snapshot(), &dirty);
        let actions = self.session.handle(Event::Verdict(verdict));
        (updated.changes.changes.len(), actions.len())
    }
}
