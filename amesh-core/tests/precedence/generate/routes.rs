//! Strategies for `RouteMatch` and what is in it.

use envoy_types::pb::envoy::config::core::v3::{RuntimeFractionalPercent, TypedExtensionConfig};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::{GrpcRouteMatchOptions, PathSpecifier};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, Int64Range};
use envoy_types::pb::google::protobuf::BoolValue;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::table::packed;

/// Paths, and by that prefixes. Some hold what is special in a regex.
pub(crate) const PATHS: &[&str] = &[
    "/", "/a", "/a/", "/a/b", "/ab", "/A", "/a/B", "/a/b/c", "/b", "/b/a", "/a.b", "/a+b", "/a$", "/(a)", "/a*",
    "/a|b", "/a-b_c~d",
];

/// Regexes for paths: an alternation and a `$` show whether the whole is anchored.
const PATH_REGEXES: &[&str] = &[
    ".*",
    "/a.*",
    "/a|/b",
    "/a|/b.*",
    "/[ab]+",
    "/a/[^/]+",
    "/(a|b)(/.*)?",
    "/a$",
    "^/a",
    "/a\\.b",
    "(?i)/A/b",
    "/a{1,2}b?",
    "/(?:a|b)/?",
    "/\\w+",
    "/[[:alpha:]]+",
    "/a\\b.*",
    "(?i:/a)/B",
    "/a(?P<rest>/.*)?",
    "(/a|/b)/b",
    "/.",
];

/// URI templates.
const TEMPLATES: &[&str] = &[
    "/a/*",
    "/*",
    "/{x}/b",
    "/a/{x=*}/c",
    "/a/**",
    "/**",
    "/a/{rest=**}",
    "/{x=a/*}/c",
    "/*/b/**",
];

/// Names of headers that a client may send freely.
pub(crate) const HEADERS: &[&str] = &["x-a", "x-b", "user-agent", "end-user", "content-type", "cookie"];

/// Values of headers, among them some that are numbers to some readers.
pub(crate) const VALUES: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "abc",
    "A",
    "aB",
    "a,b",
    "a.c",
    "a b",
    "1",
    "5",
    "10",
    "-3",
    "+5",
    "05",
    "5.5",
    "0x5",
    "application/grpc",
    "application/grpc+proto",
    "application/grpc-web",
];

/// Values that an exact, prefix, suffix or contains match may have.
const PARTS: &[&str] = &[
    "a",
    "b",
    "ab",
    "A",
    "B",
    "a.c",
    "a b",
    ",",
    "1",
    ".",
    "+",
    "application/grpc",
];

const VALUE_REGEXES: &[&str] = &[
    ".*", ".+", "a.*", "a|b", "[ab]+", "a.c", "\\d+", "(?i)AB", "a$", "^a", "[^,]*",
];

/// Names and values of query parameters. They are compared as sent.
pub(crate) const PARAMETERS: &[&str] = &["k", "q", "K", "a.b", "k[]", "k-x"];
/// See [`PARAMETERS`].
pub(crate) const PARAMETER_VALUES: &[&str] = &["", "a", "b", "ab", "A", "a%20b", "a+b", "1", "a=b", "true", "a.b"];

/// Methods.
pub(crate) const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"];

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(words).prop_map(str::to_owned)
}

fn regex(words: &'static [&'static str]) -> impl Strategy<Value = RegexMatcher> {
    word(words).prop_map(|regex| RegexMatcher {
        regex,
        ..RegexMatcher::default()
    })
}

