//! Addresses: where an endpoint is, where a listener listens.
//!
//! APISIX connects to an IP address or a DNS name over TCP. Envoy also knows Unix domain sockets, listeners inside its
//! own process, and ports that have a name; nothing of that can be written into an APISIX object, so whatever is there
//! is left out, with a finding.

use std::borrow::Cow;
use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::address::Address as Kind;
use envoy_types::pb::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress};

use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "value/address",
    summary: "IP addresses and DNS names with a port are kept; other kinds of addresses have no counterpart.",
    messages: &[
        Message {
            name: "envoy.config.core.v3.Address",
            fields: &[
                exact("socket_address", "upstream.nodes[]"),
                unsupported("pipe", &NOT_TCP),
                unsupported("envoy_internal_address", &NOT_TCP),
            ],
        },
        Message {
            name: "envoy.config.core.v3.SocketAddress",
            fields: &[
                unsupported("protocol", &NOT_TCP),
                exact("address", "upstream.nodes[].host"),
                exact("port_value", "upstream.nodes[].port"),
                unsupported("named_port", &NOT_TCP),
                unsupported("resolver_name", &NOT_TCP),
                irrelevant(
                    "ipv4_compat",
                    "says how Envoy opens a socket of its own for both IP families; APISIX opens its own sockets",
                ),
                unsupported("network_namespace_filepath", &NOT_TCP),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

pub(crate) static NOT_TCP: Rule = Rule {
    name: "address-not-tcp",
    outcome: Outcome::LeftOut,
    summary: "an address that is not an IP address or a DNS name with a TCP port has no counterpart",
    explanation: "\
Envoy reaches endpoints, and takes connections, on Unix domain sockets, on listeners inside its own process (which \
Istio's ambient mode uses for its HBONE tunnels), on UDP ports, on ports that are looked up by name and inside other \
network namespaces. An APISIX node is an IP address or a DNS name and a TCP port, and port 0 is none.

What has such an address is left out: an endpoint gets no requests, and an upstream that has no other endpoint answers \
503.",
    advice: "give the endpoint a TCP address; a Unix domain socket can be put behind a TCP port with socat or the like",
};

/// A TCP address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Socket<'m> {
    /// An IP address, IPv6 in brackets and in its shortest form, or a DNS name.
    pub(crate) host: Cow<'m, str>,
    /// 1 to 65535.
    pub(crate) port: u16,
    /// Whether the host is a DNS name.
    pub(crate) name: bool,
}

/// Reads an address; when it is of a kind that APISIX does not know, the finding is added.
pub(crate) fn socket<'m>(address: &'m Address, at: Path<'_>, findings: &Findings) -> Option<Socket<'m>> {
    let Address { address } = address;
    match address {
        Some(Kind::SocketAddress(address)) => of_socket_address(address, at.field("socket_address"), findings),
        Some(Kind::Pipe(pipe)) => {
            findings.add_with(&NOT_TCP, at.field("pipe"), pipe.path.as_str());
            None
        }
        Some(Kind::EnvoyInternalAddress(_)) => {
            findings.add(&NOT_TCP, at.field("envoy_internal_address"));
            None
        }
        // Envoy refuses this.
        None => None,
    }
}

fn of_socket_address<'m>(address: &'m SocketAddress, at: Path<'_>, findings: &Findings) -> Option<Socket<'m>> {
    let SocketAddress {
        protocol,
        address: host,
        resolver_name,
        ipv4_compat: _,
        network_namespace_filepath,
        port_specifier,
    } = address;
    let refused = |field, detail: &str| {
        findings.add_with(&NOT_TCP, at.field(field), detail);
        None
    };
    if *protocol != i32::from(Protocol::Tcp) {
        return refused("protocol", "UDP");
    }
    if !resolver_name.is_empty() {
        return refused("resolver_name", resolver_name);
    }
    if !network_namespace_filepath.is_empty() {
        return refused("network_namespace_filepath", network_namespace_filepath);
    }
    let port = match port_specifier {
        Some(PortSpecifier::PortValue(port)) => *port,
        Some(PortSpecifier::NamedPort(port)) => return refused("named_port", port),
        // Envoy refuses this.
        None => return None,
    };
    let Some(port) = u16::try_from(port).ok().filter(|port| *port > 0) else {
        return refused("port_value", &port.to_string());
    };
    let (host, name) = match host.parse() {
        // Rust reads only the canonical form of an IPv4 address.
        Ok(IpAddr::V4(_)) => (Cow::Borrowed(host.as_str()), false),
        Ok(IpAddr::V6(ip)) => (Cow::Owned(format!("[{ip}]")), false),
        Err(_) if is_name(host) => (Cow::Borrowed(host.as_str()), true),
        Err(_) => return refused("address", host),
    };
    Some(Socket { host, port, name })
}

/// Whether APISIX takes this as a node's host and a resolver could find it.
fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Pipe;

    use super::*;
    use crate::decode::ResourceType;
    use crate::finding::ResourceName;
    use crate::options::Options;

    fn check(address: Kind, expected: Result<(&str, u16, bool), &str>) {
        let options = Options::default();
        let resource = ResourceName {
            kind: ResourceType::Cluster,
            name: "c".to_owned(),
        };
        let findings = Findings::new(&options, resource, &[]);
        let root = Path::root();
        let address = Address { address: Some(address) };
        let found = socket(&address, root.field("address"), &findings);
        let findings = findings.into_sorted();
        match expected {
            Ok((host, port, name)) => {
                let expected = Socket {
                    host: host.into(),
                    port,
                    name,
                };
                assert_eq!(found, Some(expected));
                assert_eq!(findings, []);
            }
            Err(path) => {
                assert_eq!(found, None);
                assert_eq!(findings.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), [path]);
            }
        }
    }

    fn tcp(host: &str, port: u32) -> SocketAddress {
        SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..SocketAddress::default()
        }
    }

    #[test]
    fn ip_addresses_and_names_are_kept() {
        check(Kind::SocketAddress(tcp("10.0.0.1", 80)), Ok(("10.0.0.1", 80, false)));
        check(
            Kind::SocketAddress(tcp("fd00:0:0::1", 65535)),
            Ok(("[fd00::1]", 65535, false)),
        );
        check(
            Kind::SocketAddress(tcp("a-b.example.com", 1)),
            Ok(("a-b.example.com", 1, true)),
        );
    }

    #[test]
    fn other_addresses_are_reported_where_they_stand() {
        check(
            Kind::SocketAddress(tcp("10.0.0.1", 0)),
            Err("address.socket_address.port_value"),
        );
        check(
            Kind::SocketAddress(tcp("10.0.0.1", 65536)),
            Err("address.socket_address.port_value"),
        );
        check(Kind::SocketAddress(tcp("", 80)), Err("address.socket_address.address"));
        check(
            Kind::SocketAddress(tcp("*.example.com", 80)),
            Err("address.socket_address.address"),
        );
        let udp = SocketAddress {
            protocol: Protocol::Udp.into(),
            ..tcp("10.0.0.1", 80)
        };
        check(Kind::SocketAddress(udp), Err("address.socket_address.protocol"));
        let named = SocketAddress {
            port_specifier: Some(PortSpecifier::NamedPort("http".to_owned())),
            ..tcp("10.0.0.1", 80)
        };
        check(Kind::SocketAddress(named), Err("address.socket_address.named_port"));
        check(Kind::Pipe(Pipe::default()), Err("address.pipe"));
    }
}
