//! `x-request-id`: the name by which a request is known to all who handle it.
//!
//! Envoy gives an id to every request that has none. Where it takes the connection's address for the client's it stands at
//! the edge, and replaces the ids of clients too, unless it is told to preserve them. Amesh's plugins do the same.
//!
//! The ids are random UUIDs, as Envoy's are. Envoy packs into a digit of them how their trace is sampled, for other Envoys
//! to see; that is not done, since nothing is traced.

use crate::apisix::plugin::{Manager, RequestId};
use crate::feature::{Feature, Message, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/request_id",
    summary: "With Amesh's Lua package, requests get an id in x-request-id as Envoy gives it.",
    messages: &[Message {
        name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        fields: &[
            unsupported("generate_request_id", &REQUEST_ID)
                .amesh_exact("amesh-forward.manager.request_id, amesh-answer.manager.request_id"),
            irrelevant(
                "preserve_external_request_id",
                "says which request ids Envoy replaces; APISIX replaces none",
            )
            .amesh_exact("amesh-forward.manager.request_id, amesh-answer.manager.request_id"),
            unsupported("always_set_request_id_in_response", &REQUEST_ID).amesh_exact(
                "amesh-forward.manager.request_id_in_response, amesh-answer.manager.request_id_in_response",
            ),
            irrelevant(
                "request_id_extension",
                "packs into request ids how their trace is sampled, and nothing is traced",
            ),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static REQUEST_ID: Rule = Rule::new(
    "request-id",
    Outcome::Ignored,
    "requests get no x-request-id",
    "Envoy gives every request an id and passes it on. APISIX passes on what a client sends.",
    "load Amesh's Lua package; or use APISIX's request-id plugin in a global rule, with the header x-request-id and the \
     algorithm uuid",
);

/// What a connection manager says about the header.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of Envoy's")]
pub(super) struct Ids {
    pub(super) generate: bool,
    /// Whether clients are external.
    pub(super) edge: bool,
    pub(super) preserve_external: bool,
    pub(super) in_response: bool,
}

/// Reads what a connection manager says about the header.
pub(super) fn request_id(ids: &Ids, headers: &mut Manager, at: Path<'_>, findings: &Findings) {
    let Ids {
        generate,
        edge,
        preserve_external,
        in_response,
    } = *ids;
    if findings.options().target != Target::Amesh {
        findings.add_if(generate, &REQUEST_ID, at.field("generate_request_id"));
        findings.add_if(in_response, &REQUEST_ID, at.field("always_set_request_id_in_response"));
        return;
    }
    headers.request_id = if !generate {
        Some(RequestId::Keep)
    } else if edge && preserve_external {
        Some(RequestId::Add)
    } else {
        None
    };
    headers.request_id_in_response = in_response;
}
