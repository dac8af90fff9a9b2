//! `DirectResponseAction`: an answer without an upstream.

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::DirectResponseAction;

use super::answer::Answer;
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/direct_response",
    summary: "An answer without an upstream becomes the abort of the fault-injection plugin.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.DirectResponseAction",
            fields: &[
                exact("status", "fault-injection.abort.http_status"),
                exact("body", "fault-injection.abort.body"),
                unsupported("body_format", &BODY),
            ],
        },
        Message {
            name: "envoy.config.core.v3.DataSource",
            fields: &[
                unsupported("filename", &BODY),
                exact("inline_bytes", "fault-injection.abort.body"),
                exact("inline_string", "fault-injection.abort.body"),
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
     send bytes that are no UTF-8. Envoy can also read the body from a file or an environment variable, or format it. \
     The status is answered without the body.",
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
        .and_then(|source| inline(source, at.field("body"), findings))
        .unwrap_or_default();
    Answer::Status { status: *status, body }
}

fn inline(source: &DataSource, at: Path<'_>, findings: &Findings) -> Option<String> {
    let DataSource {
        watched_directory: _,
        specifier,
    } = source;
    let (text, field) = match specifier.as_ref()? {
        Specifier::InlineString(text) => (Some(text.clone()), "inline_string"),
        Specifier::InlineBytes(bytes) => (String::from_utf8(bytes.clone()).ok(), "inline_bytes"),
        Specifier::Filename(_) => (None, "filename"),
        Specifier::EnvironmentVariable(_) => (None, "environment_variable"),
    };
    let text = text.filter(|text| !expands(text));
    if text.is_none() {
        findings.add(&BODY, at.field(field));
    }
    text
}

/// Whether APISIX would replace a part of the text by a variable: `$name` or `${name}`.
fn expands(text: &str) -> bool {
    text.split('$')
        .skip(1)
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '{'))
}
