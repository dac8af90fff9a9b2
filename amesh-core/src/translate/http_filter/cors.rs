//! `CorsPolicy`: what browsers may do with responses on pages of other origins.
//!
//! Envoy answers preflight requests of origins that a policy allows and adds headers to other responses, on routes that
//! forward requests. Policies of several levels are put together field by field, the most specific first; policies in the
//! fields that the filter's own configuration replaced count only where there is none of that. The `amesh-cors` plugin does
//! as Envoy does. APISIX's own `cors` plugin allows no more, but answers more requests.

use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3::CorsPolicy as OlderPolicy;
use envoy_types::pb::envoy::config::route::v3::cors_policy::EnabledSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::google::protobuf::BoolValue;

use crate::apisix::plugin::{AmeshCors, Cors, Part, Plugins};
use crate::feature::{Extension, Fate, Feature, Field, Message, approximate, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::regex::escape;
use crate::translate::value::fraction::part;
use crate::translate::value::string_match::{self, Pattern};

pub(crate) static FEATURE: Feature = Feature {
    name: "http_filter/cors",
    summary: "CORS policies become the amesh-cors plugin, or APISIX's cors plugin.",
    messages: &[
        Message {
            name: "envoy.extensions.filters.http.cors.v3.CorsPolicy",
            fields: FIELDS,
        },
        Message {
            name: "envoy.config.route.v3.CorsPolicy",
            fields: FIELDS,
        },
    ],
    extensions: &[Extension::same(
        "envoy.extensions.filters.http.cors.v3.Cors",
        Fate::Exact {
            target: "the filter is there",
        },
    )],
    rules: &[&ORIGIN, &FRACTION, &MAX_AGE],
};

static FIELDS: &[Field] = &[
    approximate("allow_origin_string_match", "cors.allow_origins_by_regex", &PLUGIN).amesh_exact("amesh-cors.origins"),
    exact("allow_methods", "cors.allow_methods").amesh_exact("amesh-cors.methods"),
    exact("allow_headers", "cors.allow_headers").amesh_exact("amesh-cors.headers"),
    exact("expose_headers", "cors.expose_headers").amesh_exact("amesh-cors.expose"),
    exact("max_age", "cors.max_age").amesh_exact("amesh-cors.max_age"),
    exact("allow_credentials", "cors.allow_credential").amesh_exact("amesh-cors.credentials"),
    exact("filter_enabled", "cors").amesh_exact("amesh-cors.part"),
    irrelevant("shadow_enabled", "only counts what the policy would do"),
    unsupported("allow_private_network_access", &PRIVATE_NETWORK).amesh_exact("amesh-cors.private_network"),
    unsupported("forward_not_matching_preflights", &FORWARD).amesh_exact("amesh-cors.answers_others"),
];

static PLUGIN: Rule = Rule::new(
    "cors-plugin",
    Outcome::Approximated,
    "every OPTIONS request of a route with a CORS policy is answered by APISIX",
    "Envoy answers preflight requests of allowed origins and forwards every other OPTIONS request. APISIX's cors plugin \
     answers all of them with 200, and puts the headers of a preflight's answer on all responses to allowed origins. \
     Browsers allow the same, and no origin more.",
    "nothing, unless an application answers OPTIONS requests itself; or load Amesh's Lua package",
);

static FORWARD: Rule = Rule::new(
    "cors-forward-preflights",
    Outcome::Ignored,
    "preflight requests of other origins are answered without allowing anything",
    "Envoy forwards them, or answers them itself. APISIX's cors plugin answers them without the header that would allow \
     anything, which browsers take for a refusal.",
    "nothing; or load Amesh's Lua package",
);

static ORIGIN: Rule = Rule::new(
    "cors-origin",
    Outcome::LeftOut,
    "an origin of a CORS policy is not allowed",
    "The pattern of the origin cannot be carried over, so browsers refuse pages of that origin the response.",
    "list origins by their text, or by a plain regular expression",
);

static FRACTION: Rule = Rule::new(
    "cors-fraction",
    Outcome::LeftOut,
    "a CORS policy for a part of the requests is for none",
    "APISIX's cors plugin is on or off. Browsers refuse pages of other origins the response.",
    "use 0 % or 100 %; or load Amesh's Lua package",
);

static MAX_AGE: Rule = Rule::new(
    "cors-max-age",
    Outcome::Ignored,
    "the time for which browsers may remember a CORS policy is no number of seconds",
    "Envoy sends the text as it stands. APISIX's cors plugin takes a number, so browsers are told their own default.",
    "write a number of seconds",
);

static PRIVATE_NETWORK: Rule = Rule::new(
    "cors-private-network",
    Outcome::LeftOut,
    "pages of public sites are not allowed to ask a private network",
    "Envoy can allow what browsers ask for by Access-Control-Request-Private-Network. APISIX's cors plugin does not know \
     that header, so browsers refuse.",
    "load Amesh's Lua package",
);

/// The longest pattern that APISIX's own plugin takes.
const LONGEST: usize = 4096;

/// A policy as one level has it. What is absent is for a less specific level to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Policy {
    /// Empty where there are origins, but none that can be carried over.
    origins: Option<Vec<String>>,
    methods: Option<String>,
    headers: Option<String>,
    expose: Option<String>,
    max_age: Option<String>,
    credentials: Option<bool>,
    private_network: Option<bool>,
    forward: Option<bool>,
    /// The most specific level alone says this.
    part: Option<Part>,
}

