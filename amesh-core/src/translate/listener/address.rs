//! Where a listener takes connections, as conditions on a request.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::Address;
use envoy_types::pb::envoy::config::core::v3::address;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;

use crate::apisix::{Expr, Operator, Value};
use crate::options::Arrival;
use crate::regex::escape;

/// An address and port that a listener names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binding {
    /// `None`: every address.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
}

/// Reads an address; `None` when it is no IP address and port.
pub(crate) fn binding(address: &Address) -> Option<Binding> {
    let Some(address::Address::SocketAddress(socket)) = &address.address else {
        return None;
    };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
        return None;
    };
    let address: IpAddr = socket.address.parse().ok()?;
    Some(Binding {
        address: (!address.is_unspecified()).then_some(address),
        port: u16::try_from(port).ok()?,
    })
}

/// What the listeners of a snapshot together say about arrivals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Neighbours {
    /// Ports of the listeners that take redirected connections and hand them over (`use_original_dst`).
    pub(crate) redirecting: Vec<u16>,
}

/// The names by which a `Host` header may mean a specific address: the address, and the name that Istio gives to the
/// route configuration of a listener for a single service (`host:port`).
pub(crate) fn host_names(address: IpAddr, route_names: &[String], port: u16) -> Vec<String> {
    let literal = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let suffix = format!(":{port}");
    let names = route_names
        .iter()
        .filter_map(|name| name.strip_suffix(&suffix))
        .map(str::to_ascii_lowercase);
    let mut all: Vec<String> = std::iter::once(literal).chain(names).collect();
    all.sort();
    all.dedup();
    all
}

/// `address:port`, as nginx's `connection_original_dst` has it.
fn original_destination(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    }
}

/// The requests that were sent to a binding; `specific` are the addresses that other listeners have on the same port,
/// which win over a listener for every address.
pub(crate) fn conditions(
    arrival: Arrival,
    binding: Binding,
    specific: &[IpAddr],
    names: &[String],
    specific_names: &[String],
) -> Vec<Expr> {
    let Binding { address, port } = binding;
    let texts = |addresses: &[IpAddr]| {
        addresses
            .iter()
            .map(|address| original_destination(*address, port))
            .collect()
    };
    match (arrival, address) {
        (Arrival::Direct, Some(address)) => {
            vec![
                Expr::equal("server_port", port.to_string()),
                Expr::equal("server_addr", address.to_string()),
            ]
        }
        (Arrival::Direct, None) => {
            let mut all = vec![Expr::equal("server_port", port.to_string())];
            if !specific.is_empty() {
                let list = specific.iter().map(ToString::to_string).collect();
                all.push(Expr::compare("server_addr", Operator::In, Value::List(list)).negate());
            }
            all
        }
        (Arrival::Redirect, Some(address)) => {
            vec![Expr::equal(
                "connection_original_dst",
                original_destination(address, port),
            )]
        }
        (Arrival::Redirect, None) => {
            let mut all = vec![Expr::matches("connection_original_dst", format!(":{port}\\z"))];
            if !specific.is_empty() {
                all.push(Expr::compare("connection_original_dst", Operator::In, Value::List(texts(specific))).negate());
            }
            all
        }
        (Arrival::Host, Some(_)) => vec![on_port(port), named(names)],
        (Arrival::Host, None) => {
            let mut all = vec![on_port(port)];
            if !specific_names.is_empty() {
                all.push(named(specific_names).negate());
            }
            all
        }
    }
}

/// The Host header has this port; one without a port means 80.
fn on_port(port: u16) -> Expr {
    let pattern = if port == 80 {
        "^(?:[^:]*|\\[.*\\])(?::80)?\\z".to_owned()
    } else {
        format!(":{port}\\z")
    };
    Expr::matches("http_host", pattern)
}

/// The Host header has one of these names, with whatever port.
fn named(names: &[String]) -> Expr {
    let choices: Vec<String> = names.iter().map(|name| escape(name)).collect();
    Expr::compare(
        "http_host",
        Operator::MatchesIgnoringCase,
        Value::Text(format!("^(?:{})(?::[0-9]*)?\\z", choices.join("|"))),
    )
}
