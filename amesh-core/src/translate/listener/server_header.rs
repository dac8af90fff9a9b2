//! `server_name` and `server_header_transformation`: how a proxy names itself to clients.

use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/server_header",
    summary: "The Server header of answers.",
    messages: &[Message {
        name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        fields: &[
            unsupported("server_name", &SERVER),
            unsupported("server_header_transformation", &SERVER),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static SERVER: Rule = Rule::new(
    "server-header",
    Outcome::Ignored,
    "the Server header is APISIX's own",
    "Envoy names itself in the Server header, as configured. APISIX answers `Server: APISIX/…`.",
    "nothing, unless a client reads the header",
);

/// Reads what a connection manager says about the header.
pub(super) fn server_header(name: &str, transformation: i32, at: Path<'_>, findings: &Findings) {
    findings.add_if(!name.is_empty(), &SERVER, at.field("server_name"));
    findings.add_if(transformation != 0, &SERVER, at.field("server_header_transformation"));
}
