//! Whether a route's `RouteMatch` takes a request (SEM-P, SEM-M, SEM-Q).

use std::cell::RefCell;
use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
use prost::Message as _;
use regex::bytes::{Regex, RegexBuilder};

use crate::model::request::Request;

/// Whether all conditions of the match hold.
pub(crate) fn matches(conditions: &RouteMatch, request: &Request) -> bool {
    path(conditions, request.path())
        && conditions.headers.iter().all(|matcher| header(matcher, request))
        && conditions
            .query_parameters
            .iter()
            .all(|matcher| query(matcher, request))
        && (conditions.grpc.is_none() || is_grpc(request))
}

/// The fraction of requests that may match (SEM-F01).
pub(crate) fn fraction(conditions: &RouteMatch) -> f64 {
    let Some(fraction) = &conditions.runtime_fraction else {
        return 1.0;
    };
    let value = fraction.default_value.as_ref().expect("a fraction");
    let all = match value.denominator() {
        DenominatorType::Hundred => 100.0,
        DenominatorType::TenThousand => 10_000.0,
        DenominatorType::Million => 1_000_000.0,
    };
    f64::min(f64::from(value.numerator) / all, 1.0)
}

/// The path without its query. `case_sensitive: false` does nothing for a regex (SEM-P01 to P06).
fn path(conditions: &RouteMatch, path: &str) -> bool {
    let fold = |text: &str| match conditions.case_sensitive {
        Some(sensitive) if !sensitive.value => text.to_ascii_lowercase(),
        _ => text.to_owned(),
    };
    match conditions.path_specifier.as_ref().expect("a match has a path") {
        PathSpecifier::Prefix(prefix) => fold(path).starts_with(&fold(prefix)),
        PathSpecifier::Path(exact) => fold(path) == fold(exact),
        PathSpecifier::PathSeparatedPrefix(prefix) => fold(path)
            .strip_prefix(&fold(prefix))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        PathSpecifier::SafeRegex(regex) => full_match(&regex.regex, path),
        PathSpecifier::PathMatchPolicy(policy) => full_match(&template_regex(&template(policy)), path),
        PathSpecifier::ConnectMatcher(_) => panic!("not modelled: CONNECT"),
    }
}

/// The template of a path policy, of which there is one kind.
pub(crate) fn template(policy: &TypedExtensionConfig) -> String {
    let any = policy.typed_config.as_ref().expect("a configuration");
    let config = UriTemplateMatchConfig::decode(any.value.as_slice()).expect("a template");
    config.path_template
}

/// A URI template: `*` is one segment, `**` any number of them, `{name}` is `*` and `{name=pattern}` the pattern (SEM-P18).
fn template_regex(template: &str) -> String {
    const CHARACTER: &str = "a-zA-Z0-9._~%!$&'()*+,;:@=-";
    // Variables give way to what they stand for; their braces do not nest.
    let plain: String = template
        .split('{')
        .enumerate()
        .map(|(number, part)| match part.split_once('}') {
            Some((variable, rest)) if number > 0 => {
                let pattern = variable.split_once('=').map_or("*", |(_, pattern)| pattern);
                format!("{pattern}{rest}")
            }
            _ => part.to_owned(),
        })
        .collect();
    regex::escape(&plain)
        .replace(r"\*\*", &format!("[/{CHARACTER}]*"))
        .replace(r"\*", &format!("[{CHARACTER}]+"))
}

/// Envoy's regexes take the whole value (SEM-P04, SEM-M14). RE2 matches in linear time, as this engine does, and the
/// patterns in use mean the same to both.
fn full_match(pattern: &str, value: &str) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        compiled
            .entry(pattern.to_owned())
            .or_insert_with(|| {
                RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
                    .unicode(false)
                    .build()
                    .expect("a pattern that Envoy takes")
            })
            .is_match(value.as_bytes())
    })
}

