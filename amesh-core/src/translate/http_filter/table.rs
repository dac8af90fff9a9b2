//! The one table of HTTP filters, by the type of their configuration.

use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;

use crate::decode::extension::message_name;
use crate::feature::{Extension, Fate, Feature};
use crate::finding::{Outcome, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "http_filter/table",
    summary: "Each known filter does nothing to requests, is missed, or guards them.",
    messages: &[],
    extensions: EXTENSIONS,
    rules: &[&OPTIONAL],
};

/// What a filter means for requests that APISIX serves without it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Filter {
    /// Envoy's own last step.
    Router,
    /// Changes no answer.
    Inert,
    /// Its absence is reported; requests are served.
    Missed(&'static Rule),
    /// May refuse requests: every request is answered with the status.
    Guard(&'static Rule, u32),
    /// Guards only if it has enforced rules.
    Rbac,
}

const fn irrelevant(message: &'static str, reason: &'static str) -> Extension {
    Extension::same(message, Fate::Irrelevant { reason })
}

const fn unsupported(message: &'static str, rule: &'static Rule) -> Extension {
    Extension::same(message, Fate::Unsupported { rule })
}

const TELEMETRY: &str = "only measures requests and tells the peer about the workload";

static EXTENSIONS: &[Extension] = &[
    irrelevant("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", TELEMETRY),
    irrelevant("stats.PluginConfig", TELEMETRY),
    irrelevant("io.istio.http.peer_metadata.Config", TELEMETRY),
    irrelevant(
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
        "chooses the ALPN of mutual TLS, which is reported on its own",
    ),
    unsupported("envoy.extensions.filters.http.grpc_web.v3.GrpcWeb", &GRPC_WEB),
    unsupported("envoy.extensions.filters.http.compressor.v3.Compressor", &COMPRESSOR),
    unsupported(
        "envoy.extensions.filters.http.decompressor.v3.Decompressor",
        &COMPRESSOR,
    ),
    unsupported(
        "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
        &SESSION,
    ),
    unsupported(
        "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
        &SESSION,
    ),
    unsupported("envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", &JWT),
    unsupported("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", &EXT_AUTHZ),
    unsupported(
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        &EXT_AUTHZ,
    ),
    unsupported("envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor", &CODE),
    unsupported("envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute", &CODE),
    unsupported("envoy.extensions.filters.http.lua.v3.Lua", &CODE),
    unsupported("envoy.extensions.filters.http.lua.v3.LuaPerRoute", &CODE),
    unsupported("envoy.extensions.filters.http.wasm.v3.Wasm", &CODE),
    unsupported(
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        &RATE_LIMIT,
    ),
    unsupported("envoy.extensions.filters.http.ratelimit.v3.RateLimit", &RATE_LIMIT),
    unsupported(
        "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute",
        &RATE_LIMIT,
    ),
];

pub(crate) static OPTIONAL: Rule = Rule::new(
    "http-filter-optional",
    Outcome::Ignored,
    "a filter that is not known to Amesh is optional and left out",
    "An Envoy that does not know an optional filter goes on without it. So does APISIX.",
    "nothing",
);

static GRPC_WEB: Rule = Rule::new(
    "grpc-web-filter",
    Outcome::LeftOut,
    "gRPC-Web requests are not turned into gRPC",
    "Envoy translates gRPC-Web, which browsers speak, into gRPC. APISIX passes it on as it is, and a gRPC server does not \
     understand it.",
    "use APISIX's grpc-web plugin",
);

static COMPRESSOR: Rule = Rule::new(
    "compressor-filter",
    Outcome::Ignored,
    "bodies are neither compressed nor decompressed",
    "Envoy compresses and decompresses bodies on the way. APISIX passes them on as they are, which clients and servers \
     understand as well.",
    "use APISIX's gzip plugin",
);

static SESSION: Rule = Rule::new(
    "stateful-session-filter",
    Outcome::LeftOut,
    "requests of one session are not kept on one endpoint",
    "Envoy can bind a session to an endpoint by a cookie or a header. APISIX spreads the requests.",
    "use consistentHash in a DestinationRule with Amesh's Lua package; or an APISIX upstream of type chash",
);

static JWT: Rule = Rule::new(
    "jwt-authentication",
    Outcome::FailsClosed,
    "requests are not authenticated by JSON Web Tokens",
    "Istio's RequestAuthentication becomes Envoy's JWT filter, which refuses bad tokens and tells later filters and routes \
     what a good one says. It is not carried over, so every request for the listener's filter chain is answered 403.",
    "remove the RequestAuthentication from this workload, or permit the rule to serve requests with any token or none",
);

static EXT_AUTHZ: Rule = Rule::new(
    "external-authorization",
    Outcome::FailsClosed,
    "requests are not shown to an external authorizer",
    "An AuthorizationPolicy with action CUSTOM becomes Envoy's ext_authz filter, which asks another service about each \
     request. It is not carried over, so every request for the listener's filter chain is answered 403.",
    "remove the policy from this workload, or permit the rule to serve requests unasked",
);

static CODE: Rule = Rule::new(
    "http-filter-code",
    Outcome::FailsClosed,
    "a filter runs a program that may refuse or change requests",
    "Lua, WebAssembly and external processors can do anything with a request, authorization included. They are not \
     carried over, so every request for the listener's filter chain is answered 503.",
    "remove the filter, or permit the rule to serve requests without it",
);

static RATE_LIMIT: Rule = Rule::new(
    "rate-limit-filter",
    Outcome::FailsClosed,
    "requests are not limited",
    "Envoy refuses requests beyond a rate with 429. The limit is not carried over, and serving without it could overload \
     what it protects, so every request for the listener's filter chain is answered 503.",
    "remove the limit, or permit the rule to serve requests without it",
);

/// What a filter is, by the type of its configuration; `None` when it is not known.
pub(crate) fn filter(type_name: &str) -> Option<Filter> {
    Some(match type_name {
        "envoy.extensions.filters.http.router.v3.Router" => Filter::Router,
        "envoy.extensions.filters.http.rbac.v3.RBAC" | "envoy.extensions.filters.http.rbac.v3.RBACPerRoute" => {
            Filter::Rbac
        }
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" => Filter::Guard(&JWT, 403),
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
        | "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute" => Filter::Guard(&EXT_AUTHZ, 403),
        // In a wrapper that Envoy reads only for types that it does not know, or broken.
        "envoy.extensions.filters.http.fault.v3.HTTPFault"
        | "envoy.extensions.filters.http.cors.v3.Cors"
        | "envoy.extensions.filters.http.cors.v3.CorsPolicy" => Filter::Missed(&super::PER_ROUTE),
        _ => match EXTENSIONS
            .iter()
            .find(|extension| extension.message == type_name)?
            .native
        {
            Fate::Irrelevant { .. } => Filter::Inert,
            Fate::Exact { .. } => return None,
            Fate::Approximate { rule, .. } | Fate::Unsupported { rule } if rule.outcome == Outcome::FailsClosed => {
                Filter::Guard(rule, 503)
            }
            Fate::Approximate { rule, .. } | Fate::Unsupported { rule } => Filter::Missed(rule),
        },
    })
}

/// The type of a configuration, looking into the wrappers that carry configurations of types that a proxy may not know.
pub(crate) fn inner_type(config: &Any) -> String {
    /// `TypedStruct` of both its packages: a type URL in field 1, a `Struct` in field 2.
    #[derive(Clone, PartialEq, prost::Message)]
    struct TypedStruct {
        #[prost(string, tag = "1")]
        type_url: String,
    }
    match message_name(config) {
        "xds.type.v3.TypedStruct" | "udpa.type.v1.TypedStruct" | "amesh.v1.RawJson" => {
            let wrapper = TypedStruct::decode(config.value.as_slice()).unwrap_or_default();
            wrapper.type_url.rsplit('/').next().unwrap_or_default().to_owned()
        }
        name => name.to_owned(),
    }
}
