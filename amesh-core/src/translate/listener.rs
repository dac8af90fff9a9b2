//! `Listener`: where requests arrive, and which routes they meet there.

pub(crate) mod address;
pub(crate) mod client_address;
pub(crate) mod client_certificate;
pub(crate) mod filter_chain;
pub(crate) mod http_connection_manager;
pub(crate) mod listener_filter;
pub(crate) mod nginx;
mod place;
pub(crate) mod request_id;
pub(crate) mod server_header;
pub(crate) mod upgrade;

use std::collections::BTreeMap;
use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::listener::ListenerSpecifier;
use envoy_types::pb::envoy::config::listener::v3::{AdditionalAddress, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;

use self::address::{Binding, Neighbours, binding};
use self::filter_chain::{HttpChain, Siblings, filter_chain, is_plaintext, permits_ambiguity};
use self::http_connection_manager::{Managed, Routes, http_connection_manager};
use self::place::places;
use super::http_filter::Configs;
use super::route::{Refusal, Serving, refuse_all};
use super::scope::Scope;
use crate::apisix::{Expr, Route};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Arrival;

pub(crate) static FEATURE: Feature = Feature {
    name: "listener",
    summary: "A listener becomes the condition that a request arrived there.",
    messages: &[
        Message {
            name: "envoy.config.listener.v3.Listener",
            fields: &[
                exact("name", "the ids of routes that stand in the listener"),
                exact("address", "route.vars[]"),
                exact("additional_addresses", "route.vars[]"),
                irrelevant("stat_prefix", "only feeds Envoy's own statistics"),
                irrelevant("stats_matcher", "only feeds Envoy's own statistics"),
                exact("filter_chains", "route"),
                unsupported("fcds_config", &DISCOVERY),
                unsupported("filter_chain_matcher", &MATCHER),
                exact("use_original_dst", "route.vars[]: server_port"),
                exact("default_filter_chain", "route"),
                irrelevant("per_connection_buffer_limit_bytes", "bounds Envoy's own buffers"),
                irrelevant(
                    "per_connection_buffer_high_watermark_timeout",
                    "bounds Envoy's own buffers",
                ),
                irrelevant("metadata", "names the Istio object that the listener came from"),
                irrelevant("deprecated_v1", "Envoy reads only what bind_to_port says now"),
                irrelevant(
                    "drain_type",
                    "says when Envoy closes connections of a listener that goes away",
                ),
                exact("listener_filters", "decides by their types: see the extensions"),
                irrelevant(
                    "listener_filters_timeout",
                    "bounds the inspection of a connection's first bytes, which APISIX does not need for HTTP",
                ),
                irrelevant(
                    "continue_on_listener_filters_timeout",
                    "bounds the inspection of a connection's first bytes, which APISIX does not need for HTTP",
                ),
                irrelevant("transparent", "a socket option of Envoy's own listener"),
                irrelevant("freebind", "a socket option of Envoy's own listener"),
                irrelevant("socket_options", "socket options of Envoy's own listener"),
                irrelevant("tcp_fast_open_queue_length", "a socket option of Envoy's own listener"),
                exact(
                    "traffic_direction",
                    "inbound traffic is served only where it is redirected",
                ),
                irrelevant(
                    "udp_listener_config",
                    "options of a UDP listener, which serves no HTTP but HTTP/3",
                ),
                unsupported("api_listener", &API),
                irrelevant(
                    "connection_balance_config",
                    "spreads connections over Envoy's own threads",
                ),
                irrelevant("reuse_port", "spreads connections over Envoy's own threads"),
                irrelevant("enable_reuse_port", "spreads connections over Envoy's own threads"),
                unsupported("access_log", &ACCESS_LOG),
                irrelevant("tcp_backlog_size", "a socket option of Envoy's own listener"),
                irrelevant(
                    "max_connections_to_accept_per_socket_event",
                    "paces Envoy's own event loop",
                ),
                exact("bind_to_port", "route.vars[]: server_port or connection_original_dst"),
                unsupported("internal_listener", &INTERNAL),
                irrelevant("enable_mptcp", "a socket option of Envoy's own listener"),
                irrelevant(
                    "ignore_global_conn_limit",
                    "an exception from a limit that Envoy's bootstrap sets",
                ),
                irrelevant(
                    "bypass_overload_manager",
                    "an exception from a limit that Envoy's bootstrap sets",
                ),
                irrelevant("tcp_keepalive", "a socket option of Envoy's own listener"),
            ],
        },
        Message {
            name: "envoy.config.listener.v3.AdditionalAddress",
            fields: &[
                exact("address", "route.vars[]"),
                irrelevant("socket_options", "socket options of Envoy's own listener"),
                irrelevant("tcp_keepalive", "a socket option of Envoy's own listener"),
            ],
        },
    ],
    extensions: &[],
    rules: &[&ADDRESS, &CATCH_ALL, &INBOUND],
};

static DISCOVERY: Rule = Rule::new(
    "listener-filter-chain-discovery",
    Outcome::LeftOut,
    "filter chains that Envoy would fetch by name are missing",
    "Envoy can fetch filter chains by themselves. Only those in the listener are served.",
    "send the filter chains with the listener",
);

static MATCHER: Rule = Rule::new(
    "listener-matcher",
    Outcome::FailsClosed,
    "a listener chooses filter chains by a matcher tree",
    "Envoy can find the filter chain of a connection in a tree of matchers, as Istio's waypoints do. That is not carried \
     over, so every request for the listener is answered 503.",
    "permit the rule to leave the listener out",
);

static LISTENER_FILTER: Rule = Rule::new(
    "listener-filter",
    Outcome::LeftOut,
    "a listener filter is left out",
    "Listener filters see a connection before anything else. Those that only find out the protocol or the original \
     destination are not needed; this one is something else, and connections are served without it.",
    "nothing, if the filter only adds information; otherwise configure the same in APISIX",
);

static API: Rule = Rule::new(
    "listener-api",
    Outcome::LeftOut,
    "a listener without an address serves no requests from outside",
    "The listener is meant for a gRPC client or for Envoy embedded in an application.",
    "translate what istiod sends to a sidecar or a gateway",
);

static ACCESS_LOG: Rule = Rule::new(
    "listener-access-log",
    Outcome::Ignored,
    "access logs of connections are not written",
    "Envoy writes the access logs that Istio's mesh configuration and Telemetry ask for, also of connections that match no \
     filter chain. APISIX writes its own, of requests.",
    "use APISIX's file-logger or http-logger plugin",
);

static INTERNAL: Rule = Rule::new(
    "listener-internal",
    Outcome::LeftOut,
    "a listener inside Envoy (HBONE) is left out",
    "Istio's ambient mode tunnels connections through listeners that exist only inside Envoy. APISIX has none.",
    "use a sidecar without HBONE",
);

static ADDRESS: Rule = Rule::new(
    "listener-address",
    Outcome::LeftOut,
    "a listener is at no IP address and port",
    "Envoy can listen on a Unix socket or a named address. Requests cannot be told by where they arrived, so the listener \
     is left out.",
    "use an IP address",
);

static CATCH_ALL: Rule = Rule::new(
    "listener-catch-all",
    Outcome::LeftOut,
    "HTTP to destinations that no listener names is not served",
    "The listener that takes redirected connections also serves those whose destination has no listener of its own. APISIX \
     cannot tell which these are, so their requests get 404.",
    "name the destinations in a ServiceEntry",
);

static INBOUND: Rule = Rule::new(
    "listener-needs-redirect",
    Outcome::LeftOut,
    "a listener serves redirected connections, which do not arrive this way",
    "Without iptables, inbound and outbound requests cannot be told apart, and there are no original destinations. The \
     listener is left out.",
    "translate with `redirect` for a sidecar behind iptables",
);

/// What a listener contributes.
#[derive(Debug, Default)]
pub(crate) struct Listened {
    /// Route configurations by name, and where they apply.
    pub(crate) named: BTreeMap<String, Vec<Use>>,
    /// Route configurations of its own.
    pub(crate) inline: Vec<Inline>,
    /// Routes that refuse what cannot be served safely.
    pub(crate) guards: Vec<Route>,
}

/// One connection manager's use of a route configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) scope: Scope,
    pub(crate) serving: Serving,
    /// The connection manager's filters.
    pub(crate) filters: Configs,
}