fn path() -> impl Strategy<Value = PathSpecifier> {
    prop_oneof![
        4 => word(PATHS).prop_map(PathSpecifier::Prefix),
        1 => Just(PathSpecifier::Prefix("/".to_owned())),
        3 => word(PATHS).prop_map(PathSpecifier::Path),
        // It must not end in a slash.
        2 => select(PATHS)
            .prop_filter("a slash at the end", |path| !path.ends_with('/'))
            .prop_map(|path| PathSpecifier::PathSeparatedPrefix(path.to_owned())),
        3 => regex(PATH_REGEXES).prop_map(PathSpecifier::SafeRegex),
        1 => select(TEMPLATES).prop_map(|template| PathSpecifier::PathMatchPolicy(TypedExtensionConfig {
            name: "envoy.path.match.uri_template.uri_template_matcher".to_owned(),
            typed_config: Some(packed(&UriTemplateMatchConfig { path_template: template.to_owned() })),
        })),
    ]
}

fn string_matcher() -> impl Strategy<Value = StringMatcher> {
    let pattern = prop_oneof![
        word(PARTS).prop_map(MatchPattern::Exact),
        Just(MatchPattern::Exact(String::new())),
        word(PARTS).prop_map(MatchPattern::Prefix),
        word(PARTS).prop_map(MatchPattern::Suffix),
        word(PARTS).prop_map(MatchPattern::Contains),
        regex(VALUE_REGEXES).prop_map(MatchPattern::SafeRegex),
    ];
    (pattern, prop::bool::weighted(0.3)).prop_map(|(pattern, ignore_case)| StringMatcher {
        ignore_case: ignore_case && !matches!(pattern, MatchPattern::SafeRegex(_)),
        match_pattern: Some(pattern),
    })
}

#[expect(deprecated, reason = "Istio still sends them")]
fn specifier() -> impl Strategy<Value = Option<HeaderMatchSpecifier>> {
    prop_oneof![
        1 => Just(None),
        6 => string_matcher().prop_map(|matcher| Some(HeaderMatchSpecifier::StringMatch(matcher))),
        1 => word(PARTS).prop_map(|text| Some(HeaderMatchSpecifier::ExactMatch(text))),
        1 => word(PARTS).prop_map(|text| Some(HeaderMatchSpecifier::PrefixMatch(text))),
        1 => word(PARTS).prop_map(|text| Some(HeaderMatchSpecifier::SuffixMatch(text))),
        1 => word(PARTS).prop_map(|text| Some(HeaderMatchSpecifier::ContainsMatch(text))),
        1 => regex(VALUE_REGEXES).prop_map(|regex| Some(HeaderMatchSpecifier::SafeRegexMatch(regex))),
        2 => any::<bool>().prop_map(|wanted| Some(HeaderMatchSpecifier::PresentMatch(wanted))),
        2 => (-5_i64..6, -5_i64..12)
            .prop_map(|(start, end)| Some(HeaderMatchSpecifier::RangeMatch(Int64Range { start, end }))),
    ]
}

/// A matcher of an ordinary header.
fn header() -> impl Strategy<Value = HeaderMatcher> {
    let flag = || prop::bool::weighted(0.25);
    (word(HEADERS), specifier(), flag(), flag()).prop_map(
        |(name, header_match_specifier, invert_match, treat_missing_header_as_empty)| HeaderMatcher {
            name,
            invert_match,
            treat_missing_header_as_empty,
            header_match_specifier,
        },
    )
}

