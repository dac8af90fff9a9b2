//! `DirectResponseAction`: an answer without an upstream.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::DirectResponseAction;

use super::answer::Answer;
use crate::apisix::plugin::{Abort, DirectAnswer, LocalAnswer};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static FEATURE: Feature = Feature {
    name: "route/direct_response",
    summary: "An answer without an upstream becomes the amesh-answer plugin, or the abort of APISIX's fault-injection plugin.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.DirectResponseAction",
            fields: &[
                exact("status", "fault-injection.abort.http_status").amesh_exact("amesh-answer.direct.status"),
                exact("body", "fault-injection.abort.body").amesh_exact("amesh-answer.direct.body"),
                unsupported("body_format", &BODY),
            ],
        },
        Message {
            name: "envoy.config.core.v3.DataSource",
            fields: &[
                unsupported("filename", &BODY),
                exact("inline_bytes", "fault-injection.abort.body").amesh_exact("amesh-answer.direct.body_base64"),
                exact("inline_string", "fault-injection.abort.body").amesh_exact("amesh-answer.direct.body"),
                unsupported("environment_variable", &BODY),
                irrelevant("watched_directory", "says how Envoy notices that a file has changed"),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

static BODY: Rule = Rule::new(
    "direct-response-body",
    Outcome::LeftOut,
    "the body of a direct response is left out",
    "APISIX sends the body as it stands in the configuration, but replaces names after a `$` by variables and cannot \
     send bytes that are no UTF-8, unless Amesh's Lua package is loaded. Envoy can also read the body from a file or an \
     environment variable, or format it. The status is answered without the body.",
    "use plain text without `$`",
);

/// The answer. The status is always known; a body that is not is left out.
pub(super) fn direct_response(response: &DirectResponseAction, at: Path<'_>, findings: &Findings) -> Answer {
    let DirectResponseAction {
        status,
        body,
        body_format,
    } = response;
    if body_format.is_some() {
        findings.add(&BODY, at.field("body_format"));
    }
    let body = body
        .as_ref()
        .and_then(|source| inline(source, at.field("body"), findings));
    if findings.options().target != Target::Amesh {
        return Answer::Abort(Abort::always(
            *status, // What cannot be said was reported.
            body.and_then(|body| String::from_utf8(body).ok()).unwrap_or_default(),
        ));
    }
    let (text, base64) = match body.map(String::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text), None),
        Some(Err(bytes)) => (None, Some(BASE64_STANDARD.encode(bytes.as_bytes()))),
    };
    Answer::Amesh(LocalAnswer::Direct(DirectAnswer {
        status: *status,
        body: text,
        body_base64: base64,
    }))
}

fn inline(source: &DataSource, at: Path<'_>, findings: &Findings) -> Option<Vec<u8>> {
    let DataSource {
        watched_directory: _,
        specifier,
    } = source;
    let (body, field) = match specifier.as_ref()? {
        Specifier::InlineString(text) => (Some(text.as_bytes()), "inline_string"),
        Specifier::InlineBytes(bytes) => (Some(bytes.as_slice()), "inline_bytes"),
        Specifier::Filename(_) => (None, "filename"),
        Specifier::EnvironmentVariable(_) => (None, "environment_variable"),
    };
    let sayable = |body: &&[u8]| {
        findings.options().target == Target::Amesh || std::str::from_utf8(body).is_ok_and(|text| !expands(text))
    };
    let body = body.filter(sayable);
    if body.is_none() {
        findings.add(&BODY, at.field(field));
    }
    body.map(<[u8]>::to_vec)
}

/// Whether APISIX would replace a part of the text by a variable: `$name` or `${name}`.
fn expands(text: &str) -> bool {
    text.split('$')
        .skip(1)
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '{'))
}
