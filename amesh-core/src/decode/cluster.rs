//! What Envoy refuses of a cluster.

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, LbConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{Cluster, OutlierDetection};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;

use super::check::{Checked, at_most, positive, refuse};
use super::endpoint;
use crate::field_path::Path;

/// Entries that a ring may have.
const MAX_RING: u64 = 8_388_608;
/// Entries that a ring has at least, unless the cluster says otherwise.
const DEFAULT_RING: u64 = 1024;
/// Entries that a Maglev table may have.
const MAX_MAGLEV: u64 = 5_000_011;

#[expect(deprecated, reason = "Istio still sends the old setting of name resolution")]
pub(super) fn check(cluster: &Cluster) -> Checked {
    let at = Path::root();
    positive(cluster.connect_timeout.as_ref(), at.field("connect_timeout"))?;
    positive(cluster.cleanup_interval.as_ref(), at.field("cleanup_interval"))?;
    positive(cluster.dns_refresh_rate.as_ref(), at.field("dns_refresh_rate"))?;
    let discovery = match cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(number)) => DiscoveryType::try_from(number).ok(),
        Some(ClusterDiscoveryType::ClusterType(_)) => None,
        None => Some(DiscoveryType::Static),
    };
    if let Some(assignment) = &cluster.load_assignment {
        let numeric = matches!(discovery, Some(DiscoveryType::Static | DiscoveryType::Eds));
        endpoint::check(assignment, numeric, at.field("load_assignment"))?;
    }
    if discovery == Some(DiscoveryType::LogicalDns) {
        check_logical_dns(cluster.load_assignment.as_ref(), at.field("load_assignment"))?;
    }
    check_policy(cluster, discovery, at)?;
    if let Some(config) = &cluster.common_lb_config {
        check_common(config, at.field("common_lb_config"))?;
    }
    match &cluster.outlier_detection {
        Some(detection) => check_outliers(detection, at.field("outlier_detection")),
        None => Ok(()),
    }
}

/// A cluster of one name has one endpoint.
fn check_logical_dns(assignment: Option<&ClusterLoadAssignment>, at: Path<'_>) -> Checked {
    match assignment.map_or(&[][..], |assignment| assignment.endpoints.as_slice()) {
        [locality] if locality.lb_endpoints.len() == 1 => Ok(()),
        _ => refuse(
            at.field("endpoints"),
            "a LOGICAL_DNS cluster must have one locality with one endpoint",
        ),
    }
}

fn check_policy(cluster: &Cluster, discovery: Option<DiscoveryType>, at: Path<'_>) -> Checked {
    if cluster.load_balancing_policy.is_none() {
        let provided = cluster.lb_policy() == LbPolicy::ClusterProvided;
        let at = at.field("lb_policy");
        match discovery {
            Some(DiscoveryType::OriginalDst) if !provided => {
                return refuse(at, "an ORIGINAL_DST cluster must have CLUSTER_PROVIDED");
            }
            Some(DiscoveryType::Static | DiscoveryType::Eds | DiscoveryType::StrictDns | DiscoveryType::LogicalDns)
                if provided =>
            {
                return refuse(
                    at,
                    "CLUSTER_PROVIDED is only for ORIGINAL_DST and clusters of an extension",
                );
            }
            _ => {}
        }
    }
    match &cluster.lb_config {
        Some(LbConfig::RingHashLbConfig(ring)) => {
            let at = at.field("ring_hash_lb_config");
            let least = ring.minimum_ring_size.as_ref().map(|size| size.value);
            let most = ring.maximum_ring_size.as_ref().map(|size| size.value);
            for (size, field) in [(least, "minimum_ring_size"), (most, "maximum_ring_size")] {
                if size.is_some_and(|size| size > MAX_RING) {
                    return refuse(at.field(field), format!("greater than {MAX_RING}"));
                }
            }
            let least = least.unwrap_or(DEFAULT_RING);
            if cluster.lb_policy() == LbPolicy::RingHash && most.is_some_and(|most| least > most) {
                let message = format!("{least} is greater than maximum_ring_size");
                return refuse(at.field("minimum_ring_size"), message);
            }
            Ok(())
        }
        Some(LbConfig::MaglevLbConfig(maglev)) => {
            let config = at.field("maglev_lb_config");
            let at = config.field("table_size");
            match maglev.table_size.as_ref().map(|size| size.value) {
                Some(size) if size > MAX_MAGLEV => refuse(at, format!("{size} is greater than {MAX_MAGLEV}")),
                Some(size) if cluster.lb_policy() == LbPolicy::Maglev && !is_prime(size) => {
                    refuse(at, format!("{size} is not a prime number"))
                }
                _ => Ok(()),
            }
        }
        Some(LbConfig::OriginalDstLbConfig(config)) => at_most(
            config.upstream_port_override.as_ref(),
            65_535,
            at.field("original_dst_lb_config").field("upstream_port_override"),
        ),
        Some(LbConfig::LeastRequestLbConfig(config)) => match &config.choice_count {
            Some(count) if count.value < 2 => refuse(
                at.field("least_request_lb_config").field("choice_count"),
                "must be at least 2",
            ),
            _ => Ok(()),
        },
        Some(LbConfig::RoundRobinLbConfig(_)) | None => Ok(()),
    }
}

