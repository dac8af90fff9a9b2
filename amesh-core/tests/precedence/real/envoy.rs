//! A real Envoy that holds many route configurations and takes the one that a request names.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::config::route::v3::scoped_route_configuration::{Key, key};
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, ScopedRouteConfiguration};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::{
    FragmentBuilder, fragment_builder,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::{
    ConfigSpecifier, ScopeKeyBuilder,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, ScopedRouteConfigurationsList, ScopedRoutes,
};
use prost::Message as _;
use tempfile::TempDir;

use super::client::Client;
use super::{free_ports, wait_for};
use crate::generate::requests::LOOPBACK;
use crate::generate::table::{Table, http_filters, listener_with};
use crate::model::envoy::bound_to;

/// The header whose value is the number of the route configuration that a request is for.
pub(crate) const TABLE: &str = "x-table";
/// The header of the answer that names the route.
pub(crate) const ROUTE: &str = "x-route";

/// A running Envoy, killed when dropped.
pub(crate) struct Envoy {
    child: Child,
    _folder: TempDir,
    pub(crate) address: SocketAddr,
}

impl Envoy {
    /// Starts one with route configurations of which [`TABLE`] chooses.
    pub(crate) fn with_tables(binary: &Path, tables: &[RouteConfiguration]) -> Self {
        let [port] = free_ports();
        let address = SocketAddr::new(LOOPBACK, port);
        Self::start(binary, address, vec![listener_with(address, &choosing(tables))])
    }

    /// Starts one with the listeners of a table, which must be bound to addresses of this machine.
    pub(crate) fn with_listeners(binary: &Path, table: &Table) -> Self {
        let listeners: Vec<Listener> = table
            .listeners
            .iter()
            .map(|listener| {
                let routes = table.routes_of(listener).expect("the routes of a listener");
                let manager = HttpConnectionManager {
                    stat_prefix: listener.name.clone(),
                    http_filters: http_filters(),
                    route_specifier: Some(RouteSpecifier::RouteConfig(marked(routes, 0))),
                    ..HttpConnectionManager::default()
                };
                listener_with(bound_to(listener), &manager)
            })
            .collect();
        let mut address = bound_to(&listeners[0]);
        if address.ip().is_unspecified() {
            address.set_ip(LOOPBACK);
        }
        Self::start(binary, address, listeners)
    }

    /// Starts one, which answers at `address`. It knows no clusters: every route answers 503, with its name in the
    /// header [`ROUTE`].
    fn start(binary: &Path, address: SocketAddr, listeners: Vec<Listener>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("bootstrap.pb");
        let bootstrap = Bootstrap {
            static_resources: Some(StaticResources {
                listeners,
                ..StaticResources::default()
            }),
            ..Bootstrap::default()
        };
        fs::write(&file, bootstrap.encode_to_vec()).expect("a file");
        let log = folder.path().join("log");
        let child = Command::new(binary)
            .arg("-c")
            .arg(&file)
            .args([
                "--use-dynamic-base-id",
                "--concurrency",
                "1",
                "-l",
                "error",
                "--log-path",
            ])
            .arg(&log)
            .stdin(Stdio::null())
            .spawn()
            .expect("Envoy starts");
        let mut envoy = Self {
            child,
            _folder: folder,
            address,
        };
        let mut client = Client::new(address);
        let answers = || {
            let ended = envoy.child.try_wait().expect("a state");
            // It prints the whole configuration first and the reason last.
            let said = fs::read_to_string(&log).unwrap_or_default();
            let reason: Vec<&str> = said.lines().rev().take(2).collect();
            assert!(ended.is_none(), "{ended:?}: {reason:?}");
            client.send("GET", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_ok()
        };
        assert!(wait_for(Duration::from_secs(60), answers), "Envoy does not answer");
        envoy
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It is gone either way: an error here is that it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection manager that takes the route configuration whose number is in the header [`TABLE`].
fn choosing(tables: &[RouteConfiguration]) -> HttpConnectionManager {
    let scopes = tables
        .iter()
        .enumerate()
        .map(|(table, routes)| ScopedRouteConfiguration {
            name: table.to_string(),
            route_configuration: Some(marked(routes, table)),
            key: Some(Key {
                fragments: vec![key::Fragment {
                    r#type: Some(key::fragment::Type::StringKey(table.to_string())),
                }],
            }),
            ..ScopedRouteConfiguration::default()
        });
    HttpConnectionManager {
        stat_prefix: "tables".to_owned(),
        http_filters: http_filters(),
        route_specifier: Some(RouteSpecifier::ScopedRoutes(ScopedRoutes {
            name: "tables".to_owned(),
            scope_key_builder: Some(ScopeKeyBuilder {
                fragments: vec![FragmentBuilder {
                    r#type: Some(fragment_builder::Type::HeaderValueExtractor(
                        fragment_builder::HeaderValueExtractor {
                            name: TABLE.to_owned(),
                            extract_type: Some(fragment_builder::header_value_extractor::ExtractType::Index(0)),
                            ..fragment_builder::HeaderValueExtractor::default()
                        },
                    )),
                }],
            }),
            config_specifier: Some(ConfigSpecifier::ScopedRouteConfigurationsList(
                ScopedRouteConfigurationsList {
                    scoped_route_configurations: scopes.collect(),
                },
            )),
            ..ScopedRoutes::default()
        })),
        ..HttpConnectionManager::default()
    }
}

/// The same routes, each of which names itself in its answers.
fn marked(routes: &RouteConfiguration, table: usize) -> RouteConfiguration {
    let mut routes = routes.clone();
    routes.name = format!("{table}.{}", routes.name);
    for route in routes.virtual_hosts.iter_mut().flat_map(|host| &mut host.routes) {
        route.response_headers_to_add.push(HeaderValueOption {
            header: Some(HeaderValue {
                key: ROUTE.to_owned(),
                value: route.name.clone(),
                ..HeaderValue::default()
            }),
            ..HeaderValueOption::default()
        });
    }
    routes
}
