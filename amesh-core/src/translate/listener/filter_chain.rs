//! `FilterChain` and `FilterChainMatch`: which connections of a listener a connection manager serves.

use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::core::v3::transport_socket;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;

use super::address::Neighbours;
use crate::apisix::{Expr, Operator, Value};
use crate::decode::extension::{self, TransportSocketConfig, message_name};
use crate::feature::{Extension, Fate, Feature, Message, approximate, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Arrival;
use crate::regex::escape;
use crate::translate::http_filter::table::inner_type;

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/filter_chain",
    summary: "The filter chain that a connection gets becomes a condition on the requests of its connection manager.",
    messages: &[
        Message {
            name: "envoy.config.listener.v3.FilterChain",
            fields: &[
                exact("filter_chain_match", "route.vars[]"),
                exact("filters", "route"),
                unsupported("use_proxy_proto", &PROXY_PROTOCOL),
                irrelevant("metadata", "names the Istio object that the chain came from"),
                unsupported("transport_socket", &DOWNSTREAM_TLS),
                irrelevant(
                    "transport_socket_connect_timeout",
                    "bounds the TLS handshake, which nginx bounds by its own configuration",
                ),
                irrelevant("name", "no other resource refers to it"),
            ],
        },
        Message {
            name: "envoy.config.listener.v3.FilterChainMatch",
            fields: &[
                exact(
                    "destination_port",
                    "route.vars[]: connection_original_dst or server_port",
                ),
                unsupported("prefix_ranges", &DESTINATION),
                unsupported("address_suffix", &DESTINATION),
                unsupported("suffix_len", &DESTINATION),
                unsupported("direct_source_prefix_ranges", &SOURCE),
                unsupported("source_type", &SOURCE),
                unsupported("source_prefix_ranges", &SOURCE),
                unsupported("source_ports", &SOURCE),
                exact("server_names", "route.vars[]: ssl_server_name"),
                exact("transport_protocol", "route.vars[]: scheme"),
                approximate("application_protocols", "every HTTP request is taken", &ALPN),
            ],
        },
        Message {
            name: "envoy.config.listener.v3.Filter",
            fields: &[
                exact("name", "names the filter where a finding is about it"),
                exact("typed_config", "decides by its type: see the extensions"),
                unsupported("config_discovery", &NETWORK_FILTER),
            ],
        },
    ],
    extensions: &[
        Extension::same(
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            Fate::Unsupported { rule: &TCP },
        ),
        Extension::same("stats.PluginConfig", Fate::Irrelevant { reason: TELEMETRY }),
        Extension::same(
            "envoy.tcp.metadataexchange.config.MetadataExchange",
            Fate::Irrelevant { reason: TELEMETRY },
        ),
    ],
    rules: &[&AMBIGUOUS, &UNREACHABLE],
};

const TELEMETRY: &str = "only measures connections and tells the peer about the workload";

pub(super) static PROXY_PROTOCOL: Rule = Rule::new(
    "listener-proxy-protocol",
    Outcome::LeftOut,
    "the PROXY protocol is not read",
    "Envoy takes the client's address from a PROXY protocol header in front of the connection. APISIX does so only where \
     its own configuration says so for the port; otherwise such connections are answered 400.",
    "configure `proxy_protocol` for the port in APISIX",
);

pub(super) static DOWNSTREAM_TLS: Rule = Rule::new(
    "downstream-tls",
    Outcome::FailsClosed,
    "TLS is not terminated, and clients' certificates are not checked",
    "Envoy terminates TLS on this filter chain with certificates from the control plane or the workload's identity, and \
     may demand one from the client. Certificates are not carried over: requests for the chain are answered 503 if \
     they arrive over TLS at all, and plaintext ones do not belong to it.",
    "configure certificates in APISIX yourself and permit the rule; clients' certificates are then as you check them",
);

static DESTINATION: Rule = Rule::new(
    "filter-chain-destination",
    Outcome::FailsClosed,
    "a filter chain is chosen by a range of destination addresses",
    "Envoy gives connections to some addresses another filter chain. APISIX cannot tell them apart, so every request \
     that the chain might get is answered 503.",
    "permit the rule to leave the chain out",
);

