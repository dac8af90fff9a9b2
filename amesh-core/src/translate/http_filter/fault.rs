//! `HTTPFault`: requests that are delayed, or answered in place of the upstream, on purpose.
//!
//! Envoy first waits and then answers, each for its own part of the requests and before redirects and direct responses. The
//! `amesh-fault` plugin does the same. APISIX's own `fault-injection` plugin draws whole percentages; a finer part is a part,
//! by digits of the request's random id, of the next whole one. The digits are ones that conditions of routes and shares
//! among clusters leave alone, unless a route takes ten-thousandths of the requests or shares them out among more than 20
//! clusters.

use std::time::Duration;

use envoy_types::pb::envoy::extensions::filters::common::fault::v3::FaultDelay;
use envoy_types::pb::envoy::extensions::filters::common::fault::v3::fault_delay::{FaultDelaySecifier, HeaderDelay};
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::fault_abort::{ErrorType, HeaderAbort};
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault};

use crate::apisix::plugin::{Abort, AbortFault, AmeshFault, Delay, DelayFault, FaultInjection, Part, Plugins};
use crate::apisix::{Expr, Operator, Value};
use crate::feature::{Feature, Message, approximate, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::route::header::{Matched, header};
use crate::translate::value::fraction::{Digits, WHOLE, below, part};

pub(crate) static FEATURE: Feature = Feature {
    name: "http_filter/fault",
    summary: "Injected faults become the amesh-fault plugin, or APISIX's fault-injection plugin.",
    messages: &[
        Message {
            name: "envoy.extensions.filters.http.fault.v3.HTTPFault",
            fields: &[
                exact("delay", "fault-injection.delay").amesh_exact("amesh-fault.delay"),
                exact("abort", "fault-injection.abort").amesh_exact("amesh-fault.abort"),
                exact("upstream_cluster", "decides which routes have the fault"),
                exact("headers", "fault-injection.*.vars").amesh_exact("amesh-fault.vars"),
                exact("downstream_nodes", "fault-injection.*.vars").amesh_exact("amesh-fault.vars"),
                approximate("max_active_faults", "fault-injection", &UNBOUNDED)
                    .amesh_approximate("amesh-fault.max_active", &BY_WORKER),
                unsupported("response_rate_limit", &RATE),
                irrelevant("delay_percent_runtime", NO_RUNTIME),
                irrelevant("abort_percent_runtime", NO_RUNTIME),
                irrelevant("delay_duration_runtime", NO_RUNTIME),
                irrelevant("abort_http_status_runtime", NO_RUNTIME),
                irrelevant("max_active_faults_runtime", NO_RUNTIME),
                irrelevant("response_rate_limit_percent_runtime", NO_RUNTIME),
                irrelevant("abort_grpc_status_runtime", NO_RUNTIME),
                irrelevant("disable_downstream_cluster_stats", "only feeds Envoy's own statistics"),
                irrelevant("filter_metadata", "read by no filter that is carried over"),
            ],
        },
        Message {
            name: "envoy.extensions.filters.http.fault.v3.FaultAbort",
            fields: &[
                exact("http_status", "fault-injection.abort.http_status").amesh_exact("amesh-fault.abort.http_status"),
                approximate("grpc_status", "fault-injection.abort.headers", &GRPC)
                    .amesh_exact("amesh-fault.abort.grpc_status"),
                unsupported("header_abort", &BY_HEADER).amesh_exact("amesh-fault.abort"),
                exact("percentage", "fault-injection.abort.percentage and vars").amesh_exact("amesh-fault.abort.part"),
                exact("response_body", "fault-injection.abort.body").amesh_exact("amesh-fault.abort.body"),
            ],
        },
        Message {
            name: "envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort",
            fields: &[],
        },
        Message {
            name: "envoy.extensions.filters.common.fault.v3.FaultDelay",
            fields: &[
                exact("fixed_delay", "fault-injection.delay.duration").amesh_exact("amesh-fault.delay.milliseconds"),
                unsupported("header_delay", &BY_HEADER).amesh_exact("amesh-fault.delay"),
                exact("percentage", "fault-injection.delay.percentage and vars").amesh_exact("amesh-fault.delay.part"),
            ],
        },
        Message {
            name: "envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay",
            fields: &[],
        },
    ],
    extensions: &[],
    rules: &[&CONDITION, &UPSTREAM, &BODY, &WITH_ANSWER],
};

const NO_RUNTIME: &str = "APISIX has no runtime layer that could override the configuration";

static UNBOUNDED: Rule = Rule::new(
    "fault-active",
    Outcome::Approximated,
    "faults are injected however many there are already",
    "Envoy injects no further fault while as many requests as the configuration says have one. APISIX's fault-injection \
     plugin does not count them.",
    "load Amesh's Lua package, which counts them in each worker",
);

static BY_WORKER: Rule = Rule::new(
    "fault-active-worker",
    Outcome::Approximated,
    "requests that have a fault are counted in each worker",
    "Envoy injects no further fault while as many requests as the configuration says have one. Amesh's package counts them \
     in each of nginx's workers, so there may be as many in each.",
    "divide the number by that of the workers",
);

static RATE: Rule = Rule::new(
    "fault-response-rate",
    Outcome::LeftOut,
    "responses are not slowed down",
    "Envoy can limit how fast a response is sent, to see how clients cope. APISIX sends it as fast as it comes.",
    "use a delay",
);

static GRPC: Rule = Rule::new(
    "fault-grpc-status",
    Outcome::Approximated,
    "a gRPC status is answered to clients of any kind",
    "Envoy answers gRPC clients with the status in a header and others with the status 200 and the body `fault filter \
     abort`. APISIX's fault-injection plugin answers all of them as gRPC clients, without a body.",
    "load Amesh's Lua package, which tells them apart",
);

static BY_HEADER: Rule = Rule::new(
    "fault-by-header",
    Outcome::LeftOut,
    "requests cannot ask for a fault",
    "Envoy can let requests say in x-envoy-fault headers what is to be done to them. APISIX's fault-injection plugin has \
     no such headers, so nothing is done.",
    "load Amesh's Lua package",
);

static CONDITION: Rule = Rule::new(
    "fault-condition",
    Outcome::LeftOut,
    "a fault has a condition that APISIX cannot test",
    "The fault is for requests with a header whose matcher cannot be carried over. It is injected into none.",
    "match on another header",
);

static UPSTREAM: Rule = Rule::new(
    "fault-upstream-cluster",
    Outcome::LeftOut,
    "a fault is for one of the clusters that share a route's requests",
    "Envoy draws the cluster before it injects a fault that is for one of them. APISIX draws it later, so the fault is \
     injected into none of the route's requests.",
    "inject the fault into all of the route's requests",
);

static BODY: Rule = Rule::new(
    "fault-body",
    Outcome::LeftOut,
    "the body of an injected answer is left out",
    "APISIX's fault-injection plugin replaces names after a `$` in the body by variables.",
    "use text without `$`; or load Amesh's Lua package",
);

static WITH_ANSWER: Rule = Rule::new(
    "fault-with-answer",
    Outcome::LeftOut,
    "an answer for some requests is not injected where the route answers by itself",
    "APISIX's fault-injection plugin gives one answer, and the route's own is one of it.",
    "load Amesh's Lua package",
);

/// What Envoy answers where nothing else is configured.
const ABORTED: &str = "fault filter abort";

/// A fault: what it is and for which requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// The cluster whose requests it is for; empty for any.
    upstream_cluster: String,
    injected: AmeshFault,
}

