//! Whom a connection manager takes for the client, and what it believes of X-Forwarded-For.

use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/client_address",
    summary: "The client's address, and X-Forwarded-For.",
    messages: &[Message {
        name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        fields: &[
            unsupported("use_remote_address", &CLIENT_ADDRESS),
            unsupported("xff_num_trusted_hops", &CLIENT_ADDRESS),
            unsupported("original_ip_detection_extensions", &CLIENT_ADDRESS),
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
    "Envoy decides by its own settings whether to believe X-Forwarded-For and by how many hops. APISIX takes the address \
     of the connection, or believes the proxies that `real_ip_from` in its configuration names, and appends to the \
     header.",
    "set `nginx_config.http.real_ip_from` and `real_ip_header` in APISIX",
);

/// What a connection manager says about the client's address.
pub(super) struct Trust {
    /// Whether it is that of the connection.
    pub(super) own_address: bool,
    /// How many more proxies are believed.
    pub(super) hops: u32,
    /// Whether extensions find it.
    pub(super) detection: bool,
    /// Whether X-Forwarded-For is passed on as it came.
    pub(super) skip_append: bool,
}

/// Which address of X-Forwarded-For a connection manager takes for the client's, counted from the end.
pub(super) fn client_hop(trust: &Trust, at: Path<'_>, findings: &Findings) -> Option<u32> {
    let Trust {
        own_address,
        hops,
        detection,
        skip_append,
    } = *trust;
    for (set, field) in [
        (own_address, "use_remote_address"),
        (hops != 0, "xff_num_trusted_hops"),
        (detection, "original_ip_detection_extensions"),
        (skip_append, "skip_xff_append"),
    ] {
        findings.add_if(set, &CLIENT_ADDRESS, at.field(field));
    }
    match (own_address, hops) {
        (true, 0) => None,
        (true, hops) => Some(hops),
        (false, hops) => Some(hops.saturating_add(1)),
    }
}
