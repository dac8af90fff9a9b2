//! The sections of Envoy's `/config_dump`: `envoy.admin.v3.ClustersConfigDump` and its kin.

use serde_json::value::RawValue;

use super::outline::{Kind, Members, is, items, kind};
use super::reader::{Reader, members, name};
use super::{DRAINING, ERROR_STATE, INLINE_ROUTES, WARMING};
use crate::decode::{Reason, ResourceType};
use crate::field_path::Path;

/// A list of one section.
struct List {
    /// The section's message, without its package.
    section: &'static str,
    /// The field of the section.
    field: &'static str,
    /// The message of its entries, which a dump of a single resource holds by itself.
    entry: &'static str,
    /// The field of an entry that holds the resource.
    member: &'static str,
    kind: ResourceType,
    holds: Holds,
}

/// What the entries of a list are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// What serves traffic.
    Active,
    /// What waits for something else to arrive.
    Warming,
    /// Entries with an active, a warming and a draining state.
    States,
    /// Copies of what listeners hold.
    Inline,
}

const fn list(
    section: &'static str,
    field: &'static str,
    entry: &'static str,
    member: &'static str,
    kind: ResourceType,
    holds: Holds,
) -> List {
    List {
        section,
        field,
        entry,
        member,
        kind,
        holds,
    }
}

static LISTS: &[List] = {
    use Holds::{Active, Inline, States, Warming};
    use ResourceType::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration, Secret, TypedExtensionConfig};
    &[
        list(
            "ClustersConfigDump",
            "static_clusters",
            "StaticCluster",
            "cluster",
            Cluster,
            Active,
        ),
        list(
            "ClustersConfigDump",
            "dynamic_active_clusters",
            "DynamicCluster",
            "cluster",
            Cluster,
            Active,
        ),
        list(
            "ClustersConfigDump",
            "dynamic_warming_clusters",
            "DynamicCluster",
            "cluster",
            Cluster,
            Warming,
        ),
        list(
            "ListenersConfigDump",
            "static_listeners",
            "StaticListener",
            "listener",
            Listener,
            Active,
        ),
        list(
            "ListenersConfigDump",
            "dynamic_listeners",
            "DynamicListener",
            "listener",
            Listener,
            States,
        ),
        list(
            "RoutesConfigDump",
            "static_route_configs",
            "StaticRouteConfig",
            "route_config",
            RouteConfiguration,
            Inline,
        ),
        list(
            "RoutesConfigDump",
            "dynamic_route_configs",
            "DynamicRouteConfig",
            "route_config",
            RouteConfiguration,
            Active,
        ),
        list(
            "EndpointsConfigDump",
            "static_endpoint_configs",
            "StaticEndpointConfig",
            "endpoint_config",
            ClusterLoadAssignment,
            Active,
        ),
        list(
            "EndpointsConfigDump",
            "dynamic_endpoint_configs",
            "DynamicEndpointConfig",
            "endpoint_config",
            ClusterLoadAssignment,
            Active,
        ),
        list(
            "SecretsConfigDump",
            "static_secrets",
            "StaticSecret",
            "secret",
            Secret,
            Active,
        ),
        list(
            "SecretsConfigDump",
            "dynamic_active_secrets",
            "DynamicSecret",
            "secret",
            Secret,
            Active,
        ),
        list(
            "SecretsConfigDump",
            "dynamic_warming_secrets",
            "DynamicSecret",
            "secret",
            Secret,
            Warming,
        ),
        list(
            "EcdsConfigDump",
            "ecds_filters",
            "EcdsFilterConfig",
            "ecds_filter",
            TypedExtensionConfig,
            Active,
        ),
    ]
};

/// Whether these are the members of a section that does not say its type.
pub(super) fn is_section(members: &Members<'_>) -> bool {
    LISTS.iter().any(|list| members.has(list.field))
}

