//! `StringMatcher`: a value compared exactly, by prefix, suffix, part or pattern.

use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

use crate::apisix::{Expr, Operator, Value};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::regex::{Regex, RegexError, escape};

pub(crate) const FEATURE: Feature = Feature {
    name: "value/string_match",
    summary: "String matchers become conditions on nginx variables.",
    messages: &[
        Message {
            name: "envoy.type.matcher.v3.StringMatcher",
            fields: &[
                exact("exact", "route.vars[]: =="),
                exact("prefix", "route.vars[]: ~~ \"^…\""),
                exact("suffix", "route.vars[]: ~~ \"…\\z\""),
                exact("safe_regex", "route.vars[]: ~~ \"^(?:…)\\z\""),
                exact("contains", "route.vars[]: ~~ \"…\""),
                unsupported("custom", &CUSTOM),
                exact("ignore_case", "route.vars[]: ~*"),
            ],
        },
        Message {
            name: "envoy.type.matcher.v3.RegexMatcher",
            fields: &[
                irrelevant("google_re2", "names the only engine that Envoy has"),
                exact("regex", "route.vars[]: ~~ \"^(?:…)\\z\""),
            ],
        },
    ],
    extensions: &[],
    rules: &[&NOT_PORTABLE],
};

static CUSTOM: Rule = Rule {
    name: "string-match-custom",
    outcome: Outcome::FailsClosed,
    summary: "a string matcher is an extension that cannot be carried over",
    explanation: "Envoy lets an extension decide whether a value matches. APISIX has no such extensions, so it cannot \
                  tell which requests the route is for. Requests that meet the route's other conditions are answered \
                  503 rather than given to a route further down.",
    advice: "use an exact, prefix, suffix, contains or regex match; or permit the rule to leave the route out",
};

pub(crate) static NOT_PORTABLE: Rule = Rule {
    name: "regex-not-portable",
    outcome: Outcome::FailsClosed,
    summary: "a regular expression means something else in PCRE, which APISIX uses",
    explanation: "Envoy's RE2 and APISIX's PCRE agree on most patterns, and Amesh rewrites those that they read \
                  differently. A few have no equal: Unicode classes (\\pL), single bytes (\\C), large sets of \
                  characters beyond ASCII. Requests that meet the route's other conditions are answered 503 rather \
                  than given to a route further down.",
    advice: "write the pattern with ASCII classes; or permit the rule to leave the route out",
};

/// A condition on the value of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    pub(crate) expr: Expr,
    /// Whether an empty value meets it.
    pub(crate) empty: bool,
}

/// A condition that APISIX cannot test; the rule that says so has been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static Rule);

/// A matcher's pattern, with Envoy's deprecated forms of header matchers folded in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(Regex),
}

/// Reads a matcher's pattern; what cannot be carried over is reported.
pub(crate) fn pattern(matcher: &StringMatcher, at: Path<'_>, findings: &Findings) -> Result<(Pattern, bool), Refused> {
    let StringMatcher {
        match_pattern,
        ignore_case,
    } = matcher;
    let pattern = match match_pattern {
        Some(MatchPattern::Exact(text)) => Pattern::Exact(text.clone()),
        Some(MatchPattern::Prefix(text)) => Pattern::Prefix(text.clone()),
        Some(MatchPattern::Suffix(text)) => Pattern::Suffix(text.clone()),
        Some(MatchPattern::Contains(text)) => Pattern::Contains(text.clone()),
        Some(MatchPattern::SafeRegex(matcher)) => Pattern::Regex(regex(matcher, at.field("safe_regex"), findings)?),
        Some(MatchPattern::Custom(extension)) => {
            findings.add_with(&CUSTOM, at.field("custom"), extension.name.clone());
            return Err(Refused(&CUSTOM));
        }
        None => {
            findings.add_with(&CUSTOM, at, "no pattern that Amesh knows");
            return Err(Refused(&CUSTOM));
        }
    };
    Ok((pattern, *ignore_case))
}

/// Reads a pattern of RE2; what cannot be carried over is reported.
pub(crate) fn regex(matcher: &RegexMatcher, at: Path<'_>, findings: &Findings) -> Result<Regex, Refused> {
    // Envoy has a single engine, so the deprecated field that names it says nothing.
    let RegexMatcher { regex, engine_type: _ } = matcher;
    let parsed = Regex::parse(regex).and_then(|parsed| parsed.whole().map(|_| parsed));
    parsed.map_err(|error| refuse(&error, at, findings))
}

/// Reports a pattern that cannot be carried over.
pub(crate) fn refuse(error: &RegexError, at: Path<'_>, findings: &Findings) -> Refused {
    findings.add_with(&NOT_PORTABLE, at.field("regex"), error.to_string());
    Refused(&NOT_PORTABLE)
}

/// The condition that a variable's whole value meets the pattern.
pub(crate) fn test(variable: &str, pattern: &Pattern, ignore_case: bool) -> Test {
    let search = |pattern: String| {
        let operator = if ignore_case {
            Operator::MatchesIgnoringCase
        } else {
            Operator::Matches
        };
        Expr::compare(variable.to_owned(), operator, Value::Text(pattern))
    };
    match pattern {
        Pattern::Exact(text) if ignore_case => Test {
            expr: search(format!("^{}\\z", escape(text))),
            empty: text.is_empty(),
        },
        Pattern::Exact(text) => Test {
            expr: Expr::equal(variable.to_owned(), text.clone()),
            empty: text.is_empty(),
        },
        Pattern::Prefix(text) => Test {
            expr: search(format!("^{}", escape(text))),
            empty: text.is_empty(),
        },
        Pattern::Suffix(text) => Test {
            expr: search(format!("{}\\z", escape(text))),
            empty: text.is_empty(),
        },
        Pattern::Contains(text) => Test {
            expr: search(escape(text)),
            empty: text.is_empty(),
        },
        // Envoy refuses `ignore_case` with a regex; the pattern was printed once when it was read.
        Pattern::Regex(regex) => Test {
            expr: Expr::matches(variable.to_owned(), regex.whole().unwrap_or_else(|_| "(?!)".to_owned())),
            empty: regex.matches_empty(),
        },
    }
}
