//! The path of a request: exact, by prefix, by path segments, by pattern, by template.
//!
//! Envoy compares the path as it was sent, or as it is after `normalize_path`; nginx's `uri` is decoded, its dot
//! segments resolved and its slashes merged (the rule `nginx-path` says so once per connection manager). A pattern
//! that such a path could never equal (an escaped character, an empty or a dot segment) is compared with the request
//! line instead. Amesh's Lua package has variables with the path as Envoy has it, and nothing else is compared there.

use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;

use crate::apisix::plugin::PathForm;
use crate::apisix::{Expr, Operator, Value};
use crate::decode::extension;
use crate::feature::{Feature, Message, exact, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::regex::{Regex, escape};
use crate::translate::value::string_match::{self, Refused};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/path",
    summary: "Paths become conditions on nginx's `uri` or, where the order of routes allows it, APISIX's own URI patterns; with \
              Amesh's Lua package, conditions on the path that Envoy would compare.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.RouteMatch",
            fields: &[
                exact("prefix", "route.uri \"…*\" or route.vars[]: uri ~~ \"^…\"")
                    .amesh_exact("route.vars[]: amesh_path ~~ \"^…\""),
                exact("path", "route.uri or route.vars[]: uri ==").amesh_exact("route.vars[]: amesh_path =="),
                exact("safe_regex", "route.vars[]: uri ~~ \"^(?:…)\\z\"")
                    .amesh_exact("route.vars[]: amesh_path ~~ \"^(?:…)\\z\""),
                unsupported("connect_matcher", &CONNECT),
                exact("path_separated_prefix", "route.vars[]: uri ~~ \"^…(?:/|\\z)\"")
                    .amesh_exact("route.vars[]: amesh_path ~~ \"^…(?:/|\\z)\""),
                exact("path_match_policy", "route.vars[]: uri ~~").amesh_exact("route.vars[]: amesh_path ~~"),
                exact("case_sensitive", "route.vars[]: uri ~*").amesh_exact("route.vars[]: amesh_path ~*"),
            ],
        },
        Message {
            name: "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
            fields: &[exact("path_template", "route.vars[]: uri ~~").amesh_exact("route.vars[]: amesh_path ~~")],
        },
        Message {
            name: "envoy.config.core.v3.TypedExtensionConfig",
            fields: &[
                exact("name", "names the extension where a finding is about it"),
                exact("typed_config", "route.vars[]: uri ~~"),
            ],
        },
    ],
    extensions: &[],
    rules: &[&POLICY, &TEMPLATE, &FORMS],
};

static CONNECT: Rule = Rule::new(
    "route-connect",
    Outcome::LeftOut,
    "CONNECT requests cannot be routed",
    "Envoy can tunnel through CONNECT requests. nginx refuses the method before any route is looked at, so the route \
     is left out: nothing else would match it.",
    "reach the destination without a tunnel",
);

static POLICY: Rule = Rule::new(
    "route-path-policy",
    Outcome::FailsClosed,
    "a path is matched by an extension that cannot be carried over",
    "Envoy lets an extension decide which paths a route takes; Amesh knows the URI templates. Requests that meet the \
     route's other conditions are answered 503 rather than given to a route further down.",
    "use a prefix, path or regex match; or permit the rule to leave the route out",
);

static TEMPLATE: Rule = Rule::new(
    "route-path-template",
    Outcome::FailsClosed,
    "a path template cannot be read",
    "The template does not follow Envoy's grammar for `path_template`. Requests that meet the route's other conditions \
     are answered 503 rather than given to a route further down.",
    "correct the template; or permit the rule to leave the route out",
);

pub(crate) static FORMS: Rule = Rule::new(
    "route-path-forms",
    Outcome::Approximated,
    "listeners that share a route configuration write paths differently",
    "Connection managers can normalize paths, merge their slashes and replace escaped slashes before they look for a route. \
     APISIX has one list of routes for all listeners that use the route configuration: whatever one of them does is done to \
     the requests of all.",
    "give the listeners the same settings for paths",
);

