//! What the checks of all resources share: refusals with their place, and the limits that many messages have.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::address::Address as Kind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, CidrRange, SocketAddress};
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use envoy_types::pb::google::protobuf::{Duration, UInt32Value};

use super::Reason;
use crate::field_path::Path;
use crate::regex::{Regex, RegexError};

/// The outcome of a check: the first thing that Envoy refuses.
pub(super) type Checked = Result<(), Reason>;

/// Refuses what is at that place.
pub(super) fn refuse(at: Path<'_>, message: impl Into<String>) -> Checked {
    Err(Reason::Invalid {
        path: at.to_string(),
        message: message.into(),
    })
}

/// A time that must not be less than nothing.
pub(super) fn not_negative(duration: Option<&Duration>, at: Path<'_>) -> Checked {
    match duration {
        Some(duration) if duration.seconds < 0 || duration.nanos < 0 => refuse(at, "negative duration"),
        _ => Ok(()),
    }
}

/// A time that must be more than nothing.
pub(super) fn positive(duration: Option<&Duration>, at: Path<'_>) -> Checked {
    match duration {
        Some(duration) if (duration.seconds, duration.nanos) <= (0, 0) => refuse(at, "duration must be greater than 0"),
        _ => Ok(()),
    }
}

/// A weight that must not be nothing.
pub(super) fn weight(weight: Option<&UInt32Value>, at: Path<'_>) -> Checked {
    match weight {
        Some(UInt32Value { value: 0 }) => refuse(at, "weight must be at least 1"),
        _ => Ok(()),
    }
}

/// A number with an upper limit.
pub(super) fn at_most(value: Option<&UInt32Value>, limit: u32, at: Path<'_>) -> Checked {
    match value {
        Some(UInt32Value { value }) if *value > limit => refuse(at, format!("{value} is greater than {limit}")),
        _ => Ok(()),
    }
}

/// A text that must not be empty.
pub(super) fn not_empty(text: &str, at: Path<'_>) -> Checked {
    if text.is_empty() {
        return refuse(at, "must not be empty");
    }
    Ok(())
}

/// A pattern that RE2 must accept.
pub(super) fn regex(matcher: &RegexMatcher, at: Path<'_>) -> Checked {
    not_empty(&matcher.regex, at.field("regex"))?;
    match Regex::parse(&matcher.regex) {
        Err(error @ RegexError::Invalid(_)) => refuse(at.field("regex"), error.to_string()),
        // What only PCRE cannot say is the translator's business.
        Ok(_) | Err(RegexError::NotPortable(_)) => Ok(()),
    }
}

/// An address. `numeric`: no name is looked up here, so it must be an IP address.
pub(super) fn address(address: &Address, numeric: bool, at: Path<'_>) -> Checked {
    match &address.address {
        Some(Kind::SocketAddress(socket)) => socket_address(socket, numeric, at.field("socket_address")),
        Some(Kind::Pipe(pipe)) => not_empty(&pipe.path, at.field("pipe").field("path")),
        Some(Kind::EnvoyInternalAddress(_)) => Ok(()),
        None => refuse(at, "no address"),
    }
}

fn socket_address(socket: &SocketAddress, numeric: bool, at: Path<'_>) -> Checked {
    not_empty(&socket.address, at.field("address"))?;
    match &socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) if *port > 65_535 => {
            return refuse(at.field("port_value"), format!("{port} is not a port"));
        }
        Some(PortSpecifier::NamedPort(name)) if numeric && socket.resolver_name.is_empty() => {
            let message = format!("{name:?} is not a number, and nothing looks it up");
            return refuse(at.field("named_port"), message);
        }
        Some(PortSpecifier::PortValue(_) | PortSpecifier::NamedPort(_)) => {}
        None => return refuse(at, "no port"),
    }
    if numeric && socket.resolver_name.is_empty() && socket.address.parse::<IpAddr>().is_err() {
        let message = format!("{:?} is not an IP address, and nothing looks it up", socket.address);
        return refuse(at.field("address"), message);
    }
    Ok(())
}

/// A range of addresses.
pub(super) fn cidr(range: &CidrRange, at: Path<'_>) -> Checked {
    if range.address_prefix.parse::<IpAddr>().is_err() {
        let message = format!("{:?} is not an IP address", range.address_prefix);
        return refuse(at.field("address_prefix"), message);
    }
    // Envoy takes more than 32 of an IPv4 address too, and means 32.
    at_most(range.prefix_len.as_ref(), 128, at.field("prefix_len"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Reason, ResourceType, decode};
    use super::*;
    use crate::dump;

    /// What Envoy refuses of a resource that is written as YAML; `None` when it takes it.
    pub(in crate::decode) fn refused(kind: ResourceType, yaml: &str) -> Option<String> {
        let document = format!("\"@type\": type.googleapis.com/{}\n{yaml}", kind.message());
        let dump = dump::read(document.as_bytes()).unwrap();
        assert_eq!(dump.rejected.len() + dump.resources.len(), 1, "{yaml}");
        dump.rejected.first().map(|rejected| match &rejected.reason {
            Reason::Invalid { path, message } => format!("{path}: {message}"),
            other => panic!("{yaml}: {other}"),
        })
    }

    #[test]
    fn what_is_refused_has_the_name_of_the_resource() {
        use envoy_types::pb::envoy::config::cluster::v3::Cluster;
        use prost::Message as _;
        let cluster = Cluster {
            name: "a".to_owned(),
            connect_timeout: Some(Duration { seconds: 0, nanos: 0 }),
            ..Cluster::default()
        };
        let rejected = decode(ResourceType::Cluster.message(), &cluster.encode_to_vec()).unwrap_err();
        assert_eq!(
            rejected.to_string(),
            r#"Cluster "a": connect_timeout: duration must be greater than 0"#
        );
    }

    #[test]
    fn ranges_and_addresses() {
        let range = |prefix: &str, length| CidrRange {
            address_prefix: prefix.to_owned(),
            prefix_len: Some(UInt32Value { value: length }),
        };
        assert!(cidr(&range("10.0.0.0", 8), Path::root()).is_ok());
        assert!(cidr(&range("::", 128), Path::root()).is_ok());
        assert!(cidr(&range("10.0.0.0", 33), Path::root()).is_ok());
        assert!(cidr(&range("::", 129), Path::root()).is_err());
        assert!(cidr(&range("ten", 8), Path::root()).is_err());
    }
}
