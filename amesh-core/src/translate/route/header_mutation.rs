//! Headers that Envoy adds and removes on the way.

use crate::feature::Feature;
use crate::finding::{Outcome, Rule};

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