static SOURCE: Rule = Rule::new(
    "filter-chain-source",
    Outcome::FailsClosed,
    "a filter chain is chosen by where connections come from",
    "Envoy gives connections from some addresses or ports another filter chain. APISIX cannot tell them apart, so every \
     request that the chain might get is answered 503.",
    "permit the rule to leave the chain out",
);

static ALPN: Rule = Rule::new(
    "filter-chain-alpn",
    Outcome::Approximated,
    "a filter chain is chosen by the protocol that TLS negotiated",
    "Envoy gives connections another filter chain by the application protocol of their TLS handshake. APISIX serves \
     every HTTP request that meets the chain's other conditions.",
    "nothing, unless another chain of the listener would serve the same requests differently",
);

pub(super) static NETWORK_FILTER: Rule = Rule::new(
    "network-filter",
    Outcome::FailsClosed,
    "a filter in front of a connection manager may refuse connections and is not carried over",
    "Network filters see a connection before any request: authorization by certificate, rate limits, external \
     authorization, programs. Requests for the filter chain are answered 403.",
    "remove the filter, or permit the rule to serve requests without it",
);

pub(super) static TCP: Rule = Rule::new(
    "tcp-proxy",
    Outcome::LeftOut,
    "TCP connections are not forwarded",
    "Envoy forwards the bytes of connections that are not HTTP. Only HTTP is carried over: such connections are not \
     served.",
    "use an APISIX stream route",
);

static AMBIGUOUS: Rule = Rule::new(
    "filter-chain-ambiguous",
    Outcome::FailsClosed,
    "filter chains differ only in what APISIX cannot see",
    "Two filter chains of a listener would serve the same requests as far as APISIX can tell, with different routes or \
     filters. Their requests are answered 503 rather than given to either.",
    "permit the rule to serve the first of them",
);

static UNREACHABLE: Rule = Rule::new(
    "filter-chain-needs-redirect",
    Outcome::LeftOut,
    "a filter chain serves redirected connections, which do not arrive this way",
    "The chain is chosen by the original destination of a redirected connection. Without redirection there is none, so \
     the chain gets no request.",
    "translate with `redirect` for a sidecar behind iptables",
);

/// A filter chain that speaks HTTP.
pub(super) struct HttpChain {
    pub(super) manager: HttpConnectionManager,
    /// What a request must meet beside the listener's own conditions.
    pub(super) conditions: Vec<Expr>,
    /// A status when every request must be answered with it.
    pub(super) refused: Option<u32>,
    /// Where the connection manager stands: the index of its filter.
    pub(super) filter: usize,
    /// Whether the chain terminates TLS.
    pub(super) tls: bool,
}

/// What the other chains of the listener mean for this one.
pub(super) struct Siblings<'a> {
    pub(super) arrival: Arrival,
    pub(super) neighbours: &'a Neighbours,
    pub(super) port: u16,
    /// Whether another chain terminates TLS, so that plaintext must be told from it.
    pub(super) tls: bool,
    /// Server names of all chains.
    pub(super) server_names: &'a [&'a str],
}

/// Reads a filter chain; `None` when it serves no HTTP or is left out.
pub(super) fn filter_chain(
    chain: &FilterChain,
    siblings: &Siblings<'_>,
    at: Path<'_>,
    findings: &Findings,
) -> Option<HttpChain> {
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let FilterChain {
        filter_chain_match,
        filters,
        use_proxy_proto,
        metadata: _,
        transport_socket,
        transport_socket_connect_timeout: _,
        name: _,
    } = chain;
    let (index, manager, mut refused) = connection_manager(filters, at, findings)?;
    if use_proxy_proto.as_ref().is_some_and(|value| value.value) {
        findings.add(&PROXY_PROTOCOL, at.field("use_proxy_proto"));
    }
    let mut conditions = Vec::new();
    if let Some(matched) = filter_chain_match {
        match chain_match(matched, siblings, at.field("filter_chain_match"), findings) {
            Matched::Conditions(list) => conditions = list,
            Matched::Refused(list) => (conditions, refused) = (list, refused.or(Some(503))),
            Matched::Never => return None,
        }
    }
    match transport_socket {
        Some(socket) if !is_plaintext(socket) => {
            conditions.push(Expr::equal("scheme", "https"));
            let detail = Some(socket.name.clone());
            if !findings.permits(&DOWNSTREAM_TLS, at.field("transport_socket"), detail) {
                refused = refused.or(Some(503));
            }
        }
        None if siblings.tls => conditions.push(Expr::equal("scheme", "http")),
        Some(_) | None => {}
    }
    conditions.sort();
    conditions.dedup();
    Some(HttpChain {
        manager,
        conditions,
        refused,
        filter: index,
        tls: transport_socket.as_ref().is_some_and(|socket| !is_plaintext(socket)),
    })
}

