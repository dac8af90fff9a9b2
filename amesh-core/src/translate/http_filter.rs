//! HTTP filters: what a connection manager does with requests before they are routed.
//!
//! A filter is one of four things: it can do nothing to requests (statistics), it makes answers better (CORS), it is
//! Envoy's own machinery (the router), or it may refuse a request. What may refuse one and is not carried over refuses
//! every request, and so does every filter that Amesh does not know.

pub(crate) mod cors;
pub(crate) mod fault;
mod level;
pub(crate) mod rbac;
pub(crate) mod router;
pub(crate) mod table;

use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::envoy::config::route::v3::FilterConfig;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::{Cors, CorsPolicy};
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::HttpFault;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message as _, Name as _};

use self::level::Config;
pub(crate) use self::level::{Configs, Level};
use self::table::{Filter, filter};
use crate::decode::extension::{self, message_name};
use crate::feature::{Feature, Message, exact, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "http_filter",
    summary: "Filters that may refuse requests and are not carried over refuse all of them.",
    messages: &[
        Message {
            name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
            fields: &[
                exact("name", "names the filter where a finding is about it"),
                exact("typed_config", "decides by its type: see the extensions"),
                unsupported("config_discovery", &DISCOVERY),
                exact("is_optional", "an unknown filter that is optional is left out"),
                unsupported("disabled", &DISABLED),
            ],
        },
        Message {
            name: "envoy.config.route.v3.FilterConfig",
            fields: &[
                exact("config", "decides by its type: see the extensions"),
                exact("is_optional", "an unknown filter that is optional is left out"),
                exact("disabled", "the filter is off for the route"),
            ],
        },
    ],
    extensions: &[],
    rules: &[
        &UNKNOWN,
        &PER_ROUTE,
        &PER_ROUTE_GUARD,
        &ABSENT,
        &level::DIFFER,
        &level::MEMBER,
    ],
};

pub(crate) static UNKNOWN: Rule = Rule::new(
    "http-filter-unknown",
    Outcome::FailsClosed,
    "a filter is not known to Amesh and may refuse requests",
    "Nothing is known about what the filter does with requests. It may authenticate, authorize or change them, so \
     every request for the listener's filter chain is answered 503.",
    "remove the filter, mark it optional, or permit the rule to serve requests without it",
);

static DISCOVERY: Rule = Rule::new(
    "http-filter-discovery",
    Outcome::FailsClosed,
    "a filter's configuration comes by extension discovery",
    "Istio's WasmPlugin and EnvoyFilter add filters whose configuration is fetched by name (ECDS). What such a filter \
     does with requests cannot be carried over, so every request for the listener's filter chain is answered 503.",
    "remove the plugin, or permit the rule to serve requests without it",
);

static DISABLED: Rule = Rule::new(
    "http-filter-disabled",
    Outcome::Ignored,
    "a filter that is off unless a route turns it on is left out",
    "Envoy runs a disabled filter only for routes that configure it. Those configurations are reported where they \
     stand.",
    "nothing",
);

pub(crate) static PER_ROUTE: Rule = Rule::new(
    "route-filter-config",
    Outcome::LeftOut,
    "a filter's own configuration for a route is left out",
    "Routes can configure filters for themselves: a session, a compression. The filter is not carried over, so requests \
     are served without it.",
    "use the APISIX plugin that does the same",
);

static PER_ROUTE_GUARD: Rule = Rule::new(
    "route-filter-guard",
    Outcome::FailsClosed,
    "a filter that may refuse requests is configured for a route",
    "Routes can configure filters that authenticate, authorize or limit requests. The filter is not carried over, so \
     APISIX answers 503 to the requests that the configuration concerns.",
    "permit the rule to serve the requests without the filter",
);

static ABSENT: Rule = Rule::new(
    "http-filter-absent",
    Outcome::Ignored,
    "a filter is configured that the connection manager does not have",
    "Envoy finds the configuration by the name of the filter. Without a filter of that name it does nothing, in APISIX as \
     in Envoy.",
    "add the filter to the listener, or remove the configuration",
);

