//! Listener filters: what Envoy finds out about a connection before it chooses a filter chain.

use envoy_types::pb::envoy::config::listener::v3::ListenerFilter;
use envoy_types::pb::envoy::config::listener::v3::listener_filter::ConfigType;

use super::LISTENER_FILTER;
use super::filter_chain::PROXY_PROTOCOL;
use crate::feature::{Extension, Fate, Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Path};
use crate::translate::http_filter::table::inner_type;

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/listener_filter",
    summary: "Listener filters that only inspect a connection are not needed; others are reported.",
    messages: &[Message {
        name: "envoy.config.listener.v3.ListenerFilter",
        fields: &[
            exact("name", "names the filter where a finding is about it"),
            exact("typed_config", "decides by its type: see the extensions"),
            unsupported("config_discovery", &LISTENER_FILTER),
            irrelevant("filter_disabled", "says for which ports a connection is not inspected"),
        ],
    }],
    extensions: EXTENSIONS,
    rules: &[],
};

const INSPECTS: &str = "only finds out about a connection what APISIX finds out by itself";

static EXTENSIONS: &[Extension] = &[
    Extension::same(
        "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        Fate::Irrelevant { reason: INSPECTS },
    ),
    Extension::same(
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        Fate::Irrelevant { reason: INSPECTS },
    ),
    Extension::same(
        "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
        Fate::Irrelevant { reason: INSPECTS },
    ),
    Extension::same(
        "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        Fate::Unsupported { rule: &PROXY_PROTOCOL },
    ),
];

pub(super) fn report(filters: &[ListenerFilter], at: Path<'_>, findings: &Findings) {
    for (index, filter) in filters.iter().enumerate() {
        let at_filters = at.field("listener_filters");
        let at_filter = at_filters.index(index);
        let ListenerFilter {
            name,
            filter_disabled: _,
            config_type,
        } = filter;
        match config_type {
            Some(ConfigType::TypedConfig(config)) => {
                let type_name = inner_type(config);
                match EXTENSIONS
                    .iter()
                    .find(|extension| extension.message == type_name)
                    .map(|known| known.native)
                {
                    Some(Fate::Irrelevant { .. } | Fate::Exact { .. }) => {}
                    Some(Fate::Unsupported { rule } | Fate::Approximate { rule, .. }) => {
                        findings.add(rule, at_filter.field("typed_config"));
                    }
                    None => findings.add_with(&LISTENER_FILTER, at_filter.field("typed_config"), type_name),
                }
            }
            Some(ConfigType::ConfigDiscovery(_)) => {
                findings.add_with(&LISTENER_FILTER, at_filter.field("config_discovery"), name.clone());
            }
            None => findings.add_with(&LISTENER_FILTER, at_filter, name.clone()),
        }
    }
}