fn is_prime(number: u64) -> bool {
    number > 1 && (2..=number.isqrt()).all(|divisor| !number.is_multiple_of(divisor))
}

fn check_common(config: &CommonLbConfig, at: Path<'_>) -> Checked {
    match &config.healthy_panic_threshold {
        Some(percent) if !(0.0..=100.0).contains(&percent.value) => refuse(
            at.field("healthy_panic_threshold"),
            format!("{} is not a percentage", percent.value),
        ),
        _ => Ok(()),
    }
}

fn check_outliers(detection: &OutlierDetection, at: Path<'_>) -> Checked {
    for (duration, field) in [
        (&detection.interval, "interval"),
        (&detection.base_ejection_time, "base_ejection_time"),
        (&detection.max_ejection_time, "max_ejection_time"),
    ] {
        positive(duration.as_ref(), at.field(field))?;
    }
    for (percent, field) in [
        (&detection.max_ejection_percent, "max_ejection_percent"),
        (&detection.enforcing_consecutive_5xx, "enforcing_consecutive_5xx"),
        (&detection.enforcing_success_rate, "enforcing_success_rate"),
        (
            &detection.enforcing_consecutive_gateway_failure,
            "enforcing_consecutive_gateway_failure",
        ),
        (
            &detection.enforcing_consecutive_local_origin_failure,
            "enforcing_consecutive_local_origin_failure",
        ),
        (
            &detection.enforcing_local_origin_success_rate,
            "enforcing_local_origin_success_rate",
        ),
        (&detection.failure_percentage_threshold, "failure_percentage_threshold"),
        (&detection.enforcing_failure_percentage, "enforcing_failure_percentage"),
        (
            &detection.enforcing_failure_percentage_local_origin,
            "enforcing_failure_percentage_local_origin",
        ),
    ] {
        at_most(percent.as_ref(), 100, at.field(field))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ResourceType;
    use super::super::check::tests::refused;

    fn cluster(text: &str) -> Option<String> {
        refused(ResourceType::Cluster, &format!("name: a\n{text}"))
    }

    const HOST: &str = "load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: \
                        {socket_address: {address: a.example, port_value: 80}}}}]}]}";

    #[test]
    fn what_envoy_refuses() {
        for (text, path) in [
            ("connect_timeout: 0s", "connect_timeout: "),
            ("connect_timeout: -1s", "connect_timeout: "),
            (
                HOST,
                "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: ",
            ),
            (
                "type: LOGICAL_DNS\nload_assignment: {cluster_name: a, endpoints: [{}, {}]}",
                "load_assignment.endpoints: ",
            ),
            ("type: EDS\nlb_policy: CLUSTER_PROVIDED", "lb_policy: "),
            ("lb_policy: CLUSTER_PROVIDED", "lb_policy: "),
            ("type: ORIGINAL_DST", "lb_policy: "),
            (
                "ring_hash_lb_config: {minimum_ring_size: 8388609}",
                "ring_hash_lb_config.minimum_ring_size: ",
            ),
            (
                "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 8}",
                "ring_hash_lb_config.minimum_ring_size: ",
            ),
            (
                "maglev_lb_config: {table_size: 5000012}",
                "maglev_lb_config.table_size: ",
            ),
            (
                "lb_policy: RING_HASH\nring_hash_lb_config: {maximum_ring_size: 8}",
                "ring_hash_lb_config.minimum_ring_size: ",
            ),
            (
                "lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 10}",
                "maglev_lb_config.table_size: ",
            ),
            ("dns_refresh_rate: 0s", "dns_refresh_rate: "),
            ("type: LOGICAL_DNS", "load_assignment.endpoints: "),
            (
                "common_lb_config: {healthy_panic_threshold: {value: 101}}",
                "common_lb_config.healthy_panic_threshold: ",
            ),
            ("outlier_detection: {interval: 0s}", "outlier_detection.interval: "),
            (
                "outlier_detection: {max_ejection_percent: 101}",
                "outlier_detection.max_ejection_percent: ",
            ),
        ] {
            let refused = cluster(text).unwrap_or_else(|| panic!("{text} is taken"));
            assert!(refused.starts_with(path), "{text}: {refused}");
        }
    }

    #[test]
    fn what_envoy_takes() {
        for text in [
            "type: EDS",
            "type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED",
            &format!("type: STRICT_DNS\n{HOST}"),
            &format!("type: LOGICAL_DNS\n{HOST}"),
            "common_lb_config: {healthy_panic_threshold: {}}",
            "outlier_detection: {consecutive_5xx: 0}",
            "ring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 8}",
            "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 2000, maximum_ring_size: 2000}",
            "lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 65537}",
        ] {
            assert_eq!(cluster(text), None, "{text}");
        }
    }
}