/// Reads a fault. Envoy refuses denominators that it does not know.
pub(super) fn fault(fault: &HttpFault, at: Path<'_>, findings: &Findings) -> Fault {
    let HttpFault {
        delay,
        abort,
        upstream_cluster,
        headers,
        downstream_nodes,
        max_active_faults,
        response_rate_limit,
        delay_percent_runtime: _,
        abort_percent_runtime: _,
        delay_duration_runtime: _,
        abort_http_status_runtime: _,
        max_active_faults_runtime: _,
        response_rate_limit_percent_runtime: _,
        abort_grpc_status_runtime: _,
        disable_downstream_cluster_stats: _,
        filter_metadata: _,
    } = fault;
    findings.add_if(response_rate_limit.is_some(), &RATE, at.field("response_rate_limit"));
    let mut read = AmeshFault {
        vars: Vec::new(),
        delay: delay.and_then(|delay| read_delay(delay, at.field("delay"), findings)),
        abort: abort
            .as_ref()
            .and_then(|abort| read_abort(abort, at.field("abort"), findings)),
        max_active: max_active_faults.map(|most| most.value),
    };
    if read.max_active.is_some_and(|most| most > 0) {
        let amesh = findings.options().target == Target::Amesh;
        let rule = if amesh { &BY_WORKER } else { &UNBOUNDED };
        findings.add(rule, at.field("max_active_faults"));
    }
    let mut never = read.max_active == Some(0);
    if !downstream_nodes.is_empty() {
        read.vars.push(Expr::compare(
            "http_x_envoy_downstream_service_node",
            Operator::In,
            Value::List(downstream_nodes.clone()),
        ));
    }
    for (index, matcher) in headers.iter().enumerate() {
        let at_header = at.field("headers");
        let at_header = at_header.index(index);
        // What a matcher of a route reports is about the route's requests.
        let own = findings.beside();
        match header(matcher, at_header, &own) {
            Ok(Matched::If(expr)) => read.vars.push(expr),
            Ok(Matched::Always) => {}
            Ok(Matched::Never) => never = true,
            Err(refused) => {
                findings.add_with(&CONDITION, at_header, refused.0.name);
                never = true;
            }
        }
        findings.take_approximations(own);
    }
    if never {
        (read.delay, read.abort) = (None, None);
    }
    Fault {
        upstream_cluster: upstream_cluster.clone(),
        injected: read,
    }
}

