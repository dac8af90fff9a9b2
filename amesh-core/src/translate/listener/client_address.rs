//! Whom a connection manager takes for the client, and what it believes of what clients say of themselves.
//!
//! Envoy at the edge takes the connection's address for the client's, tells upstreams of it, and believes nothing else.
//! Inside it passes on what it is told. Amesh's plugins do the same for every header but X-Forwarded-For and X-Real-IP,
//! which nginx writes after them.

use crate::apisix::plugin::Manager;
use crate::feature::{Feature, Message, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/client_address",
    summary: "The client's address, and X-Forwarded-For.",
    messages: &[Message {
        name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        fields: &[
            unsupported("use_remote_address", &CLIENT_ADDRESS).amesh_exact("amesh-forward.manager.edge"),
            unsupported("xff_num_trusted_hops", &CLIENT_ADDRESS)
                .amesh_exact("amesh-forward.manager.edge, and the hops of formats and hashes"),
            unsupported("original_ip_detection_extensions", &CLIENT_ADDRESS),
            irrelevant(
                "internal_address_config",
                "says whose x-envoy headers Envoy obeys; APISIX obeys nobody's",
            )
            .amesh_unsupported(&INTERNAL),
            unsupported("skip_xff_append", &CLIENT_ADDRESS),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static CLIENT_ADDRESS: Rule = Rule::new(
    "client-address",
    Outcome::LeftOut,
    "the client's address is what APISIX takes for it",
    "Envoy decides by its own settings whether to believe X-Forwarded-For, by how many hops, and whether to append to it. \
     APISIX takes the address of the connection, or believes the proxies that `real_ip_from` in its configuration names, and \
     always appends to the header. With Amesh's Lua package, headers, formats and hashes go by the address and the hops that \
     Envoy would go by.",
    "set `nginx_config.http.real_ip_from` and `real_ip_header` in APISIX",
);

static INTERNAL: Rule = Rule::new(
    "internal-clients",
    Outcome::Ignored,
    "clients with internal addresses are treated like others",
    "At the edge, Envoy tells upstreams with x-envoy-internal that a client's address is an internal one, and otherwise with \
     x-envoy-external-address what it is; and it keeps the x-request-id and the x-envoy headers of internal clients. Amesh's \
     plugins take all clients for external ones.",
    "nothing, unless an application reads the headers; to keep the ids of clients, preserve external ones",
);

/// What a connection manager says about the client's address.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of Envoy's")]
pub(super) struct Trust {
    /// Whether it is that of the connection.
    pub(super) own_address: bool,
    /// How many more proxies are believed.
    pub(super) hops: u32,
    /// Whether some addresses are internal ones.
    pub(super) internal: bool,
    /// Whether extensions find it.
    pub(super) detection: bool,
    /// Whether X-Forwarded-For is passed on as it came.
    pub(super) skip_append: bool,
}

/// Reads what a connection manager says about the client, and gives which address of X-Forwarded-For it takes for the client's,
/// counted from the end.
pub(super) fn client_hop(trust: &Trust, headers: &mut Manager, at: Path<'_>, findings: &Findings) -> Option<u32> {
    let Trust {
        own_address,
        hops,
        internal,
        detection,
        skip_append,
    } = *trust;
    for (set, field) in [
        (detection, "original_ip_detection_extensions"),
        (skip_append, "skip_xff_append"),
    ] {
        findings.add_if(set, &CLIENT_ADDRESS, at.field(field));
    }
    if findings.options().target == Target::Amesh {
        headers.edge = own_address.then_some(hops);
        findings.add_if(own_address && internal, &INTERNAL, at.field("internal_address_config"));
    } else {
        findings.add_if(own_address, &CLIENT_ADDRESS, at.field("use_remote_address"));
        findings.add_if(hops != 0, &CLIENT_ADDRESS, at.field("xff_num_trusted_hops"));
    }
    match (own_address, hops) {
        (true, 0) => None,
        (true, hops) => Some(hops),
        (false, hops) => Some(hops.saturating_add(1)),
    }
}