pub(super) fn is_plaintext(socket: &TransportSocket) -> bool {
    let TransportSocket { name: _, config_type } = socket;
    match config_type {
        Some(transport_socket::ConfigType::TypedConfig(config)) => {
            matches!(extension::transport_socket(config), TransportSocketConfig::RawBuffer)
        }
        None => false,
    }
}

/// The connection manager of a chain, its place, and a status when a filter before it refuses everything.
fn connection_manager(
    filters: &[Filter],
    at: Path<'_>,
    findings: &Findings,
) -> Option<(usize, HttpConnectionManager, Option<u32>)> {
    let http = filters
        .iter()
        .enumerate()
        .find_map(|(index, filter)| match &filter.config_type {
            Some(ConfigType::TypedConfig(config)) => {
                extension::http_connection_manager(config).map(|manager| (index, manager))
            }
            _ => None,
        });
    let serves_http = http.is_some();
    let mut refused = None;
    for (index, filter) in filters.iter().enumerate() {
        let at_filter = at.field("filters");
        let at_filter = at_filter.index(index);
        let Filter { name, config_type } = filter;
        match config_type {
            Some(ConfigType::TypedConfig(config)) => {
                let type_name = inner_type(config);
                match type_name.as_str() {
                    "stats.PluginConfig" | "envoy.tcp.metadataexchange.config.MetadataExchange" => {}
                    _ if message_name(config).ends_with(".HttpConnectionManager") => {}
                    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" => {
                        findings.add(&TCP, at_filter.field("typed_config"));
                    }
                    // Without a connection manager the connection is not served at all, which another finding says.
                    _ if !serves_http => {}
                    _ => {
                        if !findings.permits(&NETWORK_FILTER, at_filter.field("typed_config"), Some(type_name)) {
                            refused = Some(403);
                        }
                    }
                }
            }
            Some(ConfigType::ConfigDiscovery(_)) => {
                if !findings.permits(&NETWORK_FILTER, at_filter.field("config_discovery"), Some(name.clone())) {
                    refused = Some(403);
                }
            }
            None => {
                if !findings.permits(&NETWORK_FILTER, at_filter, Some(name.clone())) {
                    refused = Some(403);
                }
            }
        }
    }
    match http {
        Some((index, Ok(manager))) => Some((index, manager, refused)),
        // A connection manager that cannot be read is one whose rules are not known.
        Some((index, Err(_))) => Some((index, HttpConnectionManager::default(), Some(503))),
        None => None,
    }
}

enum Matched {
    Conditions(Vec<Expr>),
    /// The conditions take more requests than the chain would, so these must be refused.
    Refused(Vec<Expr>),
    Never,
}

