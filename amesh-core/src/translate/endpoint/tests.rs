//! The choice of endpoints, compared with what Envoy 1.40 was seen to do with the same assignments.

use envoy_types::pb::envoy::config::core::v3::address::Address as Kind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, HealthStatus, Locality, SocketAddress};
use envoy_types::pb::google::protobuf::UInt32Value;

use super::*;
use crate::decode::ResourceType;
use crate::finding::ResourceName;
use crate::options::Options;

use HealthStatus::{Degraded, Draining, Healthy, Timeout, Unhealthy};

/// An endpoint on that port.
fn on(port: u32, health: HealthStatus) -> LbEndpoint {
    weighted(port, health, None)
}

fn weighted(port: u32, health: HealthStatus, weight: Option<u32>) -> LbEndpoint {
    let address = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    let endpoint = Endpoint {
        address: Some(Address {
            address: Some(Kind::SocketAddress(address)),
        }),
        ..Endpoint::default()
    };
    LbEndpoint {
        health_status: health.into(),
        load_balancing_weight: weight.map(|value| UInt32Value { value }),
        host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
        ..LbEndpoint::default()
    }
}

fn group(priority: u32, lb_endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    LocalityLbEndpoints {
        priority,
        lb_endpoints,
        ..LocalityLbEndpoints::default()
    }
}

fn located(region: Option<&str>, weight: Option<u32>, lb_endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    LocalityLbEndpoints {
        locality: region.map(|region| Locality {
            region: region.to_owned(),
            ..Locality::default()
        }),
        load_balancing_weight: weight.map(|value| UInt32Value { value }),
        lb_endpoints,
        ..LocalityLbEndpoints::default()
    }
}

const PLAIN: Use = Use {
    names: false,
    unique: true,
    panic_threshold: 50,
    locality_weights: false,
    balances: Balances::ByWeight,
};
const CALM: Use = Use {
    panic_threshold: 0,
    ..PLAIN
};
const INLINE: Use = Use { unique: false, ..PLAIN };
const BY_LOCALITY: Use = Use {
    locality_weights: true,
    ..PLAIN
};

/// Compares the nodes, as `port:weight@priority`.
fn check(how: Use, endpoints: Vec<LocalityLbEndpoints>, expected: &str) {
    check_with(how, Policy::default(), endpoints, expected);
}

fn check_with(how: Use, policy: Policy, endpoints: Vec<LocalityLbEndpoints>, expected: &str) {
    let options = Options::default();
    let findings = Findings::new(
        &options,
        ResourceName {
            kind: ResourceType::ClusterLoadAssignment,
            name: "c".to_owned(),
        },
        &[],
    );
    let assignment = ClusterLoadAssignment {
        endpoints,
        policy: Some(policy),
        ..ClusterLoadAssignment::default()
    };
    let nodes = super::endpoints(&assignment, how, |_, _| 0, Path::root(), &findings);
    let nodes: Vec<String> = nodes
        .iter()
        .map(|node| format!("{}:{}@{}", node.port, node.weight, node.priority))
        .collect();
    assert_eq!(nodes.join(" "), expected);
}

#[test]
fn too_few_healthy_endpoints_are_panic() {
    let one_of_four = || {
        let unhealthy = vec![on(2, Unhealthy), on(3, Draining), on(4, Timeout), on(5, Unhealthy)];
        vec![group(0, [vec![on(1, Healthy)], unhealthy].concat())]
    };
    check(PLAIN, one_of_four(), "1:1@0 2:1@0 3:1@0 4:1@0 5:1@0");
    check(CALM, one_of_four(), "1:1@0");
    let draining = || vec![group(0, vec![on(1, Draining), on(2, Draining)])];
    check(PLAIN, draining(), "1:1@0 2:1@0");
    check(CALM, draining(), "");
    // Draining endpoints do not count, so this is one of two.
    check(
        PLAIN,
        vec![group(0, vec![on(1, Draining), on(6, Unhealthy), on(2, Healthy)])],
        "2:1@0",
    );
    check(
        PLAIN,
        vec![group(0, vec![weighted(1, Unhealthy, Some(3)), on(2, Unhealthy)])],
        "1:3@0 2:1@0",
    );
}

#[test]
fn priorities_are_healthy_each_for_itself_and_panic_together() {
    check(
        PLAIN,
        vec![group(0, vec![on(1, Unhealthy)]), group(1, vec![on(2, Healthy)])],
        "2:1@-1",
    );
    check(PLAIN, vec![group(0, vec![]), group(2, vec![on(5, Healthy)])], "5:1@-2");
    // 35 % and 70 %: enough together.
    let first = group(
        0,
        vec![on(1, Healthy), on(2, Unhealthy), on(3, Unhealthy), on(4, Unhealthy)],
    );
    check(
        PLAIN,
        vec![first.clone(), group(1, vec![on(5, Healthy), on(6, Unhealthy)])],
        "1:1@0 5:1@-1",
    );
    // 35 % and 46 %: not enough, and both have too few healthy endpoints.
    let third = vec![on(5, Healthy), on(6, Unhealthy), on(7, Unhealthy)];
    check(
        PLAIN,
        vec![first.clone(), group(1, third)],
        "1:1@0 2:1@0 3:1@0 4:1@0 5:1@0 6:1@0 7:1@0",
    );
    // 35 % and 62 %: not enough, but only the first has too few healthy endpoints.
    let mut most = vec![on(5, Healthy), on(6, Healthy), on(7, Healthy), on(8, Healthy)];
    most.extend([9, 10, 11, 12].map(|port| on(port, Unhealthy)));
    most.push(on(13, Unhealthy));
    let threshold = Use {
        panic_threshold: 40,
        ..PLAIN
    };
    check(
        threshold,
        vec![first, group(1, most)],
        "1:1@0 2:1@0 3:1@0 4:1@0 5:1@-1 6:1@-1 7:1@-1 8:1@-1",
    );
}

