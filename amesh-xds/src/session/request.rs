//! Requests, and the words of a refusal.

use std::collections::HashMap;
use std::fmt::Write as _;

use amesh_core::ResourceType;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc::Status;

use super::Request;

/// The longest that the message of a refusal gets, in bytes. Control planes log it and keep it.
const LONGEST: usize = 2048;

/// `INVALID_ARGUMENT` of gRPC.
const INVALID_ARGUMENT: i32 = 3;

fn type_url(kind: ResourceType) -> String {
    format!("type.googleapis.com/{}", kind.message())
}

fn status(refusal: Option<String>) -> Option<Status> {
    refusal.map(|message| Status {
        code: INVALID_ARGUMENT,
        message,
        details: Vec::new(),
    })
}

/// A request of state of the world, which is also its answer.
pub(super) fn state_of_the_world(
    kind: ResourceType,
    version: String,
    names: Vec<String>,
    nonce: String,
    refusal: Option<String>,
) -> Request {
    Request::StateOfTheWorld(DiscoveryRequest {
        version_info: version,
        resource_names: names,
        type_url: type_url(kind),
        response_nonce: nonce,
        error_detail: status(refusal),
        ..DiscoveryRequest::default()
    })
}

/// A request of delta that asks for something: it answers no response, so it has no nonce.
pub(super) fn delta(
    kind: ResourceType,
    subscribe: Vec<String>,
    unsubscribe: Vec<String>,
    versions: HashMap<String, String>,
) -> Request {
    Request::Delta(DeltaDiscoveryRequest {
        type_url: type_url(kind),
        resource_names_subscribe: subscribe,
        resource_names_unsubscribe: unsubscribe,
        initial_resource_versions: versions,
        ..DeltaDiscoveryRequest::default()
    })
}

/// The answer to a response of delta.
pub(super) fn delta_answer(kind: ResourceType, nonce: String, refusal: Option<String>) -> Request {
    Request::Delta(DeltaDiscoveryRequest {
        type_url: type_url(kind),
        response_nonce: nonce,
        error_detail: status(refusal),
        ..DeltaDiscoveryRequest::default()
    })
}

/// What a control plane is told about a response with these refused resources.
pub(super) fn refusal(reasons: &[String]) -> Option<String> {
    if reasons.is_empty() {
        return None;
    }
    let mut message = String::new();
    for (index, reason) in reasons.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        let rest = format!("; and {} more", reasons.len() - index);
        let left = LONGEST.saturating_sub(message.len() + separator.len() + rest.len());
        if reason.len() <= left {
            message.push_str(separator);
            message.push_str(reason);
        } else if index == 0 {
            let end = (0..=left).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
            message.push_str(reason.get(..end).unwrap_or_default());
        } else {
            // Writing to a string cannot fail.
            let _ = write!(message, "{rest}");
            break;
        }
    }
    Some(message)
}
