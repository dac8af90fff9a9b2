//! What Envoy does with a forwarded request beside forwarding it: retries, timeouts, mirrors and the like.

use crate::feature::Feature;
use crate::finding::{Outcome, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/policy",
    summary: "Retries, timeouts, mirrors and rate limits of routes are not carried over.",
    messages: &[],
    extensions: &[],
    rules: &[&ATTEMPT_COUNT, &HEDGE, &RATE_LIMIT, &RETRY, &RETRY_EXTENSION],
};

pub(crate) static ATTEMPT_COUNT: Rule = Rule::new(
    "route-attempt-count",
    Outcome::Ignored,
    "the header that counts attempts is not added",
    "Envoy tells upstreams in x-envoy-attempt-count which attempt a request is, and whether an earlier one timed out. \
     APISIX adds no such header.",
    "nothing depends on it unless an application reads the header",
);

pub(crate) static HEDGE: Rule = Rule::new(
    "route-hedge",
    Outcome::LeftOut,
    "requests are not hedged",
    "Envoy can send a second request before the first has failed. APISIX sends one.",
    "nothing: hedging only shortens the slowest answers",
);

pub(crate) static RATE_LIMIT: Rule = Rule::new(
    "route-rate-limit",
    Outcome::LeftOut,
    "the descriptors of a rate limit are not carried over",
    "Descriptors tell Envoy's rate limit filter what to count. The filter itself, where a listener has it, is refused \
     by a rule of its own.",
    "use APISIX's limit-count plugin",
);

pub(crate) static RETRY: Rule = Rule::new(
    "route-retry",
    Outcome::LeftOut,
    "failed requests are not retried",
    "Envoy tries again on the conditions of the policy, on another host where it can. APISIX is told not to retry at \
     all, so that a request is never sent twice where Envoy would have sent it once.",
    "load Amesh's Lua package, which tries again as the policy says",
);

pub(crate) static RETRY_EXTENSION: Rule = Rule::new(
    "route-retry-extension",
    Outcome::LeftOut,
    "an extension that decides about retries is not carried over",
    "Envoy lets an extension decide when to try again. APISIX does not retry.",
    "use retry_policy",
);