#[test]
fn degraded_endpoints_come_after_the_healthy_ones_of_all_priorities() {
    check(
        PLAIN,
        vec![group(0, vec![on(1, Degraded)]), group(1, vec![on(2, Healthy)])],
        "1:1@-129 2:1@-1",
    );
}

#[test]
fn an_address_that_stands_twice_counts_once_when_discovered() {
    let twice = || {
        vec![group(
            0,
            vec![on(1, Healthy), weighted(1, Healthy, Some(5)), on(2, Healthy)],
        )]
    };
    check(PLAIN, twice(), "1:1@0 2:1@0");
    check(INLINE, twice(), "1:6@0 2:1@0");
    // The one that stands first, whatever its health and priority.
    check(
        CALM,
        vec![group(0, vec![on(1, Unhealthy)]), group(0, vec![on(1, Healthy)])],
        "",
    );
    check(
        PLAIN,
        vec![group(1, vec![on(1, Healthy)]), group(0, vec![on(1, Healthy)])],
        "1:1@-1",
    );
}

#[test]
fn localities_share_by_weight() {
    let of = |region, weight, ports: &[u32]| {
        located(
            Some(region),
            weight,
            ports.iter().map(|port| on(*port, Healthy)).collect(),
        )
    };
    check(
        BY_LOCALITY,
        vec![of("a", Some(80), &[1, 2]), of("b", Some(20), &[3])],
        "1:2@0 2:2@0 3:1@0",
    );
    check(
        BY_LOCALITY,
        vec![
            of("a", Some(80), &[1]),
            of("a", Some(10), &[2]),
            of("b", Some(10), &[3]),
        ],
        "1:1@0 2:1@0 3:2@0",
    );
    // Without a locality or a weight there is no share, unless nobody has one.
    let nowhere = located(None, Some(80), vec![on(1, Healthy)]);
    check(BY_LOCALITY, vec![nowhere, of("b", Some(20), &[3])], "3:1@0");
    check(BY_LOCALITY, vec![of("a", None, &[1]), of("b", Some(20), &[3])], "3:1@0");
    check(
        BY_LOCALITY,
        vec![of("a", None, &[1, 2]), of("b", None, &[3])],
        "1:1@0 2:1@0 3:1@0",
    );
    check(
        BY_LOCALITY,
        vec![of("a", Some(1), &[]), of("b", Some(20), &[3])],
        "3:1@0",
    );
}

#[test]
fn localities_lose_share_with_health_and_all_of_it_in_panic() {
    let half = located(Some("a"), Some(50), vec![on(1, Healthy), on(2, Unhealthy)]);
    let whole = located(Some("b"), Some(50), vec![on(3, Healthy)]);
    check(BY_LOCALITY, vec![half, whole], "1:7@0 3:10@0");
    let down = located(Some("a"), Some(80), vec![on(1, Unhealthy), on(2, Unhealthy)]);
    let up = located(Some("b"), Some(20), vec![on(3, Unhealthy)]);
    check(BY_LOCALITY, vec![down, up], "1:1@0 2:1@0 3:1@0");
    let degraded = located(Some("a"), Some(80), vec![on(1, Healthy), on(2, Degraded)]);
    let healthy = located(Some("b"), Some(20), vec![on(3, Healthy)]);
    check(BY_LOCALITY, vec![degraded, healthy], "1:14@0 2:1@-129 3:5@0");
}

#[test]
fn the_largest_weights_stay_in_bounds() {
    let heavy = |region, port| {
        located(
            Some(region),
            Some(u32::MAX),
            vec![weighted(port, Healthy, Some(u32::MAX))],
        )
    };
    let light = located(Some("c"), Some(1), vec![on(3, Healthy)]);
    check(
        BY_LOCALITY,
        vec![heavy("a", 1), heavy("b", 2), light],
        "1:10000@0 2:10000@0 3:1@0",
    );
    let most = Policy {
        overprovisioning_factor: Some(UInt32Value { value: u32::MAX }),
        weighted_priority_health: true,
        ..Policy::default()
    };
    let weights = vec![
        weighted(1, Healthy, Some(u32::MAX)),
        weighted(2, Unhealthy, Some(u32::MAX)),
    ];
    check_with(PLAIN, most, vec![group(u32::MAX, weights)], "1:4294967295@-4294967295");
    let twice = vec![weighted(1, Healthy, Some(u32::MAX)), on(1, Healthy)];
    check(INLINE, vec![group(0, twice)], "1:4294967295@0");
}