/// A route configuration that stands in the listener itself.
#[derive(Debug)]
pub(crate) struct Inline {
    pub(crate) config: Box<RouteConfiguration>,
    pub(crate) used: Use,
    /// Which filter chain and filter it stands in; the default chain has no number.
    pub(crate) chain: Option<usize>,
    pub(crate) filter: usize,
}

/// What other listeners mean for this one.
pub(crate) struct Surroundings<'a> {
    pub(crate) arrival: Arrival,
    pub(crate) neighbours: &'a Neighbours,
    /// The specific addresses of other listeners at a port.
    pub(crate) specific: &'a dyn Fn(u16) -> Vec<IpAddr>,
    /// The names of the route configurations of the listener at a specific address and port.
    pub(crate) route_names: &'a dyn Fn(IpAddr, u16) -> Vec<String>,
}

/// Translates a listener.
pub(crate) fn listener(listener: &Listener, around: &Surroundings<'_>, findings: &Findings) -> Listened {
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let Listener {
        name,
        address: _,
        additional_addresses: _,
        stat_prefix: _,
        stats_matcher: _,
        filter_chains,
        fcds_config,
        filter_chain_matcher,
        use_original_dst,
        default_filter_chain,
        per_connection_buffer_limit_bytes: _,
        per_connection_buffer_high_watermark_timeout: _,
        metadata: _,
        deprecated_v1: _,
        drain_type: _,
        listener_filters,
        listener_filters_timeout: _,
        continue_on_listener_filters_timeout: _,
        transparent: _,
        freebind: _,
        socket_options: _,
        tcp_fast_open_queue_length: _,
        traffic_direction,
        udp_listener_config: _,
        api_listener,
        connection_balance_config: _,
        reuse_port: _,
        enable_reuse_port: _,
        access_log,
        tcp_backlog_size: _,
        max_connections_to_accept_per_socket_event: _,
        bind_to_port,
        enable_mptcp: _,
        ignore_global_conn_limit: _,
        bypass_overload_manager: _,
        tcp_keepalive: _,
        listener_specifier,
    } = listener;
    let root = Path::root();
    for (set, rule, field) in [
        (fcds_config.is_some(), &DISCOVERY, "fcds_config"),
        (!access_log.is_empty(), &ACCESS_LOG, "access_log"),
    ] {
        if set {
            findings.add(rule, root.field(field));
        }
    }
    let target = findings.options().target;
    let refusal = |status, manager| Refusal {
        status,
        manager,
        target,
    };
    let mut out = Listened::default();
    if api_listener.is_some() {
        findings.add(&API, root.field("api_listener"));
        return out;
    }
    if let Some(ListenerSpecifier::InternalListener(_)) = listener_specifier {
        findings.add(&INTERNAL, root.field("internal_listener"));
        return out;
    }
    listener_filter::report(listener_filters, root, findings);
    let bindings = bindings(listener);
    let Some(port) = bindings.first().map(|binding| binding.port) else {
        findings.add(&ADDRESS, root.field("address"));
        return out;
    };
    let takes_redirected = use_original_dst.is_some_and(|value| value.value);
    let handed_over = bind_to_port.is_some_and(|value| !value.value);
    let inbound = *traffic_direction == i32::from(TrafficDirection::Inbound);
    let places: Vec<Scope> = places(&bindings, handed_over, around);

    if filter_chain_matcher.is_some() {
        if !findings.permits(&MATCHER, root.field("filter_chain_matcher"), None) {
            out.guards.push(refuse_all(
                &[name],
                "refused",
                refusal(503, None),
                Scope::any_of(&places),
            ));
        }
        return out;
    }

    let tls = filter_chains.iter().chain(default_filter_chain).any(terminates_tls);
    let server_names: Vec<&str> = filter_chains
        .iter()
        .filter_map(|chain| chain.filter_chain_match.as_ref())
        .flat_map(|matched| matched.server_names.iter().map(String::as_str))
        .collect();
    let siblings = Siblings {
        arrival: around.arrival,
        neighbours: around.neighbours,
        port,
        tls,
        server_names: &server_names,
    };
    let at_chains = root.field("filter_chains");
    let at_default = root.field("default_filter_chain");
    let numbered = filter_chains
        .iter()
        .enumerate()
        .map(|(index, chain)| (Some(index), chain));
    let mut chains: Vec<(Option<usize>, HttpChain)> = Vec::new();
    for (index, chain) in numbered.chain(default_filter_chain.iter().map(|chain| (None, chain))) {
        let at_chain = index.map_or(at_default, |index| at_chains.index(index));
        if let Some(mut http) = filter_chain(chain, &siblings, at_chain, findings) {
            http.conditions
                .extend(not_on_ports_of_others(chain, filter_chains, &siblings));
            chains.push((index, http));
        }
    }
    if chains.is_empty() {
        return out;
    }
    if takes_redirected {
        findings.add(&CATCH_ALL, root.field("filter_chains"));
        return out;
    }
    if around.arrival == Arrival::Host && inbound {
        findings.add(&INBOUND, root.field("traffic_direction"));
        return out;
    }
    let shapes: Vec<Vec<Expr>> = chains.iter().map(|(_, chain)| chain.conditions.clone()).collect();
    for (position, (index, chain)) in chains.into_iter().enumerate() {
        let at_chain = index.map_or(at_default, |index| at_chains.index(index));
        let at_filters = at_chain.field("filters");
        let at_filter = at_filters.index(chain.filter);
        let at_manager = at_filter.field("typed_config");
        let Managed {
            routes,
            serving,
            filters,
        } = http_connection_manager(chain.manager, chain.tls, at_manager, findings);
        let twins = shapes
            .iter()
            .enumerate()
            .filter(|(other, shape)| *other != position && **shape == chain.conditions);
        let first = twins.clone().all(|(other, _)| other > position);
        let mut refused = chain.refused;
        if twins.count() > 0 && !permits_ambiguity(at_chain, findings) {
            refused = refused.or(Some(503));
        } else if !first {
            continue;
        }
        let scope = Scope::any_of(&places).into_iter().chain(chain.conditions).collect();
        let used = Use {
            scope: Scope(scope),
            serving,
            filters,
        };
        match (refused, routes) {
            (Some(status), _) | (None, Routes::Refused(status)) => {
                // Chains that cannot be told apart are refused once.
                if first {
                    let refusal = refusal(status, used.serving.manager);
                    out.guards.push(refuse_all(&[name], "refused", refusal, used.scope.0));
                }
            }
            (None, Routes::Named(route)) => out.named.entry(route).or_default().push(used),
            (None, Routes::Inline(config)) => out.inline.push(Inline {
                config,
                used,
                chain: index,
                filter: chain.filter,
            }),
            (None, Routes::LeftOut) => {}
        }
    }
    out
}