/// Looks at the filters of a connection manager: a status when every request must be answered with it, and what the
/// filters are for requests that nothing more specific configures them for.
pub(crate) fn http_filters(filters: &[HttpFilter], at: Path<'_>, findings: &Findings) -> (Option<u32>, Configs) {
    let mut refused = None;
    let mut configs = Configs::default();
    for (index, entry) in filters.iter().enumerate() {
        let at_filter = at.field("http_filters");
        let at_filter = at_filter.index(index);
        let HttpFilter {
            name,
            is_optional,
            disabled,
            config_type,
        } = entry;
        configs.insert(name, Config::On);
        if *disabled {
            findings.add_with(&DISABLED, at_filter.field("disabled"), name.clone());
            continue;
        }
        let status = match config_type {
            Some(ConfigType::ConfigDiscovery(_)) => {
                let permitted = findings.permits(&DISCOVERY, at_filter.field("config_discovery"), Some(name.clone()));
                (!permitted).then_some(503)
            }
            Some(ConfigType::TypedConfig(config)) => {
                let at_config = at_filter.field("typed_config");
                if let Some(config) = carried(config, at_config, findings) {
                    if let Config::Fault(fault) = &config {
                        fault.report_unrouted(at_config, findings);
                    }
                    configs.insert(name, config);
                    continue;
                }
                one(name, config, *is_optional, at_config, findings)
            }
            // Envoy's old way of a filter by its name alone.
            None => one(name, &Any::default(), *is_optional, at_filter, findings),
        };
        // Who is refused for want of authorization hears it rather than that the service is unavailable.
        refused = match (refused, status) {
            (Some(403), _) | (_, Some(403)) => Some(403),
            (earlier, later) => earlier.or(later),
        };
    }
    (refused, configs)
}

/// What a configuration of a filter that is carried over says; `None` where it is of another filter or cannot be read.
fn carried(config: &Any, at: Path<'_>, findings: &Findings) -> Option<Config> {
    if let Some(fault) = extension::decode::<HttpFault>(config) {
        let fault = fault::fault(&fault.ok()?, at, findings);
        return Some(Config::Fault(Box::new(fault)));
    }
    if let Some(policy) = extension::decode::<CorsPolicy>(config) {
        let policy = cors::policy(&policy.ok()?, at, findings);
        return Some(Config::Cors(Some(Box::new(policy))));
    }
    extension::decode::<Cors>(config)?.ok()?;
    Some(Config::Cors(None))
}

fn one(name: &str, config: &Any, is_optional: bool, at: Path<'_>, findings: &Findings) -> Option<u32> {
    let type_name = table::inner_type(config);
    match filter(&type_name) {
        Some(Filter::Router) => router::filter(config, at, findings),
        Some(Filter::Inert) => None,
        Some(Filter::Missed(rule)) => {
            findings.add_with(rule, at, type_name);
            None
        }
        Some(Filter::Guard(rule, status)) => (!findings.permits(rule, at, Some(type_name))).then_some(status),
        Some(Filter::Rbac) => rbac::filter(config, at, findings),
        None => {
            let detail = if type_name.is_empty() {
                name.to_owned()
            } else {
                type_name
            };
            if is_optional {
                findings.add_with(&table::OPTIONAL, at, detail);
                return None;
            }
            (!findings.permits(&UNKNOWN, at, Some(detail))).then_some(503)
        }
    }
}

/// What a route, a virtual host, a route configuration or a member of a weighted cluster configures for filters.
#[derive(Debug, Default)]
pub(crate) struct PerRoute {
    /// The status that its requests must be answered with.
    pub(crate) refused: Option<u32>,
    /// What it says about filters that are carried over.
    pub(crate) configs: Configs,
}

/// Looks at what a level below the connection manager configures for filters; `above` is what is less specific.
pub(crate) fn per_route(
    configs: &HashMap<String, Any>,
    above: &Level<'_>,
    at: Path<'_>,
    findings: &Findings,
) -> PerRoute {
    let sorted: BTreeMap<&String, &Any> = configs.iter().collect();
    let mut own = PerRoute::default();
    for (name, config) in sorted {
        let at_config = at.field("typed_per_filter_config");
        let at_config = at_config.key(name);
        let (config, is_optional) = if message_name(config) == FilterConfig::full_name() {
            let Ok(FilterConfig {
                config,
                is_optional,
                disabled,
            }) = FilterConfig::decode(config.value.as_slice())
            else {
                if !findings.permits(&PER_ROUTE_GUARD, at_config, Some(name.clone())) {
                    own.refused = Some(503);
                }
                continue;
            };
            // Off for these requests: nothing is missing. The filter itself is judged where the listener has it.
            if disabled {
                own.configs.insert(name, Config::Off);
                continue;
            }
            (config.unwrap_or_default(), is_optional)
        } else {
            (config.clone(), false)
        };
        if let Some(config) = carried(&config, at_config, findings) {
            if above.has_filter(name) {
                own.configs.insert(name, config);
            } else {
                findings.add(&ABSENT, at_config);
            }
            continue;
        }
        let type_name = table::inner_type(&config);
        let guards = match filter(&type_name) {
            Some(Filter::Router | Filter::Inert) => continue,
            Some(Filter::Missed(_)) => false,
            Some(Filter::Guard(..)) => true,
            Some(Filter::Rbac) => rbac::per_route_guards(&config),
            None => !is_optional,
        };
        if !guards {
            findings.add_with(&PER_ROUTE, at_config, type_name);
        } else if !findings.permits(&PER_ROUTE_GUARD, at_config, Some(type_name)) {
            own.refused = Some(503);
        }
    }
    own
}
