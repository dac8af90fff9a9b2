//! Headers of a request, with Envoy's pseudo headers.
//!
//! A header that comes twice is one value to nginx, joined by `, `; Envoy matches each value alone since 1.39 and
//! joined by `,` before (the rule `nginx-repeated-header` says so once per connection manager).

use std::borrow::Cow;

use envoy_types::pb::envoy::config::route::v3::HeaderMatcher;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::r#type::v3::Int64Range;

use crate::apisix::{Expr, Operator, Value};
use crate::feature::{Feature, Message, exact};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::translate::value::string_match::{self, Pattern, Refused, Test};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/header",
    summary: "Header matchers become conditions on `http_…` and, for pseudo headers, nginx's own variables.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.HeaderMatcher",
            fields: &[
                exact("name", "route.vars[]: http_…"),
                exact("exact_match", "route.vars[]: =="),
                exact("safe_regex_match", "route.vars[]: ~~"),
                exact("range_match", "route.vars[]: >= and <"),
                exact("present_match", "route.vars[]: ~~ \".*\""),
                exact("prefix_match", "route.vars[]: ~~"),
                exact("suffix_match", "route.vars[]: ~~"),
                exact("contains_match", "route.vars[]: ~~"),
                exact("string_match", "route.vars[]: ==, ~~ or ~*"),
                exact("invert_match", "route.vars[]: !"),
                exact(
                    "treat_missing_header_as_empty",
                    "route.vars[]: OR with an absent header",
                ),
            ],
        },
        Message {
            name: "envoy.type.v3.Int64Range",
            fields: &[exact("start", "route.vars[]: >="), exact("end", "route.vars[]: <")],
        },
    ],
    extensions: &[],
    rules: &[&UNSEEN, &OVERWRITTEN, &RANGE],
};

static UNSEEN: Rule = Rule::new(
    "route-header-unseen",
    Outcome::FailsClosed,
    "a header's name has characters that nginx drops headers for",
    "nginx discards request headers whose names hold anything but letters, digits, dashes and underscores, so APISIX \
     cannot tell whether the header is there. Requests that meet the route's other conditions are answered 503 rather \
     than given to a route further down.",
    "match on a header with an ordinary name; or permit the rule to leave the route out",
);

static OVERWRITTEN: Rule = Rule::new(
    "route-header-overwritten",
    Outcome::FailsClosed,
    "a header is overwritten by APISIX before routes are matched",
    "APISIX sets X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-Port itself before it looks for a route, so a \
     condition would see APISIX's value and not the client's. Requests that meet the route's other conditions are \
     answered 503 rather than given to a route further down.",
    "match on :scheme, :authority or another header; or permit the rule to leave the route out",
);

static RANGE: Rule = Rule::new(
    "route-header-range",
    Outcome::Approximated,
    "a range has bounds beyond what APISIX's numbers can tell apart",
    "Envoy compares 64-bit integers. APISIX's conditions are evaluated with double precision, which is exact up to \
     9007199254740992 on either side of zero; values beyond that are compared after rounding.",
    "use bounds below 2^53",
);

/// The largest integer up to which doubles are exact.
const EXACT_INTEGERS: i64 = 1 << 53;

/// The nginx variable that holds a header.
fn variable(name: &str, at: Path<'_>, findings: &Findings) -> Result<Cow<'static, str>, Refused> {
    let lower = name.to_ascii_lowercase();
    let refuse = |rule: &'static Rule| {
        findings.add_with(rule, at.field("name"), name.to_owned());
        Refused(rule)
    };
    match lower.as_str() {
        ":method" => Ok("request_method".into()),
        ":authority" | "host" => Ok("http_host".into()),
        ":scheme" => Ok("scheme".into()),
        // Envoy's `:path` is the request line's: as sent, with the query.
        ":path" => Ok("real_request_uri".into()),
        "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port" => Err(refuse(&OVERWRITTEN)),
        _ if lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            Ok(format!("http_{}", lower.replace('-', "_")).into())
        }
        _ => Err(refuse(&UNSEEN)),
    }
}