fn read_delay(delay: FaultDelay, at: Path<'_>, findings: &Findings) -> Option<DelayFault> {
    let FaultDelay {
        percentage,
        fault_delay_secifier,
    } = delay;
    let milliseconds = match fault_delay_secifier? {
        FaultDelaySecifier::FixedDelay(fixed) => {
            let whole = u64::try_from(fixed.seconds).unwrap_or(0).saturating_mul(1000);
            Some(whole.saturating_add(u64::try_from(fixed.nanos / 1_000_000).unwrap_or(0)))
        }
        FaultDelaySecifier::HeaderDelay(HeaderDelay {}) => {
            if findings.options().target == Target::Native {
                findings.add(&BY_HEADER, at.field("header_delay"));
                return None;
            }
            None
        }
    };
    let part = part(percentage.unwrap_or_default())?;
    (part.numerator > 0 && milliseconds != Some(0)).then_some(DelayFault { milliseconds, part })
}

fn read_abort(abort: &FaultAbort, at: Path<'_>, findings: &Findings) -> Option<AbortFault> {
    let native = findings.options().target == Target::Native;
    let FaultAbort {
        percentage,
        response_body,
        error_type,
    } = abort;
    let (http_status, grpc_status) = match error_type.as_ref()? {
        ErrorType::HttpStatus(status) => (Some(*status), None),
        ErrorType::GrpcStatus(status) => {
            findings.add_if(native, &GRPC, at.field("grpc_status"));
            (None, Some(*status))
        }
        ErrorType::HeaderAbort(HeaderAbort {}) => {
            if native {
                findings.add(&BY_HEADER, at.field("header_abort"));
                return None;
            }
            (None, None)
        }
    };
    let mut body = if response_body.is_empty() {
        ABORTED.to_owned()
    } else {
        response_body.clone()
    };
    if native && body.contains('$') {
        findings.add(&BODY, at.field("response_body"));
        body.clear();
    }
    let part = part(percentage.unwrap_or_default())?;
    (part.numerator > 0).then_some(AbortFault {
        http_status,
        grpc_status,
        body,
        part,
    })
}

