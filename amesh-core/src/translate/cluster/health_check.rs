//! Active health checks, which Istio does not send: reported, not carried over.

use envoy_types::pb::envoy::config::core::v3::HealthCheck;

use crate::feature::{Feature, Message, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/health_check",
    summary: "Endpoints are not probed; their health is what the control plane and outlier detection say.",
    messages: &[Message {
        name: "envoy.config.cluster.v3.Cluster",
        fields: &[
            unsupported("health_checks", &HEALTH_CHECK),
            unsupported("close_connections_on_host_health_failure", &HEALTH_CHECK),
            irrelevant(
                "ignore_health_on_host_removal",
                "asks for removed endpoints to be dropped at once, as APISIX always does",
            ),
        ],
    }],
    extensions: &[],
    rules: &[],
};

pub(crate) static HEALTH_CHECK: Rule = Rule {
    name: "cluster-health-check",
    outcome: Outcome::LeftOut,
    summary: "endpoints are not probed, so a dead one gets requests until the control plane reports it",
    explanation: "\
Envoy can probe the endpoints of a cluster and take out those that do not answer. Istio leaves that to the platform, \
which reports through endpoint discovery, so such checks come from EnvoyFilter resources. They are not carried over, \
and with them go the settings that only matter beside them.",
    advice: "use outlier detection (DestinationRule), which is carried over",
};

pub(crate) fn health_checks(checks: &[HealthCheck], close_connections: bool, at: Path<'_>, findings: &Findings) {
    if !checks.is_empty() {
        findings.add(&HEALTH_CHECK, at.field("health_checks"));
    }
    if close_connections {
        findings.add(&HEALTH_CHECK, at.field("close_connections_on_host_health_failure"));
    }
}
