//! `server_name` and `server_header_transformation`: how a proxy names itself to clients.
//!
//! Envoy writes its own name over that of the upstream, adds it to what has none, or stays silent. Amesh's plugins do the
//! same for every answer of a route, be it an upstream's, a redirect, an injected fault, or that there is no such route.

use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::ServerHeaderTransformation;

use crate::apisix::plugin::Manager;
use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/server_header",
    summary: "With Amesh's Lua package, answers name the proxy in the Server header as Envoy's do.",
    messages: &[Message {
        name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        fields: &[
            unsupported("server_name", &SERVER)
                .amesh_exact("amesh-forward.manager.server, amesh-answer.manager.server"),
            unsupported("server_header_transformation", &SERVER)
                .amesh_exact("amesh-forward.manager.upstream_server, amesh-answer.manager.upstream_server"),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static SERVER: Rule = Rule::new(
    "server-header",
    Outcome::Ignored,
    "the Server header is APISIX's own",
    "Envoy names itself in the Server header, as configured. APISIX answers `Server: APISIX/…`, whatever the upstream says. \
     With Amesh's Lua package, answers of routes say what Envoy's would.",
    "nothing, unless a client reads the header; then load Amesh's Lua package",
);

/// What Envoy calls itself where it is told no name.
const ENVOY: &str = "envoy";

/// Reads what a connection manager says about the header.
pub(super) fn server_header(
    name: String,
    transformation: i32,
    headers: &mut Manager,
    at: Path<'_>,
    findings: &Findings,
) {
    if findings.options().target != Target::Amesh {
        findings.add_if(!name.is_empty(), &SERVER, at.field("server_name"));
        findings.add_if(transformation != 0, &SERVER, at.field("server_header_transformation"));
        return;
    }
    let name = if name.is_empty() { ENVOY.to_owned() } else { name };
    match ServerHeaderTransformation::try_from(transformation) {
        Ok(ServerHeaderTransformation::Overwrite) | Err(_) => headers.server = Some(name).filter(|name| name != ENVOY),
        Ok(ServerHeaderTransformation::AppendIfAbsent) => {
            headers.server = Some(name);
            headers.upstream_server = true;
        }
        Ok(ServerHeaderTransformation::PassThrough) => headers.upstream_server = true,
    }
}