impl Fault {
    /// Puts the fault among the plugins of a route whose answer is known. `reaches` says whether its requests go to a
    /// cluster, `None` where only some do; `answers` whether the route answers by the plugin that would also abort.
    pub(crate) fn inject(
        &self,
        reaches: impl Fn(&str) -> Option<bool>,
        answers: bool,
        plugins: &mut Plugins,
        at: Path<'_>,
        findings: &Findings,
    ) {
        if self.injected.delay.is_none() && self.injected.abort.is_none() {
            return;
        }
        if !self.upstream_cluster.is_empty() {
            match reaches(&self.upstream_cluster) {
                Some(true) => {}
                Some(false) => return,
                None => {
                    findings.add_with(&UPSTREAM, at, self.upstream_cluster.clone());
                    return;
                }
            }
        }
        if findings.options().target == Target::Amesh {
            plugins.amesh_fault = Some(self.injected.clone());
            return;
        }
        let AmeshFault {
            vars,
            delay,
            abort,
            max_active: _,
        } = &self.injected;
        let delay = delay.as_ref().and_then(|delay| native_delay(delay, vars));
        let abort = abort
            .as_ref()
            .and_then(|abort| native_abort(abort, vars))
            .filter(|abort| {
                let some_only = answers && (abort.percentage.is_some() || !abort.vars.is_empty());
                findings.add_if(some_only, &WITH_ANSWER, at);
                !some_only
            });
        plugins.fault_injection = (delay.is_some() || abort.is_some()).then_some(FaultInjection { abort, delay });
    }
}

fn native_delay(delay: &DelayFault, vars: &[Expr]) -> Option<Delay> {
    let DelayFault { milliseconds, part } = delay;
    let (percentage, vars) = drawn(*part, Digits::TenThousandths, vars);
    Some(Delay {
        duration: Duration::from_millis((*milliseconds)?).as_secs_f64(),
        percentage,
        vars,
    })
}

fn native_abort(abort: &AbortFault, vars: &[Expr]) -> Option<Abort> {
    let AbortFault {
        http_status,
        grpc_status,
        body,
        part,
    } = abort;
    let (percentage, vars) = drawn(*part, Digits::Split, vars);
    let (http_status, body, headers) = match (http_status, grpc_status) {
        (Some(status), _) => (*status, body.clone(), vec![("Content-Type", "text/plain".to_owned())]),
        (None, Some(status)) => (
            200,
            String::new(),
            vec![
                ("Content-Type", "application/grpc".to_owned()),
                ("grpc-message", body.clone()),
                ("grpc-status", status.to_string()),
            ],
        ),
        (None, None) => return None,
    };
    Some(Abort {
        http_status,
        body,
        headers: headers.into_iter().collect(),
        percentage,
        vars,
    })
}

/// A part of the requests as a whole percentage, and the conditions with what is missing from it: the plugin draws the
/// next whole percentage, and digits of the request's id take a part of those.
fn drawn(part: Part, digits: Digits, vars: &[Expr]) -> (Option<u32>, Vec<Vec<Expr>>) {
    let Part { numerator, denominator } = part;
    let (numerator, denominator) = (u64::from(numerator), u64::from(denominator));
    let percentage = (numerator * 100).div_ceil(denominator);
    let mut all = vars.to_vec();
    if percentage * denominator != numerator * 100 {
        all.push(below(numerator * 100 * WHOLE / (percentage * denominator), digits));
    }
    (
        u32::try_from(percentage).ok().filter(|percentage| *percentage < 100),
        if all.is_empty() { Vec::new() } else { vec![all] },
    )
}