/// What a path is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// nginx's `uri`.
    Nginx,
    /// The variable that has the path as a connection manager writes it.
    Amesh(PathForm),
}

impl Source {
    fn variable(self) -> &'static str {
        match self {
            Self::Nginx => "uri",
            Self::Amesh(form) => form.variable(),
        }
    }
}

/// Which paths a route takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PathMatch {
    /// Every path.
    Any,
    /// No path at all.
    Never,
    /// One path, in characters that APISIX's own URI patterns take literally.
    Exact(String),
    /// Every path that begins so, in characters that APISIX's own URI patterns take literally.
    Prefix(String),
    /// The paths that meet a condition.
    Condition(Expr),
}

impl PathMatch {
    /// The condition on the path, for a route whose URI pattern is `/*`.
    pub(crate) fn condition(&self) -> Option<Expr> {
        match self {
            Self::Any | Self::Never => None,
            Self::Exact(path) => Some(Expr::equal("uri", path.clone())),
            Self::Prefix(prefix) => Some(Expr::matches("uri", format!("^{}", escape(prefix)))),
            Self::Condition(expr) => Some(expr.clone()),
        }
    }
}

/// What all paths begin with that a route takes, if it chooses them by that.
pub(crate) fn prefix(specifier: Option<&PathSpecifier>) -> Option<&str> {
    match specifier? {
        PathSpecifier::Prefix(prefix) | PathSpecifier::PathSeparatedPrefix(prefix) => Some(prefix),
        PathSpecifier::Path(_)
        | PathSpecifier::SafeRegex(_)
        | PathSpecifier::ConnectMatcher(_)
        | PathSpecifier::PathMatchPolicy(_) => None,
    }
}

/// Reads which paths a route takes.
pub(crate) fn path(
    specifier: Option<&PathSpecifier>,
    case_sensitive: bool,
    source: Source,
    at: Path<'_>,
    findings: &Findings,
) -> Result<PathMatch, Refused> {
    let plain = |path: &str| source == Source::Nginx && case_sensitive && is_plain(path);
    Ok(match specifier {
        // Envoy cuts the query off before it compares, so a pattern that has one matches nothing.
        Some(PathSpecifier::Prefix(text) | PathSpecifier::Path(text) | PathSpecifier::PathSeparatedPrefix(text))
            if text.contains(['?', '#']) =>
        {
            PathMatch::Never
        }
        Some(PathSpecifier::Prefix(prefix)) => match prefix.as_str() {
            "" | "/" => PathMatch::Any,
            prefix if plain(prefix) => PathMatch::Prefix(prefix.to_owned()),
            prefix => literal(prefix, "", "", case_sensitive, source),
        },
        Some(PathSpecifier::Path(path)) if plain(path) => PathMatch::Exact(path.clone()),
        Some(PathSpecifier::Path(path)) => match source {
            Source::Amesh(form) if case_sensitive => PathMatch::Condition(Expr::equal(form.variable(), path.clone())),
            _ => literal(path, "\\z", "(?:\\?|\\z)", case_sensitive, source),
        },
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            literal(prefix, "(?:/|\\z)", "(?:[/?]|\\z)", case_sensitive, source)
        }
        // `case_sensitive` does not concern patterns.
        Some(PathSpecifier::SafeRegex(matcher)) => {
            pattern(&string_match::regex(matcher, at.field("safe_regex"), findings)?, source)
        }
        Some(PathSpecifier::ConnectMatcher(_)) => {
            findings.add(&CONNECT, at.field("connect_matcher"));
            PathMatch::Never
        }
        Some(PathSpecifier::PathMatchPolicy(policy)) => {
            template(policy, source, at.field("path_match_policy"), findings)?
        }
        None => {
            findings.add_with(&POLICY, at, "no path that Amesh knows");
            return Err(Refused(&POLICY));
        }
    })
}

/// Whether nginx and APISIX take these characters as they are: no escapes, no wildcards, nothing to normalize.
fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/_.~-".contains(&byte))
        && !is_unnormalized(path)
}