/// Reads a section. `listeners`: the dump has listeners, so that what is inline in them is not needed twice.
pub(super) fn read(reader: &mut Reader, members: &Members<'_>, listeners: bool, at: Path<'_>) {
    for (key, value) in members.iter() {
        let at = at.field(key);
        if let Some(list) = LISTS.iter().find(|list| is(key, list.field)) {
            for (index, entry) in items(value).into_iter().enumerate() {
                read_entry(reader, list, entry, listeners, at.index(index));
            }
            continue;
        }
        match kind(value) {
            Kind::Other | Kind::Null => {}
            Kind::List if is(key, "inline_scoped_route_configs") || is(key, "dynamic_scoped_route_configs") => {
                for entry in items(value) {
                    let reason = Reason::UnknownType("envoy.config.route.v3.ScopedRouteConfiguration".to_owned());
                    reader.reject(entry, None, reason);
                }
            }
            // The time of the last update, and what a producer adds of its own.
            _ if is(key, "last_updated") => {}
            Kind::List | Kind::Object => reader.reject(value, None, Reason::json(at, "unknown part of a dump")),
        }
    }
}

/// Reads the one entry that `/config_dump?resource=...` prints, by its type: `ListenersConfigDump.DynamicListener`.
/// False when it is none.
pub(super) fn read_single(reader: &mut Reader, message: &str, entry: &RawValue, at: Path<'_>) -> bool {
    let Some((section, entry_type)) = message.rsplit_once('.') else {
        return false;
    };
    let list = LISTS
        .iter()
        .find(|list| list.section == section && list.entry == entry_type);
    if let Some(list) = list {
        read_entry(reader, list, entry, false, at);
    }
    list.is_some()
}

fn read_entry(reader: &mut Reader, list: &List, entry: &RawValue, listeners: bool, at: Path<'_>) {
    let fields = match members(entry, at) {
        Ok(fields) => fields,
        Err(reason) => return reader.reject(entry, Some(list.kind), reason),
    };
    let entry_name = || fields.string("name").unwrap_or_default();
    let mut found = false;
    if let Some((_, error)) = fields.get("error_state") {
        found = true;
        let error = Members::of(error).unwrap_or_default();
        let failed = || error.get("failed_configuration").and_then(|(_, json)| name(json));
        let active = fields.get(list.member).and_then(|(_, json)| name(json));
        // A listener that was never active has its name only in what failed.
        let name = match entry_name() {
            own if own.is_empty() => active.or_else(failed).unwrap_or_default(),
            own => own.into_owned(),
        };
        let details = error.string("details").map(std::borrow::Cow::into_owned);
        reader.finding(&ERROR_STATE, list.kind, &name, "", details);
    }
    if list.holds == Holds::States {
        for (state, rule) in [
            ("active_state", None),
            ("warming_state", Some(&WARMING)),
            ("draining_state", Some(&DRAINING)),
        ] {
            let Some((key, state)) = fields.get(state) else {
                continue;
            };
            found = true;
            let at = at.field(key);
            match members(state, at) {
                Ok(state) => match (state.get(list.member), rule) {
                    (Some((key, json)), None) => reader.resource(json, Some(list.kind), at.field(key)),
                    (_, Some(rule)) => reader.finding(rule, list.kind, &entry_name(), "", None),
                    (None, None) => missing(reader, list, entry, at),
                },
                Err(reason) => reader.reject(entry, Some(list.kind), reason),
            }
        }
        if !found {
            missing(reader, list, entry, at);
        }
        return;
    }
    match (fields.get(list.member), list.holds) {
        (Some((key, json)), Holds::Active | Holds::States) => {
            reader.resource(json, Some(list.kind), at.field(key));
        }
        (Some((_, json)), Holds::Warming) => {
            reader.finding(&WARMING, list.kind, &name(json).unwrap_or_default(), "", None);
        }
        (Some((key, json)), Holds::Inline) => {
            if !listeners {
                let at = at.field(key).to_string();
                reader.finding(&INLINE_ROUTES, list.kind, &name(json).unwrap_or_default(), "", Some(at));
            }
        }
        (None, _) if found => {}
        (None, _) => missing(reader, list, entry, at),
    }
}

fn missing(reader: &mut Reader, list: &List, entry: &RawValue, at: Path<'_>) {
    let message = format!("expected '{}' field", list.member);
    reader.reject(entry, Some(list.kind), Reason::json(at, &message));
}
