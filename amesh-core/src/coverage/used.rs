//! Which fields a set of resources sets, and how often.

use std::collections::BTreeMap;

use envoy_types::pb::google::protobuf::Any;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::{extension, field};
use crate::decode::{Resource, extension::message_name};
use crate::descriptor;

/// Messages in messages are followed this far. Envoy's own configuration is some 20 deep.
const DEEPEST: usize = 256;

/// How often each field is set, and each extension configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Used {
    fields: BTreeMap<(String, String), u64>,
    extensions: BTreeMap<String, u64>,
}

impl Used {
    /// How often that field of that message is set; `None` for never.
    #[must_use]
    pub fn field(&self, message: &str, field: &str) -> Option<u64> {
        self.fields.get(&(message.to_owned(), field.to_owned())).copied()
    }

    /// How often an extension is configured by that message; `None` for never.
    #[must_use]
    pub fn extension(&self, message: &str) -> Option<u64> {
        self.extensions.get(message).copied()
    }

    /// What is set and stands in no row of the registry, with how often: fields as `message.field`, and messages of
    /// extensions that are not known at all.
    #[must_use]
    pub fn unowned(&self) -> Vec<(String, u64)> {
        let fields = self
            .fields
            .iter()
            .filter(|((message, name), _)| field(message, name).is_none());
        let fields = fields.map(|((message, name), times)| (format!("{message}.{name}"), *times));
        let unknown = |message: &str| extension(message).is_none() && descriptor::message(message).is_none();
        let extensions = self.extensions.iter().filter(|(message, _)| unknown(message));
        let extensions = extensions.map(|(message, times)| (message.clone(), *times));
        fields.chain(extensions).collect()
    }
}

/// Counts the fields that the resources set, those of nested messages and of extensions included.
///
/// An extension that the registry takes or refuses as a whole is counted once; its fields have no rows. Google's own
/// types, durations and wrappers, count as values.
#[must_use]
pub fn used_fields(resources: &[Resource]) -> Used {
    let mut used = Used::default();
    for resource in resources {
        let bytes = resource.body.encode();
        used.bytes(resource.body.kind().message(), &bytes, 0);
    }
    used
}

impl Used {
    /// A message by its full name. One that does not decode sets nothing.
    fn bytes(&mut self, name: &str, bytes: &[u8], depth: usize) {
        let decoded = descriptor::message(name).and_then(|of| DynamicMessage::decode(of, bytes).ok());
        if let Some(message) = decoded {
            self.message(&message, depth);
        }
    }

    fn message(&mut self, message: &DynamicMessage, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let descriptor = message.descriptor();
        let name = descriptor.full_name();
        if name == "google.protobuf.Any" {
            if let Ok(any) = message.transcode_to::<Any>() {
                self.any(&any, depth);
            }
            return;
        }
        if name.starts_with("google.protobuf.") {
            return;
        }
        for (field, value) in message.fields() {
            let key = (name.to_owned(), field.name().to_owned());
            *self.fields.entry(key).or_default() += 1;
            self.value(value, depth + 1);
        }
    }

    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Message(message) => self.message(message, depth),
            Value::List(list) => list.iter().for_each(|value| self.value(value, depth)),
            Value::Map(map) => map.values().for_each(|value| self.value(value, depth)),
            _ => {}
        }
    }

    fn any(&mut self, any: &Any, depth: usize) {
        let name = message_name(any);
        if name.is_empty() {
            return;
        }
        *self.extensions.entry(name.to_owned()).or_default() += 1;
        if extension(name).is_none() {
            self.bytes(name, &any.value, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::{TransportSocket, transport_socket::ConfigType};
    use envoy_types::pb::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
    use envoy_types::pb::google::protobuf::Duration;
    use prost::Name as _;

    use prost::Message as _;

    use super::*;
    use crate::decode::Body;

    fn cluster(socket: Any) -> Resource {
        let message = Cluster {
            name: "c".to_owned(),
            connect_timeout: Some(Duration { seconds: 1, nanos: 0 }),
            transport_socket: Some(TransportSocket {
                name: "own".to_owned(),
                config_type: Some(ConfigType::TypedConfig(socket)),
            }),
            ..Cluster::default()
        };
        Resource {
            name: message.name.clone(),
            body: Body::Cluster(Arc::new(message)),
            unknown: Vec::new(),
        }
    }

    fn any(type_url: String, value: Vec<u8>) -> Any {
        Any { type_url, value }
    }

    #[test]
    fn fields_are_counted_through_extensions_and_values_are_not_taken_apart() {
        // Not one that is taken or refused as a whole.
        type Socket = ProxyProtocolUpstreamTransport;
        let socket = Socket {
            allow_unspecified_address: true,
            ..Socket::default()
        };
        let resource = cluster(any(Socket::type_url(), socket.encode_to_vec()));
        let used = used_fields(&[resource.clone(), resource]);
        assert_eq!(
            used.field("envoy.config.cluster.v3.Cluster", "connect_timeout"),
            Some(2)
        );
        assert_eq!(
            used.field("envoy.config.core.v3.TransportSocket", "typed_config"),
            Some(2)
        );
        assert_eq!(used.extension(&Socket::full_name()), Some(2));
        assert_eq!(used.field(&Socket::full_name(), "allow_unspecified_address"), Some(2));
        assert_eq!(used.field("google.protobuf.Duration", "seconds"), None);
        assert_eq!(used.field("envoy.config.cluster.v3.Cluster", "lb_policy"), None);
    }

    #[test]
    fn an_extension_that_nobody_knows_is_named() {
        let resource = cluster(any("type.googleapis.com/example.Own".to_owned(), vec![0xff]));
        let used = used_fields(&[resource]);
        assert!(used.unowned().contains(&("example.Own".to_owned(), 1)), "{used:?}");
    }
}