/// Each line of a repeated header is matched by itself, as Envoy does from 1.39 on (SEM-M01 to M07); an inverted match
/// wants that none of them matches. A missing header matches nothing, inverted or not, unless it counts as empty (SEM-M10).
fn header(matcher: &HeaderMatcher, request: &Request) -> bool {
    let values = values(request, &matcher.name.to_ascii_lowercase());
    let as_empty = matcher.treat_missing_header_as_empty;
    let Some(specifier) = &matcher.header_match_specifier else {
        return present(&values, true, as_empty) != matcher.invert_match;
    };
    if let HeaderMatchSpecifier::PresentMatch(wanted) = specifier {
        return present(&values, *wanted, as_empty) != matcher.invert_match;
    }
    let values = if values.is_empty() && as_empty {
        vec![String::new()]
    } else {
        values
    };
    if values.is_empty() {
        return false;
    }
    #[expect(deprecated, reason = "Istio still sends them")]
    let one = |value: &str| match specifier {
        HeaderMatchSpecifier::ExactMatch(exact) => value == exact,
        HeaderMatchSpecifier::PrefixMatch(prefix) => value.starts_with(prefix.as_str()),
        HeaderMatchSpecifier::SuffixMatch(suffix) => value.ends_with(suffix.as_str()),
        HeaderMatchSpecifier::ContainsMatch(part) => value.contains(part.as_str()),
        HeaderMatchSpecifier::SafeRegexMatch(regex) => full_match(&regex.regex, value),
        HeaderMatchSpecifier::StringMatch(matcher) => text(matcher, value),
        // The whole value is an integer (SEM-M15).
        HeaderMatchSpecifier::RangeMatch(range) => value
            .parse()
            .is_ok_and(|number: i64| (range.start..range.end).contains(&number)),
        HeaderMatchSpecifier::PresentMatch(_) => unreachable!("answered above"),
    };
    values.iter().any(|value| one(value)) != matcher.invert_match
}

/// The values of a header, one for each line; but lines of the headers that Envoy keeps in places of their own are joined
/// as they are read, without the empty ones.
fn values(request: &Request, name: &str) -> Vec<String> {
    let values = request.values(name);
    match name {
        ":method" => vec![request.method.clone()],
        ":path" => vec![request.target.clone()],
        ":authority" | "host" => vec![request.authority.clone()],
        ":scheme" => vec!["http".to_owned()],
        "content-type" | "user-agent" if !values.is_empty() => {
            let filled: Vec<&str> = values.into_iter().filter(|value| !value.is_empty()).collect();
            vec![filled.join(",")]
        }
        _ => values.into_iter().map(str::to_owned).collect(),
    }
}

/// A missing header that counts as empty is there (SEM-M11).
fn present(values: &[String], wanted: bool, as_empty: bool) -> bool {
    (!values.is_empty() || as_empty) == wanted
}

/// A `StringMatcher`; `ignore_case` is for everything but regexes (SEM-M13).
fn text(matcher: &StringMatcher, value: &str) -> bool {
    let fold = |text: &str| -> String {
        if matcher.ignore_case {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let value_folded = fold(value);
    match matcher.match_pattern.as_ref().expect("a pattern") {
        MatchPattern::Exact(exact) => value_folded == fold(exact),
        MatchPattern::Prefix(prefix) => value_folded.starts_with(&fold(prefix)),
        MatchPattern::Suffix(suffix) => value_folded.ends_with(&fold(suffix)),
        MatchPattern::Contains(part) => value_folded.contains(&fold(part)),
        MatchPattern::SafeRegex(regex) => full_match(&regex.regex, value),
        other @ MatchPattern::Custom(_) => panic!("not modelled: {other:?}"),
    }
}

/// Names and values are compared as sent, of a repeated parameter the first counts, one without `=` is empty (SEM-Q).
fn query(matcher: &QueryParameterMatcher, request: &Request) -> bool {
    let value = request
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == matcher.name).then_some(value)
        });
    match &matcher.query_parameter_match_specifier {
        None => value.is_some(),
        Some(QueryParameterMatchSpecifier::PresentMatch(wanted)) => value.is_some() == *wanted,
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => value.is_some_and(|value| text(matcher, value)),
    }
}

/// Whether a gRPC client sends this (SEM-P19).
pub(crate) fn is_grpc(request: &Request) -> bool {
    values(request, "content-type")
        .iter()
        .any(|value| value == "application/grpc" || value.starts_with("application/grpc+"))
}