/// Reads the configuration of the filter.
pub(super) fn policy(policy: &CorsPolicy, at: Path<'_>, findings: &Findings) -> Policy {
    let CorsPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        filter_enabled,
        shadow_enabled: _,
        allow_private_network_access,
        forward_not_matching_preflights,
    } = policy;
    read(
        allow_origin_string_match,
        [allow_methods, allow_headers, expose_headers, max_age],
        *allow_credentials,
        filter_enabled.as_ref(),
        *allow_private_network_access,
        *forward_not_matching_preflights,
        at,
        findings,
    )
}

/// Reads a policy in the fields that the filter's own configuration replaced.
pub(crate) fn older_policy(policy: &OlderPolicy, at: Path<'_>, findings: &Findings) -> Policy {
    let OlderPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        shadow_enabled: _,
        allow_private_network_access,
        forward_not_matching_preflights,
        enabled_specifier,
    } = policy;
    let enabled = enabled_specifier
        .as_ref()
        .map(|EnabledSpecifier::FilterEnabled(fraction)| fraction);
    read(
        allow_origin_string_match,
        [allow_methods, allow_headers, expose_headers, max_age],
        *allow_credentials,
        enabled,
        *allow_private_network_access,
        *forward_not_matching_preflights,
        at,
        findings,
    )
}

#[expect(
    clippy::too_many_arguments,
    reason = "the fields of two messages that have nothing but them in common"
)]
fn read(
    origins: &[StringMatcher],
    [methods, headers, expose, max_age]: [&String; 4],
    credentials: Option<BoolValue>,
    enabled: Option<&RuntimeFractionalPercent>,
    private_network: Option<BoolValue>,
    forward: Option<BoolValue>,
    at: Path<'_>,
    findings: &Findings,
) -> Policy {
    let native = findings.options().target == Target::Native;
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let said = |value: Option<BoolValue>| value.map(|value| value.value);
    let part = enabled.map(|enabled| {
        let RuntimeFractionalPercent {
            default_value,
            runtime_key: _,
        } = enabled;
        part(default_value.unwrap_or_default())
    });
    if native {
        for (set, rule, field) in [
            (!origins.is_empty(), &PLUGIN, "allow_origin_string_match"),
            (
                !max_age.is_empty() && max_age.parse::<i64>().is_err(),
                &MAX_AGE,
                "max_age",
            ),
            (
                part.flatten()
                    .is_some_and(|part| 0 < part.numerator && part.numerator < part.denominator),
                &FRACTION,
                "filter_enabled",
            ),
            (
                private_network.is_some(),
                &PRIVATE_NETWORK,
                "allow_private_network_access",
            ),
            (forward.is_some(), &FORWARD, "forward_not_matching_preflights"),
        ] {
            findings.add_if(set, rule, at.field(field));
        }
    }
    let at_origins = at.field("allow_origin_string_match");
    let origin = |(index, matcher)| origin(matcher, native, at_origins.index(index), findings);
    Policy {
        origins: (!origins.is_empty()).then(|| origins.iter().enumerate().filter_map(origin).collect()),
        methods: given(methods),
        headers: given(headers),
        expose: given(expose),
        max_age: given(max_age),
        credentials: said(credentials),
        private_network: said(private_network),
        forward: said(forward),
        // Envoy refuses denominators that it does not know; none of the requests is no more than it would allow.
        part: part.map(|part| part.unwrap_or(NONE)),
    }
}

