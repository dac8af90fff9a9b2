//! Headers that Envoy adds and removes on the way.

use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;

use crate::feature::Feature;
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/header_mutation",
    summary: "Headers added and removed by a route configuration, a virtual host, a route or a weighted cluster are not carried over.",
    messages: &[],
    extensions: &[],
    rules: &[&HEADERS],
};

pub(crate) static HEADERS: Rule = Rule::new(
    "header-mutation",
    Outcome::LeftOut,
    "headers are neither added nor removed",
    "Envoy adds and removes headers of requests and responses at four levels. None of it is carried over: upstreams \
     and clients get the headers as they were sent.",
    "use APISIX's proxy-rewrite and response-rewrite plugins until it is",
);

/// The changes that one level makes.
pub(super) struct Changes<'a> {
    pub(super) request_headers_to_add: &'a [HeaderValueOption],
    pub(super) request_headers_to_remove: &'a [String],
    pub(super) response_headers_to_add: &'a [HeaderValueOption],
    pub(super) response_headers_to_remove: &'a [String],
}

/// Reports the changes that are not made.
pub(super) fn report(changes: &Changes<'_>, at: Path<'_>, findings: &Findings) {
    let Changes {
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
    } = changes;
    for (none, field) in [
        (request_headers_to_add.is_empty(), "request_headers_to_add"),
        (request_headers_to_remove.is_empty(), "request_headers_to_remove"),
        (response_headers_to_add.is_empty(), "response_headers_to_add"),
        (response_headers_to_remove.is_empty(), "response_headers_to_remove"),
    ] {
        if !none {
            findings.add(&HEADERS, at.field(field));
        }
    }
}
