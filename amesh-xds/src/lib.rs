//! A client of an xDS control plane, such as istiod: it subscribes, follows what resources refer to, acknowledges or
//! refuses, and hands on what changed.
//!
//! [`session`] holds the protocol as a state machine that knows neither a network nor a clock. [`Replica`] keeps what the
//! control plane sent and works out what else to subscribe to. [`stream`] connects a session to a control plane over gRPC,
//! and [`node`] says who asks.
//!
//! Nothing here knows what becomes of the resources; nothing here prints, exits or reads the environment.
//!
//! A session with a control plane that answers with one cluster:
//!
//! ```
//! use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
//! use amesh_core::envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
//! use amesh_core::envoy_types::pb::google::protobuf::Any;
//! use amesh_xds::session::{Action, Event, Options, Request, Response, Session};
//! use amesh_xds::Replica;
//! use prost::Message as _;
//!
//! let mut session = Session::new(Options::default());
//! let mut replica = Replica::new();
//!
//! // A stream is open: the session asks for all clusters.
//! let actions = session.handle(Event::Connected { same_server: true });
//! let [Action::Send(Request::StateOfTheWorld(request))] = actions.as_slice() else { panic!() };
//! assert!(request.type_url.ends_with("Cluster") && request.resource_names.is_empty());
//!
//! // The control plane answers, and what changed goes to the consumer.
//! let cluster = Cluster { name: "reviews".into(), ..Cluster::default() };
//! let actions = session.handle(Event::Response(Response::StateOfTheWorld(DiscoveryResponse {
//!     version_info: "1".into(),
//!     nonce: "a".into(),
//!     type_url: request.type_url.clone(),
//!     resources: vec![Any { type_url: request.type_url.clone(), value: cluster.encode_to_vec() }],
//!     ..DiscoveryResponse::default()
//! })));
//! let Some(Action::Deliver(delivery)) = actions.into_iter().next() else { panic!() };
//! assert_eq!(delivery.update.put[0].name, "reviews");
//!
//! // The consumer applies it; its verdict becomes the acknowledgement, after the request for all listeners.
//! let (_dirty, verdict) = replica.apply(delivery.update);
//! let actions = session.handle(Event::Verdict(verdict));
//! let Some(Action::Send(Request::StateOfTheWorld(ack))) = actions.last() else { panic!() };
//! assert_eq!((ack.version_info.as_str(), ack.response_nonce.as_str()), ("1", "a"));
//! ```

pub mod backoff;
pub mod node;
pub mod server;
pub mod session;
pub mod stream;
pub mod workload;

mod replica;

pub use replica::Replica;
