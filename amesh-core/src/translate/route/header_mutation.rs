//! Headers that Envoy adds and removes on the way.
//!
//! Four levels change headers, one after the other: the weighted cluster, the route, the virtual host and the route
//! configuration, or the last three the other way round. Each removes first and adds then. The `amesh-forward` and
//! `amesh-response` plugins do the same. APISIX's own plugins make one change of each header, whatever its value was, so
//! without Amesh's package the levels are folded into that one change where that is possible.

mod native;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

use super::hash_policy;
use crate::apisix::plugin::{
    AmeshForward, AmeshResponse, AppendAction, Format, HeaderAddition, HeaderStep, Plugins, ProxyRewrite,
    ResponseHeaderChanges, ResponseRewrite,
};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::value::format::{self, Known};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/header_mutation",
    summary: "Headers added and removed at any level become the amesh-forward and amesh-response plugins, or APISIX's \
              proxy-rewrite and response-rewrite plugins.",
    messages: &[
        Message {
            name: "envoy.config.core.v3.HeaderValueOption",
            fields: &[
                exact("header", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].add[]"),
                exact("append", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].add[].action"),
                exact("append_action", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].add[].action"),
                unsupported("keep_empty_value", &EMPTY),
            ],
        },
        Message {
            name: "envoy.config.core.v3.HeaderValue",
            fields: &[
                exact("key", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].add[].name"),
                exact("value", "proxy-rewrite.headers").amesh_exact("amesh-forward.headers[].add[].value"),
                irrelevant("raw_value", "Envoy's router sends `value` alone"),
            ],
        },
    ],
    extensions: &[],
    rules: &[&NATIVE, &native::VARIABLE, &UNDERSCORE],
};

/// What APISIX's own plugins cannot do.
static NATIVE: Rule = Rule::new(
    "header-mutation",
    Outcome::LeftOut,
    "a change of a header is not made",
    "Envoy changes headers at four levels, one after the other, and can do so only where a header is there or is not. \
     APISIX's own plugins make one change of each header, whatever its value was; they read `$` in a value as the \
     beginning of a variable, and add no response header with a colon in its value. The header stays as it was sent.",
    "load Amesh's Lua package, which makes every change as Envoy does",
);

static EMPTY: Rule = Rule::new(
    "header-mutation-empty",
    Outcome::Ignored,
    "a header is not sent where its value comes out empty",
    "Envoy can add a header whose value is empty. nginx takes an empty value for the header's removal.",
    "nothing, unless an application tells an empty header from none",
);

static UNDERSCORE: Rule = Rule::new(
    "header-mutation-underscore",
    Outcome::Approximated,
    "a response header gets dashes in its name for underscores",
    "Names of response headers have no underscores where APISIX sets them: `x_a` is sent as `x-a`.",
    "use dashes",
);

/// The changes that one level makes, as Envoy has them.
pub(super) struct Changes<'a> {
    pub(super) request_headers_to_add: &'a [HeaderValueOption],
    pub(super) request_headers_to_remove: &'a [String],
    pub(super) response_headers_to_add: &'a [HeaderValueOption],
    pub(super) response_headers_to_remove: &'a [String],
}

impl Changes<'_> {
    /// Reports each kind of change that is there.
    pub(super) fn report(&self, rule: &'static Rule, at: Path<'_>, findings: &Findings) {
        for (none, field) in [
            (self.request_headers_to_add.is_empty(), "request_headers_to_add"),
            (self.request_headers_to_remove.is_empty(), "request_headers_to_remove"),
            (self.response_headers_to_add.is_empty(), "response_headers_to_add"),
            (self.response_headers_to_remove.is_empty(), "response_headers_to_remove"),
        ] {
            findings.add_if(!none, rule, at.field(field));
        }
    }
}

/// Which way a header goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// The changes that one level makes.
#[derive(Debug, Clone, Default)]
pub(in crate::translate) struct Level {
    request: HeaderStep,
    response: HeaderStep,
}

impl Level {
    /// The steps of requests and of responses.
    pub(super) fn steps(&self, known: Known<'_>) -> (Vec<HeaderStep>, Vec<HeaderStep>) {
        let steps = |step: &HeaderStep| -> Vec<HeaderStep> {
            let some = !step.remove.is_empty() || !step.add.is_empty();
            some.then(|| resolved(step, known)).into_iter().collect()
        };
        (steps(&self.request), steps(&self.response))
    }
}

/// The levels above a route.
#[derive(Clone, Copy)]
pub(in crate::translate) struct Levels<'a> {
    pub(super) most_specific_wins: bool,
    pub(super) configuration: &'a Level,
    pub(super) host: &'a Level,
}

impl Levels<'_> {
    /// The changes of a route's requests and responses, in order.
    fn with<'l>(&'l self, own: &'l Level) -> [&'l Level; 3] {
        if self.most_specific_wins {
            [self.configuration, self.host, own]
        } else {
            [own, self.host, self.configuration]
        }
    }

    /// The plugins that make the changes; those of requests only where requests are forwarded.
    pub(super) fn add_to(
        &self,
        plugins: &mut Plugins,
        own: &Level,
        known: Known<'_>,
        forwards: bool,
        at: Path<'_>,
        findings: &Findings,
    ) {
        let steps = |side: fn(&Level) -> &HeaderStep| -> Vec<HeaderStep> {
            let all = self.with(own).into_iter().map(side);
            let some = all.filter(|step| !step.remove.is_empty() || !step.add.is_empty());
            some.map(|step| resolved(step, known)).collect()
        };
        let request = if forwards {
            steps(|level| &level.request)
        } else {
            Vec::new()
        };
        let response = steps(|level| &level.response);
        if findings.options().target == Target::Amesh {
            plugins.amesh_forward = (!request.is_empty()).then(|| AmeshForward {
                headers: request,
                ..AmeshForward::default()
            });
            plugins.amesh_response = (!response.is_empty()).then_some(AmeshResponse { headers: response });
            return;
        }
        let headers = native::request(&request);
        plugins.proxy_rewrite = (!headers.is_empty()).then_some(ProxyRewrite {
            headers,
            ..ProxyRewrite::as_sent()
        });
        let headers = native::response(&response, at, findings);
        plugins.response_rewrite = (headers != ResponseHeaderChanges::default()).then_some(ResponseRewrite { headers });
    }
}

