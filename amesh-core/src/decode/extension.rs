//! The one table of typed configurations: which `Any` is which extension.

use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{DownstreamTlsContext, UpstreamTlsContext};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

/// The type URL under which a JSON dump's configuration of an unknown type is kept, as `amesh.v1.RawJson`.
pub(crate) const RAW_JSON: &str = "type.googleapis.com/amesh.v1.RawJson";

/// The full protobuf name of an `Any`'s message, without the URL's host.
pub(crate) fn message_name(any: &Any) -> &str {
    any.type_url.rsplit('/').next().unwrap_or(&any.type_url)
}

/// Decodes an `Any` that must hold an `M`; `None` when it holds something else.
pub(crate) fn decode<M: Message + Name + Default>(any: &Any) -> Option<Result<M, prost::DecodeError>> {
    (message_name(any) == M::full_name()).then(|| M::decode(any.value.as_slice()))
}

/// What a transport socket's configuration says about the connection.
#[derive(Debug)]
pub(crate) enum TransportSocketConfig {
    /// TLS offered to clients.
    DownstreamTls,
    /// TLS spoken to upstreams.
    UpstreamTls(Box<UpstreamTlsContext>),
    /// No TLS.
    RawBuffer,
    /// Another extension, by its message name, or one that does not decode.
    Other(String),
}

/// Reads the configuration of a transport socket.
pub(crate) fn transport_socket(any: &Any) -> TransportSocketConfig {
    let name = message_name(any);
    if name == DownstreamTlsContext::full_name() {
        return TransportSocketConfig::DownstreamTls;
    }
    if name == UpstreamTlsContext::full_name() {
        return UpstreamTlsContext::decode(any.value.as_slice()).map_or_else(
            |error| TransportSocketConfig::Other(error.to_string()),
            |tls| TransportSocketConfig::UpstreamTls(Box::new(tls)),
        );
    }
    if name == RawBuffer::full_name() {
        return TransportSocketConfig::RawBuffer;
    }
    TransportSocketConfig::Other(name.to_owned())
}

/// Reads a network filter's configuration as an HTTP connection manager, if it is one.
pub(crate) fn http_connection_manager(any: &Any) -> Option<Result<HttpConnectionManager, prost::DecodeError>> {
    decode(any)
}

/// Reads a cluster's HTTP protocol options, if that is what the `Any` holds.
pub(crate) fn http_protocol_options(any: &Any) -> Option<Result<HttpProtocolOptions, prost::DecodeError>> {
    decode(any)
}