/// A matcher of a part of the request line, or of the host.
fn pseudo_header(hosts: &'static [&'static str]) -> impl Strategy<Value = HeaderMatcher> {
    let exact = |text: &str| MatchPattern::Exact(text.to_owned());
    let pair = prop_oneof![
        6 => select(METHODS).prop_map(move |method| (":method", exact(method))),
        1 => regex(&["GET|POST", "P.*"]).prop_map(|regex| (":method", MatchPattern::SafeRegex(regex))),
        2 => select(hosts).prop_map(move |host| (":authority", exact(host))),
        1 => select(&["foo", "a.", "x"][..]).prop_map(|part| (":authority", MatchPattern::Prefix(part.to_owned()))),
        1 => select(&[".com", ":8080", "b"][..]).prop_map(|part| ("host", MatchPattern::Suffix(part.to_owned()))),
        2 => select(PATHS).prop_map(|path| (":path", MatchPattern::Prefix(path.to_owned()))),
        2 => select(&["/a?k=a", "/a", "/?k"][..]).prop_map(move |path| (":path", exact(path))),
        1 => regex(&[".*k=a.*", "/a.*", ".*\\?.*"]).prop_map(|regex| (":path", MatchPattern::SafeRegex(regex))),
        1 => select(&["http", "https"][..]).prop_map(move |scheme| (":scheme", exact(scheme))),
    ];
    (pair, prop::bool::weighted(0.2), prop::bool::weighted(0.1)).prop_map(
        |((name, pattern), invert_match, ignore_case)| HeaderMatcher {
            name: name.to_owned(),
            invert_match,
            treat_missing_header_as_empty: false,
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
                ignore_case: ignore_case && !matches!(pattern, MatchPattern::SafeRegex(_)),
                match_pattern: Some(pattern),
            })),
        },
    )
}

fn query_parameter() -> impl Strategy<Value = QueryParameterMatcher> {
    let text = |pattern| {
        Some(QueryParameterMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(pattern),
            ignore_case: false,
        }))
    };
    let specifier = prop_oneof![
        1 => Just(None),
        4 => word(PARAMETER_VALUES).prop_map(move |value| text(MatchPattern::Exact(value))),
        1 => word(PARTS).prop_map(move |value| text(MatchPattern::Prefix(value))),
        2 => regex(VALUE_REGEXES).prop_map(move |regex| text(MatchPattern::SafeRegex(regex))),
        1 => word(PARTS).prop_map(|value| {
            Some(QueryParameterMatchSpecifier::StringMatch(StringMatcher {
                match_pattern: Some(MatchPattern::Contains(value)),
                ignore_case: true,
            }))
        }),
        2 => any::<bool>().prop_map(|wanted| Some(QueryParameterMatchSpecifier::PresentMatch(wanted))),
    ];
    (word(PARAMETERS), specifier).prop_map(|(name, query_parameter_match_specifier)| QueryParameterMatcher {
        name,
        query_parameter_match_specifier,
    })
}

/// Never or always: what lies between needs a die.
fn fraction() -> impl Strategy<Value = RuntimeFractionalPercent> {
    let all = |denominator| match denominator {
        DenominatorType::Hundred => 100,
        DenominatorType::TenThousand => 10_000,
        DenominatorType::Million => 1_000_000,
    };
    let denominators = [
        DenominatorType::Hundred,
        DenominatorType::TenThousand,
        DenominatorType::Million,
    ];
    (select(denominators.to_vec()), any::<bool>()).prop_map(move |(denominator, always)| RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator: if always { all(denominator) } else { 0 },
            denominator: denominator.into(),
        }),
        runtime_key: String::new(),
    })
}

/// The conditions of a route.
pub(crate) fn route_match(hosts: &'static [&'static str]) -> impl Strategy<Value = RouteMatch> {
    let headers = vec(
        prop_oneof![2 => header().boxed(), 1 => pseudo_header(hosts).boxed()],
        0..3,
    );
    let headers = prop_oneof![1 => Just(Vec::new()), 1 => headers];
    let query = prop_oneof![4 => Just(Vec::new()), 1 => vec(query_parameter(), 1..3)];
    let insensitive = weighted(0.2, any::<bool>());
    let grpc = weighted(0.05, Just(GrpcRouteMatchOptions {}));
    (path(), insensitive, headers, query, grpc, weighted(0.05, fraction())).prop_map(
        |(path, case_sensitive, headers, query_parameters, grpc, runtime_fraction)| RouteMatch {
            path_specifier: Some(path),
            case_sensitive: case_sensitive.map(|value| BoolValue { value }),
            headers,
            query_parameters,
            grpc,
            runtime_fraction,
            ..RouteMatch::default()
        },
    )
}
