//! What Envoy refuses of a load assignment.

use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LocalityLbEndpoints};

use super::check::{Checked, address, positive, refuse, weight};
use crate::field_path::Path;

/// Priorities that Envoy counts.
const MAX_PRIORITY: u32 = 128;

/// Checks the endpoints of a cluster. `numeric`: no name is looked up, so each must have an IP address.
pub(super) fn check(assignment: &ClusterLoadAssignment, numeric: bool, at: Path<'_>) -> Checked {
    let endpoints = at.field("endpoints");
    for (index, locality) in assignment.endpoints.iter().enumerate() {
        check_locality(locality, numeric, endpoints.index(index))?;
    }
    let Some(policy) = &assignment.policy else {
        return Ok(());
    };
    let at = at.field("policy");
    positive(policy.endpoint_stale_after.as_ref(), at.field("endpoint_stale_after"))?;
    match &policy.overprovisioning_factor {
        Some(factor) if factor.value == 0 => refuse(at.field("overprovisioning_factor"), "must be greater than 0"),
        _ => Ok(()),
    }
}

fn check_locality(locality: &LocalityLbEndpoints, numeric: bool, at: Path<'_>) -> Checked {
    weight(
        locality.load_balancing_weight.as_ref(),
        at.field("load_balancing_weight"),
    )?;
    if locality.priority > MAX_PRIORITY {
        let message = format!("{} is greater than {MAX_PRIORITY}", locality.priority);
        return refuse(at.field("priority"), message);
    }
    let endpoints = at.field("lb_endpoints");
    for (index, endpoint) in locality.lb_endpoints.iter().enumerate() {
        let at = endpoints.index(index);
        weight(
            endpoint.load_balancing_weight.as_ref(),
            at.field("load_balancing_weight"),
        )?;
        match &endpoint.host_identifier {
            Some(HostIdentifier::Endpoint(endpoint)) => check_endpoint(endpoint, numeric, at.field("endpoint"))?,
            Some(HostIdentifier::EndpointName(_)) | None => {}
        }
    }
    Ok(())
}

fn check_endpoint(endpoint: &Endpoint, numeric: bool, at: Path<'_>) -> Checked {
    match &endpoint.address {
        Some(main) => address(main, numeric, at.field("address"))?,
        None => return refuse(at.field("address"), "must be set"),
    }
    let additional = at.field("additional_addresses");
    for (index, other) in endpoint.additional_addresses.iter().enumerate() {
        if let Some(other) = &other.address {
            address(other, numeric, additional.index(index).field("address"))?;
        }
    }
    match &endpoint.health_check_config {
        Some(config) if config.port_value > 65_535 => refuse(
            at.field("health_check_config").field("port_value"),
            format!("{} is not a port", config.port_value),
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::google::protobuf::UInt32Value;

    use super::super::ResourceType;
    use super::super::check::tests::refused;
    use super::*;

    fn endpoint(text: &str) -> Option<String> {
        refused(
            ResourceType::ClusterLoadAssignment,
            &format!("cluster_name: a\nendpoints: [{{lb_endpoints: [{text}]}}]"),
        )
    }

    #[test]
    fn what_envoy_refuses() {
        assert_eq!(
            endpoint("{endpoint: {address: {socket_address: {address: a.example, port_value: 80}}}}").unwrap(),
            "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: \
             \"a.example\" is not an IP address, and nothing looks it up"
        );
        assert_eq!(
            endpoint("{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 65536}}}}").unwrap(),
            "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value: 65536 is not a port"
        );
        assert_eq!(
            endpoint(
                "{load_balancing_weight: 0, endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}}}"
            )
            .unwrap(),
            "endpoints[0].lb_endpoints[0].load_balancing_weight: weight must be at least 1"
        );
        assert_eq!(
            endpoint("{endpoint: {}}").unwrap(),
            "endpoints[0].lb_endpoints[0].endpoint.address: must be set"
        );
        assert_eq!(
            endpoint("{endpoint: {address: {socket_address: {address: 10.0.0.1, named_port: http}}}}").unwrap(),
            "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.named_port: \
             \"http\" is not a number, and nothing looks it up"
        );
        let locality = |text: &str| {
            refused(
                ResourceType::ClusterLoadAssignment,
                &format!("cluster_name: a\nendpoints: [{text}]"),
            )
        };
        assert!(locality("{priority: 129}").is_some());
        let policy = |text: &str| {
            refused(
                ResourceType::ClusterLoadAssignment,
                &format!("cluster_name: a\npolicy: {text}"),
            )
        };
        assert!(policy("{overprovisioning_factor: 0}").is_some());
        assert!(policy("{endpoint_stale_after: 0s}").is_some());
    }

    #[test]
    fn a_locality_of_weight_0_is_refused_on_the_wire_and_means_none_in_a_dump() {
        let assignment = ClusterLoadAssignment {
            cluster_name: "a".to_owned(),
            endpoints: vec![LocalityLbEndpoints {
                load_balancing_weight: Some(UInt32Value { value: 0 }),
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        };
        assert!(check(&assignment, true, Path::root()).is_err());
        let dumped = "cluster_name: a\nendpoints: [{load_balancing_weight: 0}]";
        assert_eq!(refused(ResourceType::ClusterLoadAssignment, dumped), None);
    }

    #[test]
    fn what_envoy_takes() {
        let taken = "{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 0}}}}";
        assert_eq!(endpoint(taken), None);
        assert_eq!(endpoint(&format!("{taken}, {taken}")), None);
        assert_eq!(endpoint("{endpoint: {address: {pipe: {path: /tmp/socket}}}}"), None);
        assert_eq!(
            refused(
                ResourceType::ClusterLoadAssignment,
                "cluster_name: a\nendpoints: [{priority: 0}, {priority: 7}, {locality: {zone: a}}, {locality: {zone: a}}]"
            ),
            None
        );
    }
}