const NONE: Part = Part {
    numerator: 0,
    denominator: 100,
};

/// The pattern that is found in the origins that a matcher allows, and in no others.
fn origin(matcher: &StringMatcher, native: bool, at: Path<'_>, findings: &Findings) -> Option<String> {
    // What a matcher of a route reports is about the route's requests.
    let own = findings.beside();
    let read = string_match::pattern(matcher, at, &own);
    findings.take_approximations(own);
    let pattern = read
        .map_err(|refused| refused.0.name)
        .and_then(|(pattern, ignore_case)| {
            let text = match pattern {
                // To Envoy a pattern that takes the asterisk takes every origin.
                _ if takes_asterisk(&pattern) => "^".to_owned(),
                Pattern::Exact(text) => format!("^{}\\z", escape(&text)),
                Pattern::Prefix(text) => format!("^{}", escape(&text)),
                Pattern::Suffix(text) => format!("{}\\z", escape(&text)),
                Pattern::Contains(text) => escape(&text),
                Pattern::Regex(regex) => regex.whole().map_err(|_| "the pattern cannot be printed")?,
            };
            let text = if ignore_case { format!("(?i:{text})") } else { text };
            if native && text.len() > LONGEST {
                return Err("the pattern is too long");
            }
            Ok(text)
        });
    pattern.map_err(|why| findings.add_with(&ORIGIN, at, why)).ok()
}

/// Whether a text that is compared takes the asterisk; patterns of RE2 are tried by Amesh's package.
fn takes_asterisk(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Exact(text) => text == "*",
        Pattern::Prefix(text) | Pattern::Suffix(text) | Pattern::Contains(text) => "*".contains(text.as_str()),
        Pattern::Regex(_) => false,
    }
}

impl Policy {
    /// Policies put together, the most specific one first.
    pub(crate) fn together(policies: &[&Self]) -> Self {
        fn first<T: Clone>(policies: &[&Policy], of: impl Fn(&Policy) -> &Option<T>) -> Option<T> {
            policies.iter().find_map(|policy| of(policy).clone())
        }
        Self {
            origins: first(policies, |policy| &policy.origins),
            methods: first(policies, |policy| &policy.methods),
            headers: first(policies, |policy| &policy.headers),
            expose: first(policies, |policy| &policy.expose),
            max_age: first(policies, |policy| &policy.max_age),
            credentials: first(policies, |policy| &policy.credentials),
            private_network: first(policies, |policy| &policy.private_network),
            forward: first(policies, |policy| &policy.forward),
            part: policies.first().and_then(|policy| policy.part),
        }
    }

    /// Puts the policy among the plugins of a route that forwards requests.
    pub(crate) fn apply(self, plugins: &mut Plugins, findings: &Findings) {
        let part = self.part.filter(|part| part.numerator < part.denominator);
        let answers_others = self.forward == Some(false);
        let origins = self.origins.unwrap_or_default();
        if part.is_some_and(|part| part.numerator == 0) || origins.is_empty() && !answers_others {
            return;
        }
        if findings.options().target == Target::Amesh {
            plugins.amesh_cors = Some(AmeshCors {
                origins,
                methods: self.methods,
                headers: self.headers,
                expose: self.expose,
                max_age: self.max_age,
                credentials: self.credentials == Some(true),
                private_network: self.private_network == Some(true),
                answers_others,
                part,
            });
            return;
        }
        if part.is_some() || origins.is_empty() {
            return;
        }
        let mut patterns = origins;
        patterns.sort();
        patterns.dedup();
        let credentials = self.credentials == Some(true);
        let any = |text: &String| text == "*";
        plugins.cors = Some(Cors {
            allow_origins: credentials.then_some("null"),
            allow_origins_by_regex: patterns,
            allow_methods: match self.methods {
                Some(methods) if any(&methods) => "**".to_owned(),
                Some(methods) => methods,
                // What browsers allow without being told, in place of the plugin's default of all.
                None => "GET,HEAD,POST".to_owned(),
            },
            allow_headers: match self.headers {
                Some(headers) if any(&headers) => "**".to_owned(),
                Some(headers) => headers,
                None => String::new(),
            },
            // Together with credentials it is no wildcard to browsers.
            expose_headers: self.expose.filter(|expose| !credentials || !any(expose)),
            max_age: self.max_age.and_then(|age| age.parse().ok()),
            allow_credential: credentials,
        });
    }
}
