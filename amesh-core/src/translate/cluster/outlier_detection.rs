//! Outlier detection becomes health checks: passive ones that eject, active ones that bring back.
//!
//! APISIX counts answers of a status in a row, as Envoy does, and takes a node out at a limit. It never lets one back by
//! itself: that takes an active probe, so unhealthy nodes are probed with a TCP connection at the interval that Envoy
//! would keep them out. Healthy nodes are probed once a day, which is as rarely as makes sense.

use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection;
use envoy_types::pb::google::protobuf::UInt32Value;

use super::health_check::HEALTH_CHECK;
use crate::apisix::{
    ActiveCheck, ActiveHealthy, ActiveUnhealthy, Checks, PassiveCheck, PassiveHealthy, PassiveUnhealthy,
};
use crate::feature::{Feature, Message, approximate, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::translate::value::duration;

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/outlier_detection",
    summary: "Failures in a row take a node out, as passive health checks; a TCP probe brings it back.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster",
            fields: &[approximate("outlier_detection", "upstream.checks", &OUTLIER)],
        },
        Message {
            name: "envoy.config.cluster.v3.OutlierDetection",
            fields: &[
                approximate(
                    "consecutive_5xx",
                    "upstream.checks.passive.unhealthy.http_failures",
                    &OUTLIER,
                ),
                unsupported("interval", &TIMING),
                approximate(
                    "base_ejection_time",
                    "upstream.checks.active.unhealthy.interval",
                    &OUTLIER,
                ),
                unsupported("max_ejection_percent", &EJECTED_SHARE),
                approximate("enforcing_consecutive_5xx", "upstream.checks", &ENFORCEMENT),
                approximate("enforcing_success_rate", "upstream.checks", &STATISTICAL),
                unsupported("success_rate_minimum_hosts", &STATISTICAL),
                unsupported("success_rate_request_volume", &STATISTICAL),
                unsupported("success_rate_stdev_factor", &STATISTICAL),
                approximate(
                    "consecutive_gateway_failure",
                    "upstream.checks.passive.unhealthy.http_failures",
                    &ONE_COUNTER,
                ),
                approximate("enforcing_consecutive_gateway_failure", "upstream.checks", &ENFORCEMENT),
                approximate("split_external_local_origin_errors", "upstream.checks", &ONE_COUNTER),
                approximate(
                    "consecutive_local_origin_failure",
                    "upstream.checks.passive.unhealthy.tcp_failures",
                    &ONE_COUNTER,
                ),
                approximate(
                    "enforcing_consecutive_local_origin_failure",
                    "upstream.checks",
                    &ENFORCEMENT,
                ),
                approximate("enforcing_local_origin_success_rate", "upstream.checks", &STATISTICAL),
                unsupported("failure_percentage_threshold", &STATISTICAL),
                unsupported("enforcing_failure_percentage", &STATISTICAL),
                unsupported("enforcing_failure_percentage_local_origin", &STATISTICAL),
                unsupported("failure_percentage_minimum_hosts", &STATISTICAL),
                unsupported("failure_percentage_request_volume", &STATISTICAL),
                unsupported("max_ejection_time", &TIMING),
                unsupported("max_ejection_time_jitter", &TIMING),
                unsupported("successful_active_health_check_uneject_host", &HEALTH_CHECK),
                unsupported("monitors", &EXTENSION),
                unsupported("always_eject_one_host", &EJECTED_SHARE),
                unsupported("detect_degraded_hosts", &EXTENSION),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

static OUTLIER: Rule = Rule {
    name: "outlier-detection",
    outcome: Outcome::Approximated,
    summary: "outlier detection becomes passive health checks with a TCP probe",
    explanation: "\
Envoy ejects an endpoint after a number of failures in a row and lets it back when the base ejection time, multiplied by \
how often it was ejected, has passed. APISIX takes a node out after the same number of failures in a row (at most 254) and \
probes it with a TCP connection, at the interval of the base ejection time (whole seconds): a node that accepts \
connections is back after at most that time, however often it failed. Only the registered HTTP statuses count. When all \
nodes are out, APISIX uses all of them, whatever the panic threshold says. Health is shared by the workers, and the first \
second after the first request is not watched.

A connection that cannot be established counts as the 502 or 504 that nginx answers then.",
    advice: "none is needed unless endpoints fail while they still accept connections; then they come back early",
};

static TIMING: Rule = Rule {
    name: "outlier-timing",
    outcome: Outcome::Approximated,
    summary: "endpoints come back when a probe succeeds, not by Envoy's schedule",
    explanation: "\
Envoy looks at ejected endpoints once per interval, keeps them out longer each time up to a maximum, and can spread their \
return at random. APISIX probes them at the base ejection time's interval and takes them back on the first success.",
    advice: "choose the base ejection time with that in mind",
};

static EJECTED_SHARE: Rule = Rule {
    name: "outlier-ejected-share",
    outcome: Outcome::Approximated,
    summary: "any number of endpoints can be out at a time; when all are, all are used",
    explanation: "\
Envoy stops ejecting when a share of the endpoints is out (max_ejection_percent, 10 % when it is not set, but always at \
least one unless told otherwise). APISIX takes out every node that fails, and when none is left it uses all of them.",
    advice: "none is needed unless the share was set to keep failing endpoints in use",
};

static ENFORCEMENT: Rule = Rule {
    name: "outlier-enforcement",
    outcome: Outcome::Approximated,
    summary: "an endpoint is always ejected when it reaches the limit, not with a probability",
    explanation: "\
Envoy ejects an endpoint that reached a limit with the enforcing percentage as probability; 0 % turns the detector off, \
which is carried over. Values between 0 and 100 become 100.",
    advice: "use 0 or 100",
};

static ONE_COUNTER: Rule = Rule {
    name: "outlier-one-counter",
    outcome: Outcome::Approximated,
    summary: "5xx answers, gateway errors and failed connections are counted together, with the limit of 5xx answers",
    explanation: "\
Envoy counts 5xx answers, gateway errors (502, 503, 504) and, when told to, failures on its own side of the connection \
each for itself. APISIX has one counter of statuses. When 5xx answers are watched, all of them count towards that limit, \
so an endpoint with only gateway errors is ejected at the limit of 5xx answers; when only gateway errors are watched, only \
they count. Failed connections appear as 502 and 504 and count with them.",
    advice: "watch either 5xx answers or gateway errors, not both with different limits",
};

static STATISTICAL: Rule = Rule {
    name: "outlier-statistical",
    outcome: Outcome::LeftOut,
    summary: "endpoints are not compared with each other: success rate and failure percentage do not eject",
    explanation: "\
Envoy can eject endpoints whose success rate is far below the others', which it does unless it is turned off (Istio turns \
it off), or whose failures pass a percentage. APISIX only counts failures in a row.",
    advice: "use failures in a row",
};

static EXTENSION: Rule = Rule {
    name: "outlier-extension",
    outcome: Outcome::LeftOut,
    summary: "further detectors of outliers are not run",
    explanation: "\
Envoy can load further detectors, and can mark endpoints as degraded that say so in their answers. APISIX only counts \
failures in a row.",
    advice: "use failures in a row",
};

/// The largest limit that APISIX accepts.
const LARGEST: u32 = 254;

/// Seconds between probes of healthy nodes. APISIX has no way to probe only unhealthy ones.
const RARELY: u32 = 86_400;

/// Seconds that Envoy keeps an endpoint out when nothing else is said.
const BASE_EJECTION_TIME: u32 = 30;

/// The registered statuses below 500. One of them ends a run of failures.
static SUCCESSES: &[u16] = &[
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308, 400, 401, 402, 403,
    404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429,
    431, 451,
];

/// The registered statuses from 500.
static FAILURES: &[u16] = &[500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511];

/// What Envoy calls gateway failures.
static GATEWAY_FAILURES: &[u16] = &[502, 503, 504];

/// The health checks that do what the outlier detection does; none when nothing would be ejected.
pub(crate) fn checks(outlier: &OutlierDetection, at: Path<'_>, findings: &Findings) -> Option<Checks> {
    let OutlierDetection {
        consecutive_5xx,
        interval,
        base_ejection_time,
        max_ejection_percent,
        enforcing_consecutive_5xx,
        enforcing_success_rate,
        success_rate_minimum_hosts,
        success_rate_request_volume,
        success_rate_stdev_factor,
        consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure,
        split_external_local_origin_errors,
        consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure,
        enforcing_local_origin_success_rate,
        failure_percentage_threshold,
        enforcing_failure_percentage,
        enforcing_failure_percentage_local_origin,
        failure_percentage_minimum_hosts,
        failure_percentage_request_volume,
        max_ejection_time,
        max_ejection_time_jitter,
        successful_active_health_check_uneject_host,
        monitors,
        always_eject_one_host,
        detect_degraded_hosts,
    } = outlier;

    let set = [
        (&TIMING, "interval", interval.is_some()),
        (&EJECTED_SHARE, "max_ejection_percent", max_ejection_percent.is_some()),
        (&TIMING, "max_ejection_time", max_ejection_time.is_some()),
        (&TIMING, "max_ejection_time_jitter", max_ejection_time_jitter.is_some()),
        (
            &HEALTH_CHECK,
            "successful_active_health_check_uneject_host",
            successful_active_health_check_uneject_host.is_some(),
        ),
        (&EXTENSION, "monitors", !monitors.is_empty()),
        (&EJECTED_SHARE, "always_eject_one_host", always_eject_one_host.is_some()),
        (&EXTENSION, "detect_degraded_hosts", detect_degraded_hosts.is_some()),
    ];
    for (rule, field, _) in set.into_iter().filter(|(_, _, set)| *set) {
        findings.add(rule, at.field(field));
    }

    let split = *split_external_local_origin_errors;
    let statistical = Statistical { at, findings };
    let local_rate = split && value(enforcing_local_origin_success_rate.as_ref(), 100) > 0;
    statistical.detector("enforcing_success_rate", enforcing_success_rate.as_ref(), 100);
    if local_rate {
        statistical.detector(
            "enforcing_local_origin_success_rate",
            enforcing_local_origin_success_rate.as_ref(),
            100,
        );
    }
    if local_rate || value(enforcing_success_rate.as_ref(), 100) > 0 {
        statistical.parameter("success_rate_minimum_hosts", success_rate_minimum_hosts.as_ref());
        statistical.parameter("success_rate_request_volume", success_rate_request_volume.as_ref());
        statistical.parameter("success_rate_stdev_factor", success_rate_stdev_factor.as_ref());
    }
    let local_percentage = split && value(enforcing_failure_percentage_local_origin.as_ref(), 0) > 0;
    statistical.detector("enforcing_failure_percentage", enforcing_failure_percentage.as_ref(), 0);
    if local_percentage {
        statistical.detector(
            "enforcing_failure_percentage_local_origin",
            enforcing_failure_percentage_local_origin.as_ref(),
            0,
        );
    }
    if local_percentage || value(enforcing_failure_percentage.as_ref(), 0) > 0 {
        statistical.parameter("failure_percentage_threshold", failure_percentage_threshold.as_ref());
        statistical.parameter(
            "failure_percentage_minimum_hosts",
            failure_percentage_minimum_hosts.as_ref(),
        );
        statistical.parameter(
            "failure_percentage_request_volume",
            failure_percentage_request_volume.as_ref(),
        );
    }

    let limit = |consecutive: &Option<UInt32Value>, enforcing: &Option<UInt32Value>, by_default, field| {
        let enforcing = value(enforcing.as_ref(), by_default);
        let limit = value(consecutive.as_ref(), 5);
        if enforcing == 0 || limit == 0 {
            return None;
        }
        if enforcing < 100 {
            findings.add_with(&ENFORCEMENT, at.field(field), format!("{enforcing} %"));
        }
        Some(limit)
    };
    let answers = limit(
        consecutive_5xx,
        enforcing_consecutive_5xx,
        100,
        "enforcing_consecutive_5xx",
    );
    let gateway = limit(
        consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure,
        0,
        "enforcing_consecutive_gateway_failure",
    );
    let local = if split {
        findings.add(&ONE_COUNTER, at.field("split_external_local_origin_errors"));
        limit(
            consecutive_local_origin_failure,
            enforcing_consecutive_local_origin_failure,
            100,
            "enforcing_consecutive_local_origin_failure",
        )
    } else {
        None
    };
    let (statuses, failures) = match (answers, gateway) {
        (None, None) => (GATEWAY_FAILURES, local?),
        (None, Some(gateway)) => (GATEWAY_FAILURES, gateway),
        (Some(answers), gateway) => {
            if gateway.is_some_and(|gateway| gateway < answers) {
                findings.add(&ONE_COUNTER, at.field("consecutive_gateway_failure"));
            }
            (FAILURES, answers)
        }
    };
    findings.add(&OUTLIER, at);
    let failures = failures.min(LARGEST);
    let connections = local.unwrap_or(failures).min(LARGEST);
    let out_for = base_ejection_time.as_ref().map_or(BASE_EJECTION_TIME, |time| {
        u32::try_from(duration::millis(time).div_ceil(1000))
            .unwrap_or(RARELY)
            .clamp(1, RARELY)
    });
    Some(Checks {
        active: ActiveCheck {
            kind: "tcp",
            healthy: ActiveHealthy {
                interval: RARELY,
                successes: 1,
            },
            unhealthy: ActiveUnhealthy {
                interval: out_for,
                tcp_failures: LARGEST,
                timeouts: LARGEST,
            },
        },
        passive: PassiveCheck {
            kind: "http",
            healthy: PassiveHealthy {
                http_statuses: SUCCESSES,
                successes: 1,
            },
            unhealthy: PassiveUnhealthy {
                http_statuses: statuses,
                http_failures: failures,
                tcp_failures: connections,
                timeouts: connections,
            },
        },
    })
}

fn value(field: Option<&UInt32Value>, by_default: u32) -> u32 {
    field.map_or(by_default, |field| field.value)
}

/// Reports detectors that compare endpoints with each other.
struct Statistical<'a, 'o> {
    at: Path<'a>,
    findings: &'a Findings<'o>,
}

impl Statistical<'_, '_> {
    /// A detector that is on, whether it is set or so by default.
    fn detector(&self, field: &'static str, enforcing: Option<&UInt32Value>, by_default: u32) {
        if value(enforcing, by_default) == 0 {
            return;
        }
        if enforcing.is_some() {
            self.findings.add(&STATISTICAL, self.at.field(field));
        } else {
            self.findings.add(&STATISTICAL, self.at);
        }
    }

    /// A parameter of a detector that is on.
    fn parameter(&self, field: &'static str, value: Option<&UInt32Value>) {
        if value.is_some() {
            self.findings.add(&STATISTICAL, self.at.field(field));
        }
    }
}
