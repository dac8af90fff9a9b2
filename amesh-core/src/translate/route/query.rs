//! Query parameters.
//!
//! Envoy compares names and values as they stand in the request, takes the first of several, and knows no separator
//! but `&`. APISIX's `arg_…` variables are decoded, and say `true` for a parameter without a value. So the query string
//! itself is matched.

use envoy_types::pb::envoy::config::route::v3::QueryParameterMatcher;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;

use crate::apisix::{Expr, Operator, Value};
use crate::feature::{Feature, Message, exact};
use crate::finding::{Findings, Path};
use crate::regex::escape;
use crate::translate::value::string_match::{self, Pattern, Refused};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/query",
    summary: "Query parameters become a pattern on the query string, which keeps Envoy's rules for names and values.",
    messages: &[Message {
        name: "envoy.config.route.v3.QueryParameterMatcher",
        fields: &[
            exact("name", "route.vars[]: query_string ~~"),
            exact("string_match", "route.vars[]: query_string ~~"),
            exact("present_match", "route.vars[]: query_string ~~"),
        ],
    }],
    extensions: &[],
    rules: &[],
};

/// The condition that a query parameter matcher stands for.
pub(crate) fn query_parameter(
    matcher: &QueryParameterMatcher,
    at: Path<'_>,
    findings: &Findings,
) -> Result<Expr, Refused> {
    let QueryParameterMatcher {
        name,
        query_parameter_match_specifier,
    } = matcher;
    let key = escape(name);
    let present = || Expr::matches("query_string", format!("(?:^|&){key}(?:[=&]|\\z)"));
    let (pattern, ignore_case) = match query_parameter_match_specifier {
        None | Some(QueryParameterMatchSpecifier::PresentMatch(true)) => return Ok(present()),
        Some(QueryParameterMatchSpecifier::PresentMatch(false)) => return Ok(present().negate()),
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => {
            string_match::pattern(matcher, at.field("string_match"), findings)?
        }
    };
    let operator = if ignore_case {
        Operator::MatchesIgnoringCase
    } else {
        Operator::Matches
    };
    // A parameter without `=` has the empty value.
    let (value, empty) = match &pattern {
        Pattern::Exact(text) => (escape(text), text.is_empty()),
        Pattern::Prefix(text) => (format!("{}[^&]*", escape(text)), text.is_empty()),
        Pattern::Suffix(text) => (format!("[^&]*{}", escape(text)), text.is_empty()),
        Pattern::Contains(text) => (format!("[^&]*{}[^&]*", escape(text)), text.is_empty()),
        Pattern::Regex(regex) => match regex.inside('&') {
            Ok(pattern) => (pattern, regex.matches_empty()),
            Err(error) => {
                return Err(string_match::refuse(
                    &error,
                    at.field("string_match").field("safe_regex"),
                    findings,
                ));
            }
        },
    };
    let value = if empty {
        format!("(?:={value})?")
    } else {
        format!("={value}")
    };
    // Names are case-sensitive whatever `ignore_case` says about values, so the flag is put around the value alone.
    let (operator, value) = match operator {
        Operator::MatchesIgnoringCase => (Operator::Matches, format!("(?i:{value})")),
        other => (other, value),
    };
    // Only the first parameter of that name counts.
    let first = format!("^(?:(?!{key}(?:[=&]|\\z))[^&]*&)*{key}{value}(?:&|\\z)");
    Ok(Expr::compare("query_string", operator, Value::Text(first)))
}