/// Whether a normalized path can never contain this text.
fn is_unnormalized(path: &str) -> bool {
    path.contains('%')
        || path.contains("//")
        || path.contains("/./")
        || path.contains("/../")
        || path.ends_with("/.")
        || path.ends_with("/..")
}

/// A path that begins with a text; what may follow it differs between the path and the request line, where the query
/// follows the path.
fn literal(text: &str, after_path: &str, after_raw: &str, case_sensitive: bool, source: Source) -> PathMatch {
    let operator = if case_sensitive {
        Operator::Matches
    } else {
        Operator::MatchesIgnoringCase
    };
    let (variable, after) = match source {
        Source::Amesh(form) => (form.variable(), after_path),
        Source::Nginx if is_unnormalized(text) => ("real_request_uri", after_raw),
        Source::Nginx => ("uri", after_path),
    };
    PathMatch::Condition(Expr::compare(
        variable,
        operator,
        Value::Text(format!("^{}{after}", escape(text))),
    ))
}

fn pattern(regex: &Regex, source: Source) -> PathMatch {
    // Reading checked that both forms can be printed.
    let condition = match source {
        Source::Nginx if regex.mentions('%') => regex
            .before('?')
            .map(|part| Expr::matches("real_request_uri", format!("^{part}(?:\\?|\\z)"))),
        _ => regex.whole().map(|whole| Expr::matches(source.variable(), whole)),
    };
    condition.map_or(PathMatch::Never, PathMatch::Condition)
}

fn template(
    policy: &TypedExtensionConfig,
    source: Source,
    at: Path<'_>,
    findings: &Findings,
) -> Result<PathMatch, Refused> {
    let TypedExtensionConfig { name: _, typed_config } = policy;
    let config = typed_config
        .as_ref()
        .and_then(extension::decode::<UriTemplateMatchConfig>);
    let Some(Ok(UriTemplateMatchConfig { path_template })) = config else {
        findings.add_with(
            &POLICY,
            at,
            typed_config.as_ref().map(extension::message_name).unwrap_or_default(),
        );
        return Err(Refused(&POLICY));
    };
    let Some(regex) = template_regex(&path_template) else {
        findings.add_with(
            &TEMPLATE,
            at.field("typed_config").field("path_template"),
            path_template,
        );
        return Err(Refused(&TEMPLATE));
    };
    Ok(PathMatch::Condition(Expr::matches(source.variable(), regex)))
}

/// The characters that a variable of a template takes within one segment, as Envoy's own `uri_template` library has
/// them.
const SEGMENT: &str = "[a-zA-Z0-9._~%!$&'()*+,;:@=-]+";
/// The characters that `**` takes.
const REST: &str = "[a-zA-Z0-9._~%!$&'()*+,;:@=/-]*";

/// `/api/{version}/users/{id=*}/**` as a PCRE.
fn template_regex(template: &str) -> Option<String> {
    let mut out = "^".to_owned();
    let mut rest = template.strip_prefix('/')?;
    loop {
        out.push('/');
        let (segment, after) = match rest.strip_prefix('{') {
            // A variable may span segments: `{path=a/*/b}`.
            Some(inside) => {
                let (variable, after) = inside.split_once('}')?;
                (variable.split_once('=').map_or("*", |(_, pattern)| pattern), after)
            }
            None => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        };
        for (index, part) in segment.split('/').enumerate() {
            if index > 0 {
                out.push('/');
            }
            match part {
                "*" => out.push_str(SEGMENT),
                "**" => out.push_str(REST),
                literal if literal.contains(['*', '{', '}']) => return None,
                literal => out.push_str(&escape(literal)),
            }
        }
        match after.strip_prefix('/') {
            Some(next) => rest = next,
            None if after.is_empty() => break,
            None => {
                // A literal right after a variable: `/{file}.txt`.
                let (literal, next) = after.split_at(after.find('/').unwrap_or(after.len()));
                if literal.contains(['*', '{', '}']) {
                    return None;
                }
                out.push_str(&escape(literal));
                match next.strip_prefix('/') {
                    Some(next) => rest = next,
                    None => break,
                }
            }
        }
    }
    out.push_str("\\z");
    Some(out)
}
