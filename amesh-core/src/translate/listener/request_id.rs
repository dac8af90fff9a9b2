//! `x-request-id`: the name by which a request is known to all who handle it.

use crate::feature::{Feature, Message, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/request_id",
    summary: "The id of each request, in x-request-id.",
    messages: &[Message {
        name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        fields: &[
            unsupported("generate_request_id", &REQUEST_ID),
            irrelevant(
                "preserve_external_request_id",
                "says which request ids Envoy replaces; APISIX replaces none",
            ),
            unsupported("always_set_request_id_in_response", &REQUEST_ID),
            irrelevant(
                "request_id_extension",
                "makes request ids, which are not carried over, and packs trace sampling into them",
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
    "use APISIX's request-id plugin",
);

/// What a connection manager says about the header.
pub(super) struct Ids {
    pub(super) generate: bool,
    pub(super) in_response: bool,
}

/// Reads what a connection manager says about the header.
pub(super) fn request_id(ids: &Ids, at: Path<'_>, findings: &Findings) {
    let Ids { generate, in_response } = ids;
    findings.add_if(*generate, &REQUEST_ID, at.field("generate_request_id"));
    findings.add_if(*in_response, &REQUEST_ID, at.field("always_set_request_id_in_response"));
}
