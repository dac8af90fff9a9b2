//! Slow start (`warmup` in Istio): the share of a new endpoint grows over some time.
//!
//! Envoy multiplies the weight of an endpoint that is younger than the window with the part of the window that is over,
//! bent by `aggression`, and never with less than `min_weight_percent`. Amesh's balancers do the same; stock APISIX has
//! no such thing.

use envoy_types::pb::envoy::config::cluster::v3::cluster::SlowStartConfig;
use envoy_types::pb::envoy::config::core::v3::RuntimeDouble;
use envoy_types::pb::envoy::r#type::v3::Percent;

use crate::feature::{Feature, Message, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::value::duration;

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/slow_start",
    summary: "With the package, new endpoints get their share little by little.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig",
            fields: &[unsupported("slow_start_config", &SLOW_START).amesh_approximate("upstream.key", &WORKER)],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig",
            fields: &[
                unsupported("slow_start_config", &SLOW_START).amesh_approximate("upstream.type, upstream.key", &WORKER)
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.SlowStartConfig",
            fields: &[
                unsupported("slow_start_window", &SLOW_START).amesh_exact("upstream.key"),
                unsupported("aggression", &SLOW_START).amesh_exact("upstream.key"),
                unsupported("min_weight_percent", &SLOW_START).amesh_exact("upstream.key"),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

pub(super) static SLOW_START: Rule = Rule {
    name: "lb-slow-start",
    outcome: Outcome::LeftOut,
    summary: "a new endpoint gets its full share of the requests at once",
    explanation: "\
With slow start (warmup in Istio), Envoy lets the share of a new endpoint grow over some time, so that caches can fill and \
code can be compiled. APISIX gives it its full share at once.",
    advice: "load Amesh's Lua package; or let endpoints report ready only when they are warm",
};

static WORKER: Rule = Rule {
    name: "lb-slow-start-worker",
    outcome: Outcome::Approximated,
    summary: "an endpoint is new from when a worker of nginx first balances to it",
    explanation: "\
Envoy counts from when it learns of an endpoint, or when a health check finds it well again. Each worker of nginx counts for \
itself, from the first request to the cluster after that. While a cluster has one endpoint APISIX asks no balancer, so a \
second one is not newer than the first, and both have their full share at once.",
    advice: "none is needed, but for clusters that grow from one endpoint to two",
};

/// The end of a balancer's key that says how new endpoints are treated; nothing where they are like others.
pub(super) fn slow_start(config: Option<&SlowStartConfig>, at: Path<'_>, findings: &Findings) -> Option<String> {
    let SlowStartConfig {
        slow_start_window,
        aggression,
        min_weight_percent,
    } = config?;
    let at = at.field("slow_start_config");
    // Without a window there is no slow start.
    let window = slow_start_window.as_ref().map_or(0, duration::millis);
    if window == 0 {
        return None;
    }
    if findings.options().target == Target::Native {
        findings.add(&SLOW_START, at);
        return None;
    }
    findings.add(&WORKER, at);
    let aggression = aggression.as_ref().map_or(
        1.0,
        |RuntimeDouble {
             default_value,
             runtime_key: _,
         }| *default_value,
    );
    // What Envoy does with a value that makes no sense.
    let aggression = if aggression.is_finite() && aggression > 0.0 {
        aggression
    } else {
        1.0
    };
    let least = min_weight_percent
        .as_ref()
        .map_or(10.0, |Percent { value }| value.clamp(0.0, 100.0));
    let least = if least.is_nan() { 10.0 } else { least };
    Some(format!("{window} {least} {aggression}"))
}