/// The addresses of a listener that are IP addresses.
pub(crate) fn bindings(listener: &Listener) -> Vec<Binding> {
    let additional = listener.additional_addresses.iter().filter_map(|additional| {
        let AdditionalAddress {
            address,
            socket_options: _,
            tcp_keepalive: _,
        } = additional;
        address.as_ref()
    });
    listener.address.iter().chain(additional).filter_map(binding).collect()
}

/// The names of the route configurations that a listener's connection managers name.
pub(crate) fn route_names(listener: &Listener) -> Vec<String> {
    let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
    let mut names: Vec<String> = chains.filter_map(filter_chain::route_name).collect();
    names.sort();
    names.dedup();
    names
}

fn terminates_tls(chain: &FilterChain) -> bool {
    chain
        .transport_socket
        .as_ref()
        .is_some_and(|socket| !is_plaintext(socket))
        || chain
            .filter_chain_match
            .as_ref()
            .is_some_and(|matched| matched.transport_protocol == "tls")
}

/// A chain for any destination port does not get the connections to ports that other chains name.
fn not_on_ports_of_others(chain: &FilterChain, all: &[FilterChain], siblings: &Siblings<'_>) -> Option<Expr> {
    let port = |chain: &FilterChain| {
        chain
            .filter_chain_match
            .as_ref()?
            .destination_port
            .map(|port| port.value)
    };
    if port(chain).is_some() || siblings.arrival != Arrival::Redirect {
        return None;
    }
    let mut ports: Vec<u32> = all.iter().filter_map(port).collect();
    ports.sort_unstable();
    ports.dedup();
    let choices: Vec<String> = ports.iter().map(ToString::to_string).collect();
    (!ports.is_empty())
        .then(|| Expr::matches("connection_original_dst", format!(":(?:{})\\z", choices.join("|"))).negate())
}