/// Lets the client's address in all values and hashes be the one that X-Forwarded-For tells, counted from the end.
pub(super) fn believe(plugins: &mut Plugins, hop: u32) {
    let mut steps: Vec<&mut HeaderStep> = Vec::new();
    if let Some(forward) = &mut plugins.amesh_forward {
        steps.extend(&mut forward.headers);
        for member in forward.clusters.iter_mut().flat_map(|clusters| &mut clusters.members) {
            steps.extend(&mut member.request);
            steps.extend(&mut member.response);
        }
    }
    if let Some(response) = &mut plugins.amesh_response {
        steps.extend(&mut response.headers);
    }
    for addition in steps.into_iter().flat_map(|step| &mut step.add) {
        format::believe(&mut addition.value, hop);
    }
    if let Some(hash) = &mut plugins.amesh_hash {
        hash_policy::believe(hash, hop);
    }
}

/// Makes a route remove a header from requests before anything else is done to them.
pub(super) fn remove_first(plugins: &mut Plugins, name: &str, target: Target) {
    if target == Target::Amesh {
        let forward = plugins.amesh_forward.get_or_insert_default();
        let step = HeaderStep {
            remove: vec![name.to_owned()],
            add: Vec::new(),
        };
        forward.headers.insert(0, step);
        return;
    }
    let rewrite = plugins.proxy_rewrite.get_or_insert_with(ProxyRewrite::as_sent);
    let headers = &mut rewrite.headers;
    // The plugin adds before it removes: what is added takes the place of what was sent, and is not removed again.
    if let Some(values) = headers.add.remove(name) {
        headers.set.insert(name.to_owned(), values);
    }
    if !headers.set.contains_key(name) && !headers.remove.iter().any(|removed| removed == name) {
        headers.remove.push(name.to_owned());
    }
}

fn resolved(step: &HeaderStep, known: Known<'_>) -> HeaderStep {
    let mut step = step.clone();
    for addition in &mut step.add {
        addition.value = format::resolve(&addition.value, known);
    }
    step
}

/// Reads one level; what cannot be carried over is reported. `keeps_server`: changes of the Server header last.
pub(super) fn level(changes: &Changes<'_>, keeps_server: bool, at: Path<'_>, findings: &Findings) -> Level {
    let Changes {
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
    } = changes;
    let removed = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let added = |list: &[HeaderValueOption], side, field| {
        let all = list.iter().enumerate();
        all.filter_map(|(index, option)| addition(option, side, at.field(field).index(index), findings))
            .collect()
    };
    let mut level = Level {
        request: HeaderStep {
            remove: removed(request_headers_to_remove),
            add: added(request_headers_to_add, Side::Request, "request_headers_to_add"),
        },
        response: HeaderStep {
            remove: removed(response_headers_to_remove),
            add: added(response_headers_to_add, Side::Response, "response_headers_to_add"),
        },
    };
    if !keeps_server {
        // Envoy names itself after all changes were made, whatever they were.
        level.response.remove.retain(|name| name != "server");
        level.response.add.retain(|addition| addition.name != "server");
    }
    level
}

fn addition(option: &HeaderValueOption, side: Side, at: Path<'_>, findings: &Findings) -> Option<HeaderAddition> {
    #[expect(deprecated, reason = "every field is named, so that a new one breaks the build")]
    let HeaderValueOption {
        header,
        append,
        append_action,
        keep_empty_value,
    } = option;
    let HeaderValue {
        key,
        value,
        raw_value: _,
    } = header.as_ref()?;
    let at_header = at.field("header");
    let value = format::format(value, at_header.field("value"), findings)?;
    let action = match append {
        Some(append) if append.value => AppendAction::Append,
        Some(_) => AppendAction::Overwrite,
        None => match HeaderAppendAction::try_from(*append_action) {
            Ok(HeaderAppendAction::AddIfAbsent) => AppendAction::AddIfAbsent,
            Ok(HeaderAppendAction::OverwriteIfExistsOrAdd) => AppendAction::Overwrite,
            Ok(HeaderAppendAction::OverwriteIfExists) => AppendAction::OverwriteIfExists,
            Ok(HeaderAppendAction::AppendIfExistsOrAdd) | Err(_) => AppendAction::Append,
        },
    };
    let empty = value == Format::Text(String::new());
    if *keep_empty_value && (empty || matches!(value, Format::Parts(_))) {
        findings.add(&EMPTY, at.field("keep_empty_value"));
    }
    if empty {
        return None;
    }
    if side == Side::Response && key.contains('_') {
        findings.add_with(&UNDERSCORE, at_header.field("key"), key.clone());
    }
    let addition = HeaderAddition {
        name: key.to_ascii_lowercase(),
        value,
        action,
    };
    if findings.options().target == Target::Amesh {
        return Some(addition);
    }
    native::sayable(addition, side, at, findings)
}