/// What a header matcher comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Matched {
    /// Every request.
    Always,
    /// No request.
    Never,
    /// The requests that meet the condition.
    If(Expr),
}

/// Whether a header is there. One that is missing and taken as empty is there.
fn presence(variable: &str, wanted: bool, invert: bool, missing_is_empty: bool) -> Matched {
    match (wanted != invert, missing_is_empty) {
        (true, true) => Matched::Always,
        (false, true) => Matched::Never,
        (true, false) => Matched::If(Expr::present(variable.to_owned())),
        (false, false) => Matched::If(Expr::absent(variable.to_owned())),
    }
}

/// The condition that a header matcher stands for.
pub(crate) fn header(matcher: &HeaderMatcher, at: Path<'_>, findings: &Findings) -> Result<Matched, Refused> {
    let HeaderMatcher {
        name,
        invert_match,
        treat_missing_header_as_empty,
        header_match_specifier,
    } = matcher;
    let variable = variable(name, at, findings)?;
    #[expect(
        deprecated,
        reason = "older control planes still send the forms that string_match replaced"
    )]
    let test = match header_match_specifier {
        // A name alone asks whether the header is there.
        None => return Ok(presence(&variable, true, *invert_match, *treat_missing_header_as_empty)),
        Some(HeaderMatchSpecifier::PresentMatch(wanted)) => {
            return Ok(presence(
                &variable,
                *wanted,
                *invert_match,
                *treat_missing_header_as_empty,
            ));
        }
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => {
            let (pattern, ignore_case) = string_match::pattern(matcher, at.field("string_match"), findings)?;
            string_match::test(&variable, &pattern, ignore_case)
        }
        Some(HeaderMatchSpecifier::ExactMatch(text)) => {
            string_match::test(&variable, &Pattern::Exact(text.clone()), false)
        }
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => {
            string_match::test(&variable, &Pattern::Prefix(text.clone()), false)
        }
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => {
            string_match::test(&variable, &Pattern::Suffix(text.clone()), false)
        }
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => {
            string_match::test(&variable, &Pattern::Contains(text.clone()), false)
        }
        Some(HeaderMatchSpecifier::SafeRegexMatch(matcher)) => {
            let regex = string_match::regex(matcher, at.field("safe_regex_match"), findings)?;
            string_match::test(&variable, &Pattern::Regex(regex), false)
        }
        Some(HeaderMatchSpecifier::RangeMatch(range)) => Test {
            expr: in_range(&variable, range, at.field("range_match"), findings),
            empty: false,
        },
    };
    Ok(Matched::If(whether(
        test,
        &variable,
        *invert_match,
        *treat_missing_header_as_empty,
    )))
}

/// A test with Envoy's idea of a header that is missing: it fails, inverted or not, unless it is taken as empty.
fn whether(test: Test, variable: &str, invert: bool, missing_is_empty: bool) -> Expr {
    let Test { expr, empty } = test;
    match (invert, missing_is_empty) {
        // APISIX: a missing variable makes the comparison false, and its negation true.
        (false, true) if empty => Expr::any(vec![Expr::absent(variable.to_owned()), expr]),
        (false, _) => expr,
        (true, true) if !empty => expr.negate(),
        (true, _) => Expr::All(vec![Expr::present(variable.to_owned()), expr.negate()]),
    }
}

fn in_range(variable: &str, range: &Int64Range, at: Path<'_>, findings: &Findings) -> Expr {
    let Int64Range { start, end } = range;
    if start.abs_diff(0) > EXACT_INTEGERS.unsigned_abs() || end.abs_diff(0) > EXACT_INTEGERS.unsigned_abs() {
        findings.add(&RANGE, at);
    }
    Expr::All(vec![
        // APISIX would read 1.5, 1e3 and 0x10 as numbers too.
        Expr::matches(variable.to_owned(), "^[+-]?[0-9]+\\z"),
        Expr::compare(variable.to_owned(), Operator::AtLeast, Value::Number(*start)),
        Expr::compare(variable.to_owned(), Operator::Less, Value::Number(*end)),
    ])
}