fn chain_match(matched: &FilterChainMatch, siblings: &Siblings<'_>, at: Path<'_>, findings: &Findings) -> Matched {
    let FilterChainMatch {
        destination_port,
        prefix_ranges,
        address_suffix,
        suffix_len,
        direct_source_prefix_ranges,
        source_type,
        source_prefix_ranges,
        source_ports,
        server_names,
        transport_protocol,
        application_protocols,
    } = matched;
    let mut conditions = Vec::new();
    let (mut refused, mut left_out) = (false, false);
    for (set, rule, field) in [
        (!prefix_ranges.is_empty(), &DESTINATION, "prefix_ranges"),
        (!address_suffix.is_empty(), &DESTINATION, "address_suffix"),
        (suffix_len.is_some(), &DESTINATION, "suffix_len"),
        (
            !direct_source_prefix_ranges.is_empty(),
            &SOURCE,
            "direct_source_prefix_ranges",
        ),
        (
            *source_type != i32::from(ConnectionSourceType::Any),
            &SOURCE,
            "source_type",
        ),
        (!source_prefix_ranges.is_empty(), &SOURCE, "source_prefix_ranges"),
        (!source_ports.is_empty(), &SOURCE, "source_ports"),
    ] {
        if set {
            if findings.permits(rule, at.field(field), None) {
                left_out = true;
            } else {
                refused = true;
            }
        }
    }
    if let Some(port) = destination_port {
        match siblings.arrival {
            Arrival::Redirect
                if siblings.neighbours.redirecting.contains(&siblings.port)
                    || port.value != u32::from(siblings.port) =>
            {
                conditions.push(Expr::matches("connection_original_dst", format!(":{}\\z", port.value)));
            }
            _ if port.value == u32::from(siblings.port) => {}
            _ => {
                findings.add(&UNREACHABLE, at.field("destination_port"));
                left_out = true;
            }
        }
    }
    match transport_protocol.as_str() {
        "tls" => conditions.push(Expr::equal("scheme", "https")),
        "raw_buffer" if siblings.tls => conditions.push(Expr::equal("scheme", "http")),
        _ => {}
    }
    if !server_names.is_empty() {
        conditions.extend(server_name(server_names, siblings.server_names));
    }
    // What an HTTP inspector finds in plaintext is any HTTP; APISIX reads nothing else.
    let any_http = ["http/1.0", "http/1.1", "h2c"];
    if transport_protocol != "raw_buffer" && !application_protocols.is_empty()
        || application_protocols
            .iter()
            .any(|protocol| !any_http.contains(&protocol.as_str()))
    {
        findings.add_with(
            &ALPN,
            at.field("application_protocols"),
            application_protocols.join(", "),
        );
    }
    match (left_out, refused) {
        (true, _) => Matched::Never,
        (false, true) => Matched::Refused(conditions),
        (false, false) => Matched::Conditions(conditions),
    }
}

/// The server name of TLS is one of these and none that another chain has more specifically.
fn server_name(own: &[String], all: &[&str]) -> Vec<Expr> {
    let own: Vec<String> = own.iter().map(|name| name.to_ascii_lowercase()).collect();
    let more_specific = |other: &&str| {
        let other = other.to_ascii_lowercase();
        !own.contains(&other)
            && own.iter().any(|name| {
                name.strip_prefix('*').is_some_and(|suffix| {
                    other.len() > name.len() && other.strip_prefix('*').unwrap_or(&other).ends_with(suffix)
                        || (!other.starts_with('*') && other.ends_with(suffix))
                })
            })
    };
    let pattern = |names: &[String]| {
        let choices: Vec<String> = names
            .iter()
            .map(|name| {
                name.strip_prefix("*")
                    .map_or_else(|| escape(name), |suffix| format!(".+{}", escape(suffix)))
            })
            .collect();
        Expr::compare(
            "ssl_server_name",
            Operator::MatchesIgnoringCase,
            Value::Text(format!("^(?:{})\\z", choices.join("|"))),
        )
    };
    let mut conditions = vec![pattern(&own)];
    let others: Vec<String> = all
        .iter()
        .filter(|name| more_specific(name))
        .map(|name| name.to_ascii_lowercase())
        .collect();
    if !others.is_empty() {
        conditions.push(pattern(&others).negate());
    }
    conditions
}

/// Reports chains that APISIX cannot tell apart.
pub(super) fn permits_ambiguity(at: Path<'_>, findings: &Findings) -> bool {
    findings.permits(&AMBIGUOUS, at, None)
}

/// The name of the route configuration that a chain's connection manager asks for.
pub(super) fn route_name(chain: &FilterChain) -> Option<String> {
    chain.filters.iter().find_map(|filter| match &filter.config_type {
        Some(ConfigType::TypedConfig(config)) => {
            match extension::http_connection_manager(config)?.ok()?.route_specifier? {
                RouteSpecifier::Rds(rds) => Some(rds.route_config_name),
                RouteSpecifier::RouteConfig(_) | RouteSpecifier::ScopedRoutes(_) => None,
            }
        }
        Some(ConfigType::ConfigDiscovery(_)) | None => None,
    })
}
