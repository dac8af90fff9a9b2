//! Upgrades: connections that stop being HTTP.

use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::UpgradeConfig;

use crate::feature::{Feature, Message, exact, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/upgrade",
    summary: "WebSocket upgrades are passed on where a connection manager says so.",
    messages: &[
        Message {
            name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            fields: &[exact("upgrade_configs", "route.enable_websocket")],
        },
        Message {
            name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig",
            fields: &[
                exact("upgrade_type", "route.enable_websocket"),
                unsupported("filters", &UPGRADE),
                exact("enabled", "route.enable_websocket"),
            ],
        },
    ],
    extensions: &[],
    rules: &[],
};

static UPGRADE: Rule = Rule::new(
    "connection-manager-upgrade",
    Outcome::LeftOut,
    "connections cannot be upgraded to anything but WebSocket",
    "Envoy passes on upgrades by name, through filters of their own if so configured. APISIX passes on WebSocket upgrades \
     through the same plugins as any request.",
    "use WebSocket",
);

/// Whether WebSocket upgrades are passed on.
pub(super) fn websocket(configs: &[UpgradeConfig], at: Path<'_>, findings: &Findings) -> bool {
    let mut allowed = false;
    for (index, config) in configs.iter().enumerate() {
        let at_config = at.index(index);
        let UpgradeConfig {
            upgrade_type,
            filters,
            enabled,
        } = config;
        let enabled = enabled.is_none_or(|value| value.value);
        if !filters.is_empty() {
            findings.add(&UPGRADE, at_config.field("filters"));
        }
        if upgrade_type.eq_ignore_ascii_case("websocket") {
            allowed = enabled;
        } else if enabled {
            findings.add_with(&UPGRADE, at_config, upgrade_type.clone());
        }
    }
    allowed
}
