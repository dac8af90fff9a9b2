//! When a failed request is tried again.
//!
//! nginx decides by one setting for all routes, `proxy_next_upstream`, whether what a try came to is worth another one, and
//! the `amesh-retry` plugin says for each route how many there may be. Before another try it looks at what the last one came
//! to, and ends the request where the route's policy would not have tried again. So nothing is sent twice that Envoy would
//! have sent once; what nginx does not take for a failure is not tried again.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::RetryHostPredicate;
use envoy_types::pb::envoy::config::route::v3::retry_policy::retry_host_predicate::ConfigType;

use super::policy::RETRY;
use super::timeout::limit;
use crate::apisix::plugin::{Retry, RetryOn};
use crate::feature::{Feature, Message, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static FEATURE: Feature = Feature {
    name: "route/retry",
    summary: "Retry policies become the amesh-retry plugin; without it nothing is tried again.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.RetryPolicy",
            fields: &[
                unsupported("retry_on", &RETRY).amesh_approximate("amesh-retry.retry.on", &AGAIN),
                unsupported("num_retries", &RETRY).amesh_approximate("amesh-retry.retry.times", &AGAIN),
                unsupported("per_try_timeout", &RETRY).amesh_approximate("amesh-retry.retry.per_try_timeout", &AGAIN),
                unsupported("per_try_idle_timeout", &RETRY).amesh_unsupported(&TUNING),
                unsupported("retry_priority", &RETRY).amesh_unsupported(&TUNING),
                irrelevant("retry_host_predicate", OTHERS_FIRST).amesh_exact("amesh-hash.other_hosts"),
                unsupported("retry_options_predicates", &RETRY).amesh_unsupported(&TUNING),
                irrelevant("host_selection_retry_max_attempts", OTHERS_FIRST).amesh_exact("amesh-hash.other_hosts"),
                unsupported("retriable_status_codes", &RETRY).amesh_approximate("amesh-retry.retry.statuses", &AGAIN),
                unsupported("retry_back_off", &RETRY).amesh_unsupported(&BACK_OFF),
                unsupported("rate_limited_retry_back_off", &RETRY).amesh_unsupported(&BACK_OFF),
                unsupported("retriable_headers", &RETRY).amesh_unsupported(&CONDITION),
                unsupported("retriable_request_headers", &RETRY).amesh_unsupported(&CONDITION),
                unsupported("refresh_cluster_on_retry", &RETRY).amesh_unsupported(&TUNING),
            ],
        },
        Message {
            name: "envoy.config.route.v3.RetryPolicy.RetryHostPredicate",
            fields: &[
                irrelevant("name", "Envoy goes by the type of the configuration"),
                irrelevant("typed_config", OTHERS_FIRST).amesh_exact("amesh-hash.other_hosts"),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

const OTHERS_FIRST: &str =
    "tells Envoy not to choose an endpoint that has failed; APISIX's balancers try the others first anyway";

static AGAIN: Rule = Rule::new(
    "route-retry-conditions",
    Outcome::Approximated,
    "requests are tried again where nginx takes what came for a failure",
    "Envoy looks at the policy after every try. nginx looks at `proxy_next_upstream`, one setting for all routes, and \
     Amesh's package then at the policy of the route. Lost connections and timeouts are failures to nginx anyway; statuses \
     are when the setting names them (`http_503`, which Istio's own policy asks for), and a request with a method such as \
     POST is tried again once it was sent only with `non_idempotent` there. A status that nginx takes for a failure and the \
     policy does not, or for which the cluster has as many retries as it may, is answered without the upstream's body while \
     tries are left. A cluster with several endpoints that are asked in turn (`ROUND_ROBIN`) is tried no more often than it has \
     endpoints, where Envoy would come back to one. Another try follows at once, where Envoy waits a random time, 25 \
     milliseconds at most before the first. A timeout for one try bounds waits.",
    "set `proxy_next_upstream` as Amesh's deployment guide shows",
);

static CONDITION: Rule = Rule::new(
    "route-retry-condition-unknown",
    Outcome::LeftOut,
    "a condition for another try is left out",
    "Envoy can try again because of a header of the answer or the status of a gRPC call, and only for requests with some \
     headers. The condition is left out: such answers are passed on, and where only some requests may be tried again, none \
     is.",
    "use conditions on statuses and connections",
);

static BACK_OFF: Rule = Rule::new(
    "route-retry-back-off",
    Outcome::Approximated,
    "another try follows at once",
    "Envoy waits a random time before another try, 25 milliseconds at first unless the policy says otherwise, and may be told \
     by the upstream how long. nginx tries the next endpoint at once.",
    "nothing, unless an upstream needs the pause to recover",
);

static TUNING: Rule = Rule::new(
    "route-retry-tuning",
    Outcome::Approximated,
    "a fine point of a retry policy is left out",
    "Envoy can choose another priority for a further try, change the request for it, or end a try that idles. Amesh's package \
     tries the other endpoints as APISIX would choose them.",
    "nothing: the request is tried again all the same",
);

/// The conditions that Envoy knows, and what they come to: failures without an answer, and statuses.
const CONDITIONS: [(&str, &[RetryOn], &[u32]); 10] = [
    ("5xx", &[RetryOn::Connect, RetryOn::Reset], &[500, 502, 503, 504]),
    ("gateway-error", &[RetryOn::Connect, RetryOn::Reset], &[502, 503, 504]),
    ("reset", &[RetryOn::Connect, RetryOn::Reset], &[]),
    ("reset-before-request", &[RetryOn::Connect], &[]),
    ("connect-failure", &[RetryOn::Connect], &[]),
    ("retriable-4xx", &[], &[409]),
    ("retriable-status-codes", &[], &[]),
    // A stream of HTTP/2 that the upstream refused: nginx speaks HTTP/2 for gRPC alone and tells of a lost connection.
    ("refused-stream", &[], &[]),
    // Neither is ever seen by a proxy that answers itself.
    ("envoy-ratelimited", &[], &[]),
    ("http3-post-connect-failure", &[], &[]),
];

/// The statuses that nginx can take for a failure.
const FAILURES: [u32; 7] = [403, 404, 429, 500, 502, 503, 504];

/// The conditions on the status of a gRPC call, which comes in a header or after the body.
const GRPC: [&str; 5] = [
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// The policy of a level; `None` where it has none, or none that could be followed.
pub(super) fn read(policy: Option<&RetryPolicy>, at: Path<'_>, findings: &Findings) -> Option<Retry> {
    let policy = policy?;
    let at = at.field("retry_policy");
    if findings.options().target != Target::Amesh {
        findings.add(&RETRY, at);
        return None;
    }
    retry(policy, at, findings)
}

/// Reads a policy; `None` when nothing is to be tried again.
fn retry(policy: &RetryPolicy, at: Path<'_>, findings: &Findings) -> Option<Retry> {
    let RetryPolicy {
        retry_on,
        num_retries,
        per_try_timeout,
        per_try_idle_timeout,
        retry_priority,
        retry_host_predicate,
        retry_options_predicates,
        host_selection_retry_max_attempts,
        retriable_status_codes,
        retry_back_off,
        rate_limited_retry_back_off,
        retriable_headers,
        retriable_request_headers,
        refresh_cluster_on_retry,
    } = policy;
    let (mut on, mut statuses, mut left_out) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for word in retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match CONDITIONS.iter().find(|(name, ..)| *name == word) {
            Some((_, failures, codes)) => {
                on.extend(failures.iter().copied());
                statuses.extend(codes.iter().copied());
                if word == "retriable-status-codes" {
                    statuses.extend(retriable_status_codes.iter().copied());
                }
            }
            None => left_out.push(word),
        }
    }
    findings.add(&AGAIN, at.field("retry_on"));
    // Envoy passes over words that it does not know.
    let grpc = left_out
        .into_iter()
        .filter(|word| GRPC.contains(word))
        .map(str::to_owned);
    let (statuses, passed_on): (BTreeSet<u32>, BTreeSet<u32>) =
        statuses.into_iter().partition(|status| FAILURES.contains(status));
    let unmet: Vec<String> = grpc
        .chain(passed_on.into_iter().map(|status| status.to_string()))
        .collect();
    if !unmet.is_empty() {
        findings.add_with(&CONDITION, at.field("retry_on"), unmet.join(", "));
    }
    let times = num_retries.as_ref().map_or(1, |value| value.value);
    for (set, rule, field) in [
        (per_try_idle_timeout.is_some(), &TUNING, "per_try_idle_timeout"),
        (retry_priority.is_some(), &TUNING, "retry_priority"),
        (
            !retry_options_predicates.is_empty(),
            &TUNING,
            "retry_options_predicates",
        ),
        (*refresh_cluster_on_retry, &TUNING, "refresh_cluster_on_retry"),
        (retry_back_off.is_some(), &BACK_OFF, "retry_back_off"),
        (
            rate_limited_retry_back_off.is_some(),
            &BACK_OFF,
            "rate_limited_retry_back_off",
        ),
        (!retriable_headers.is_empty(), &CONDITION, "retriable_headers"),
        (
            !retriable_request_headers.is_empty(),
            &CONDITION,
            "retriable_request_headers",
        ),
    ] {
        findings.add_if(set, rule, at.field(field));
    }
    // Which requests those headers let through is not known.
    let any = retriable_request_headers.is_empty() && (!on.is_empty() || !statuses.is_empty()) && times > 0;
    let per_try_timeout = per_try_timeout.as_ref().and_then(limit);
    if !any {
        // The first try has its limit all the same.
        return per_try_timeout.map(|limit| Retry {
            times: 0,
            per_try_timeout: Some(limit),
            on: Vec::new(),
            statuses: Vec::new(),
            other_hosts: None,
        });
    }
    Some(Retry {
        times,
        per_try_timeout,
        on: on.into_iter().collect(),
        statuses: statuses.into_iter().collect(),
        other_hosts: other_hosts(retry_host_predicate, *host_selection_retry_max_attempts),
    })
}

/// How many other endpoints Envoy looks at before it tries a failed one again.
fn other_hosts(predicates: &[RetryHostPredicate], attempts: i64) -> Option<u32> {
    let previous = predicates.iter().any(|predicate| {
        matches!(&predicate.config_type, Some(ConfigType::TypedConfig(config))
            if config.type_url.ends_with("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"))
    });
    // One unless the policy says how many.
    previous.then(|| u32::try_from(attempts.max(1)).unwrap_or(u32::MAX))
}
