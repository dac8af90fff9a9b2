//! HTTP/2 to endpoints.

use envoy_types::pb::envoy::config::core::v3::Http2ProtocolOptions;

use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/http2",
    summary: "HTTP/2 to endpoints becomes the gRPC scheme; its parameters are nginx's.",
    messages: &[Message {
        name: "envoy.config.core.v3.Http2ProtocolOptions",
        fields: &[
            unsupported("hpack_table_size", &OPTIONS),
            unsupported("max_concurrent_streams", &OPTIONS),
            unsupported("initial_stream_window_size", &OPTIONS),
            unsupported("initial_connection_window_size", &OPTIONS),
            unsupported("allow_connect", &OPTIONS),
            unsupported("allow_metadata", &OPTIONS),
            unsupported("max_outbound_frames", &OPTIONS),
            unsupported("max_outbound_control_frames", &OPTIONS),
            unsupported("max_consecutive_inbound_frames_with_empty_payload", &OPTIONS),
            unsupported("max_inbound_priority_frames_per_stream", &OPTIONS),
            unsupported("max_inbound_window_update_frames_per_data_frame_sent", &OPTIONS),
            unsupported("stream_error_on_invalid_http_messaging", &OPTIONS),
            unsupported("override_stream_error_on_invalid_http_message", &OPTIONS),
            unsupported("custom_settings_parameters", &OPTIONS),
            unsupported("connection_keepalive", &OPTIONS),
            unsupported("use_oghttp2_codec", &OPTIONS),
            unsupported("max_metadata_size", &OPTIONS),
            unsupported("enable_huffman_encoding", &OPTIONS),
            unsupported("max_header_field_size_kb", &OPTIONS),
            unsupported("disallow_obs_text", &OPTIONS),
            unsupported("stream_reset_burst", &OPTIONS),
            unsupported("stream_reset_rate", &OPTIONS),
        ],
    }],
    extensions: &[],
    rules: &[],
};

pub(crate) static HTTP2: Rule = Rule {
    name: "upstream-http2",
    outcome: Outcome::Approximated,
    summary: "HTTP/2 is spoken to the endpoints as gRPC: exact for gRPC, with changed headers for other requests",
    explanation: "\
Envoy speaks HTTP/2 to these endpoints, whatever the requests are. APISIX speaks HTTP/2 to an upstream only when its \
scheme is grpc. gRPC calls go through unchanged. Other requests are sent as HTTP/2 too, but as if they were gRPC calls: \
nginx adds TE: trailers and sends a content-type of application/grpc.",
    advice: "name the port's protocol http where the service is not gRPC and also speaks HTTP/1.1",
};

static OPTIONS: Rule = Rule {
    name: "http2-options",
    outcome: Outcome::LeftOut,
    summary: "windows, limits and keepalive of HTTP/2 are nginx's",
    explanation: "\
Envoy can be told how large HTTP/2's windows and tables are, how many requests share a connection, which frames it \
tolerates, and to probe idle connections with PING. nginx uses its own values, one request per connection to an upstream, \
and sends no PING.",
    advice: "none is needed unless a connection may die unnoticed; then set a read timeout",
};

/// How many requests at a time stand for any number.
const ANY_NUMBER: u32 = 0x7fff_ffff;

/// Reports what HTTP/2 loses, and gives how many requests a connection takes at a time; `None`: any number.
#[expect(deprecated, reason = "a control plane may still send what Envoy still reads")]
pub(crate) fn http2(options: &Http2ProtocolOptions, at: Path<'_>, findings: &Findings) -> Option<u32> {
    findings.add(&HTTP2, at);
    // Istio's usual value.
    if *options == Http2ProtocolOptions::default() {
        return None;
    }
    let Http2ProtocolOptions {
        hpack_table_size,
        max_concurrent_streams,
        initial_stream_window_size,
        initial_connection_window_size,
        allow_connect,
        allow_metadata,
        max_outbound_frames,
        max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload,
        max_inbound_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent,
        stream_error_on_invalid_http_messaging,
        override_stream_error_on_invalid_http_message,
        custom_settings_parameters,
        connection_keepalive,
        use_oghttp2_codec,
        max_metadata_size,
        enable_huffman_encoding,
        max_header_field_size_kb,
        disallow_obs_text,
        stream_reset_burst,
        stream_reset_rate,
    } = options;
    let set = [
        ("hpack_table_size", hpack_table_size.is_some()),
        ("max_concurrent_streams", max_concurrent_streams.is_some()),
        ("initial_stream_window_size", initial_stream_window_size.is_some()),
        (
            "initial_connection_window_size",
            initial_connection_window_size.is_some(),
        ),
        ("allow_connect", *allow_connect),
        ("allow_metadata", *allow_metadata),
        ("max_outbound_frames", max_outbound_frames.is_some()),
        ("max_outbound_control_frames", max_outbound_control_frames.is_some()),
        (
            "max_consecutive_inbound_frames_with_empty_payload",
            max_consecutive_inbound_frames_with_empty_payload.is_some(),
        ),
        (
            "max_inbound_priority_frames_per_stream",
            max_inbound_priority_frames_per_stream.is_some(),
        ),
        (
            "max_inbound_window_update_frames_per_data_frame_sent",
            max_inbound_window_update_frames_per_data_frame_sent.is_some(),
        ),
        (
            "stream_error_on_invalid_http_messaging",
            *stream_error_on_invalid_http_messaging,
        ),
        (
            "override_stream_error_on_invalid_http_message",
            override_stream_error_on_invalid_http_message.is_some(),
        ),
        ("custom_settings_parameters", !custom_settings_parameters.is_empty()),
        ("connection_keepalive", connection_keepalive.is_some()),
        ("use_oghttp2_codec", use_oghttp2_codec.is_some()),
        ("max_metadata_size", max_metadata_size.is_some()),
        ("enable_huffman_encoding", enable_huffman_encoding.is_some()),
        ("max_header_field_size_kb", max_header_field_size_kb.is_some()),
        ("disallow_obs_text", disallow_obs_text.is_some()),
        ("stream_reset_burst", stream_reset_burst.is_some()),
        ("stream_reset_rate", stream_reset_rate.is_some()),
    ];
    for (field, _) in set.into_iter().filter(|(_, set)| *set) {
        findings.add(&OPTIONS, at.field(field));
    }
    let streams = max_concurrent_streams.as_ref().map(|streams| streams.value);
    // The most that Envoy takes stands for no limit.
    streams.filter(|streams| *streams < ANY_NUMBER)
}
