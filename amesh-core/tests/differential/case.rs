//! A fixture or a scenario, made ready for both proxies.
//!
//! Both sides get the same, but for two things. Envoy gets all of it in its bootstrap, so its clusters have their endpoints
//! in themselves. And its routes name themselves in their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use amesh_core::decode::Body;
use amesh_core::{Arrival, Finding, Options, Resource, Snapshot, Target, translate};
use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy};
use envoy_types::pb::envoy::config::core::v3::address::Address as Place;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Node, TypedExtensionConfig};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use envoy_types::pb::google::protobuf::{Any, BoolValue};
use prost::Message as _;
use serde_json::Value;

use crate::policy::fault;
use crate::{ENVOY, echo, made, strip};

/// A listener that all proxies have.
pub(crate) struct Door {
    /// Its name.
    pub(crate) listener: String,
    /// The port that the control plane gave it.
    pub(crate) meant: u16,
    /// The port that the proxies listen on, each at its own address.
    pub(crate) port: u16,
    pub(crate) routes: RouteConfiguration,
}

/// What APISIX gets for a target, and what is not carried over.
pub(crate) struct Translated {
    pub(crate) objects: BTreeMap<&'static str, Vec<Value>>,
    pub(crate) findings: Vec<Finding>,
}

/// All that is needed to ask.
pub(crate) struct Case {
    /// `route/redirect/hosts`, or `scenario/…`.
    pub(crate) name: String,
    pub(crate) doors: Vec<Door>,
    pub(crate) bootstrap: Bootstrap,
    /// For each of [`crate::TARGETS`].
    pub(crate) translated: Vec<Translated>,
    /// The clusters that an address belongs to.
    pub(crate) book: BTreeMap<IpAddr, BTreeSet<String>>,
    /// The ports of workloads.
    pub(crate) ports: BTreeSet<u16>,
}

impl Case {
    /// Listeners get ports from `port` on. Nothing, if no listener is for plain HTTP on all addresses with one list
    /// of routes.
    pub(crate) fn new(name: &str, resources: Vec<Resource>, targets: &[Target], port: u16) -> Option<Self> {
        let resources = complete(name, resources);
        let mut case = Self {
            name: name.to_owned(),
            doors: Vec::new(),
            bootstrap: Bootstrap::default(),
            translated: Vec::new(),
            book: BTreeMap::new(),
            ports: BTreeSet::new(),
        };
        let mut assignments: BTreeMap<String, ClusterLoadAssignment> = BTreeMap::new();
        let mut routes: BTreeMap<String, RouteConfiguration> = BTreeMap::new();
        for resource in &resources {
            match &resource.body {
                Body::ClusterLoadAssignment(found) => {
                    assignments.insert(resource.name.clone(), (**found).clone());
                }
                Body::RouteConfiguration(found) => drop(routes.insert(resource.name.clone(), known((**found).clone()))),
                _ => {}
            }
        }
        let (mut given, mut clusters, mut listeners) = (Vec::new(), Vec::new(), Vec::new());
        for mut resource in resources {
            match &mut resource.body {
                Body::Cluster(found) => {
                    let cluster = workable((**found).clone());
                    *found = cluster.clone().into();
                    clusters.push(case.whole(cluster, &assignments));
                }
                Body::Listener(found) => {
                    let Some((mut listener, specifier)) = strip::listener((**found).clone()) else {
                        continue;
                    };
                    if strip::has_many_lists(&mut listener) {
                        continue;
                    }
                    let routes = match specifier {
                        RouteSpecifier::Rds(rds) => routes.get(&rds.route_config_name).cloned(),
                        RouteSpecifier::RouteConfig(routes) => Some(known(routes)),
                        RouteSpecifier::ScopedRoutes(_) => None,
                    };
                    let Some(routes) = routes else { continue };
                    let meant = strip::bound_to(&listener);
                    let port = port + u16::try_from(case.doors.len()).expect("few");
                    strip::bind(&mut listener, "0.0.0.0", port);
                    strip::managers(&mut listener, |manager| made::end(&mut manager.http_filters));
                    *found = listener.clone().into();
                    listeners.push(alone(listener, port, &routes));
                    case.doors.push(Door {
                        listener: resource.name.clone(),
                        meant,
                        port,
                        routes,
                    });
                }
                Body::Secret(_) | Body::TypedExtensionConfig(_) => continue,
                Body::RouteConfiguration(found) => *found = known((**found).clone()).into(),
                Body::ClusterLoadAssignment(_) => {}
            }
            given.push(resource);
        }
        case.bootstrap = bootstrap(clusters, listeners);
        let snapshot = Snapshot::from_resources(given);
        for target in targets {
            let mut options = Options::default();
            options.target = *target;
            options.arrival = Some(Arrival::Direct);
            let translation = translate(&snapshot, &options);
            let mut objects: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
            for (key, object) in translation.objects() {
                let value = serde_json::to_value(&**object).expect("JSON");
                objects.entry(key.kind.name()).or_default().push(value);
            }
            case.translated.push(Translated {
                objects,
                findings: translation.findings().into_iter().cloned().collect(),
            });
        }
        (!case.doors.is_empty()).then_some(case)
    }

    /// A cluster that has its endpoints in itself. The addresses go into the book.
    fn whole(&mut self, mut cluster: Cluster, assignments: &BTreeMap<String, ClusterLoadAssignment>) -> Cluster {
        let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
        if cluster.cluster_discovery_type == Some(eds) {
            let config = cluster.eds_cluster_config.take().unwrap_or_default();
            let service = Some(config.service_name).filter(|name| !name.is_empty());
            let assignment = assignments.get(service.as_ref().unwrap_or(&cluster.name));
            let mut assignment = assignment.cloned().unwrap_or_default();
            // With discovery an address counts once, however often it stands there.
            let mut found = Vec::new();
            for locality in &mut assignment.endpoints {
                locality.lb_endpoints.retain(|endpoint| {
                    let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else {
                        return true;
                    };
                    let new = !found.contains(&endpoint.address);
                    found.push(endpoint.address.clone());
                    new
                });
            }
            cluster.load_assignment = Some(assignment);
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into()));
        }
        // There is one name server here.
        cluster.typed_dns_resolver_config = None;
        #[expect(deprecated, reason = "fixtures set what Envoy still reads")]
        {
            cluster.dns_resolvers.clear();
            cluster.dns_resolution_config = None;
            cluster.use_tcp_for_dns_lookups = false;
        }
        if let Some(assignment) = &mut cluster.load_assignment {
            assignment.cluster_name.clone_from(&cluster.name);
        }
        let assignment = cluster.load_assignment.iter();
        for endpoint in assignment
            .flat_map(|assignment| &assignment.endpoints)
            .flat_map(|locality| &locality.lb_endpoints)
        {
            if let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier
                && let Some(address) = &endpoint.address
                && let Some(Place::SocketAddress(socket)) = &address.address
                && let Some(PortSpecifier::PortValue(port)) = socket.port_specifier
            {
                let named = || echo::address_of(&socket.address).into();
                let address = socket.address.parse().unwrap_or_else(|_| named());
                self.book.entry(address).or_default().insert(cluster.name.clone());
                self.ports.extend(u16::try_from(port));
            }
        }
        cluster
    }
}

/// The resources with what they lack.
fn complete(name: &str, mut resources: Vec<Resource>) -> Vec<Resource> {
    let (mut clusters, mut told, mut services) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut wanted, mut configurations, mut used) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut note = |resource: &Resource| match &resource.body {
        Body::Cluster(cluster) => {
            clusters.insert(resource.name.clone());
            if cluster.cluster_discovery_type == Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())) {
                let config = cluster.eds_cluster_config.as_ref();
                let service = config
                    .map(|config| &config.service_name)
                    .filter(|name| !name.is_empty());
                services.insert(service.unwrap_or(&resource.name).clone());
            }
        }
        Body::ClusterLoadAssignment(_) => drop(told.insert(resource.name.clone())),
        Body::RouteConfiguration(routes) => {
            wanted.extend(made::named(routes));
            configurations.insert(resource.name.clone());
        }
        Body::Listener(listener) => match strip::listener((**listener).clone()) {
            Some((_, RouteSpecifier::Rds(rds))) => drop(used.insert(rds.route_config_name)),
            Some((_, RouteSpecifier::RouteConfig(routes))) => wanted.extend(made::named(&routes)),
            _ => {}
        },
        Body::Secret(_) | Body::TypedExtensionConfig(_) => {}
    };
    resources.iter().for_each(&mut note);
    if !name.starts_with("scenario/") {
        let unwanted: Vec<String> = clusters.difference(&wanted).cloned().collect();
        if !unwanted.is_empty() {
            let made = made::routes(&unwanted);
            configurations.insert(made.name.clone());
            resources.push(made);
        }
    }
    for routes in configurations.difference(&used) {
        resources.push(made::listener(routes));
    }
    // What a fixture calls missing is missing.
    let lacks = |what: &&String| !what.contains("missing") && !name.ends_with("_missing");
    let mut address = (1..250_u8).map(|number| format!("10.77.0.{number}"));
    let mut next = || address.next().expect("few");
    for cluster in wanted.difference(&clusters).filter(lacks) {
        resources.push(made::cluster(cluster, &next()));
    }
    for service in services.difference(&told).filter(lacks) {
        resources.push(made::endpoints(service, &next()));
    }
    resources
}

/// Without routes that Envoy refuses for an extension that nobody has: fixtures show with a text what becomes of those.
fn known(mut routes: RouteConfiguration) -> RouteConfiguration {
    let stand_in = b"google.protobuf.StringValue";
    let unknown = |bytes: Vec<u8>| bytes.windows(stand_in.len()).any(|window| window == stand_in);
    for host in &mut routes.virtual_hosts {
        host.routes.retain(|route| !unknown(route.encode_to_vec()));
        host.routes.iter_mut().for_each(fault::hurry);
    }
    routes.cluster_specifier_plugins.clear();
    routes.vhds = None;
    routes
}

/// A cluster whose workload speaks HTTP/1.1 in plain text, and that leads where it says.
fn workable(mut cluster: Cluster) -> Cluster {
    cluster
        .filters
        .retain(|filter| strip::is_envoys(filter.typed_config.as_ref()));
    cluster.transport_socket = None;
    cluster.transport_socket_matches.clear();
    cluster.typed_extension_protocol_options.clear();
    cluster.upstream_bind_config = None;
    // Where the client meant to go is not known here: nothing is redirected.
    let original = ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into());
    if cluster.cluster_discovery_type == Some(original) {
        let Body::Cluster(made) = made::cluster(&cluster.name, "10.78.0.1").body else {
            unreachable!("a cluster")
        };
        cluster.cluster_discovery_type.clone_from(&made.cluster_discovery_type);
        cluster.set_lb_policy(LbPolicy::RoundRobin);
        cluster.cleanup_interval = None;
        cluster.lb_config = None;
        cluster.load_assignment.clone_from(&made.load_assignment);
    }
    cluster
}

/// A listener of Envoy with its routes in itself.
fn alone(mut listener: Listener, port: u16, routes: &RouteConfiguration) -> Listener {
    strip::bind(&mut listener, &ENVOY.to_string(), port);
    strip::managers(&mut listener, |manager| {
        let mut routes = strip::marked(routes);
        // As with routes that come from a control plane, a cluster may be missing.
        routes.validate_clusters = Some(BoolValue { value: false });
        manager.route_specifier = Some(RouteSpecifier::RouteConfig(routes));
    });
    listener
}

fn bootstrap(clusters: Vec<Cluster>, listeners: Vec<Listener>) -> Bootstrap {
    let resolver = CaresDnsResolverConfig {
        resolvers: vec![strip::at("127.0.0.1", 53)],
        ..CaresDnsResolverConfig::default()
    };
    Bootstrap {
        node: Some(Node {
            id: "sidecar~10.0.0.1~app.default~default.svc.cluster.local".to_owned(),
            cluster: "app.default".to_owned(),
            ..Node::default()
        }),
        typed_dns_resolver_config: Some(TypedExtensionConfig {
            name: "envoy.network.dns_resolver.cares".to_owned(),
            typed_config: Some(Any {
                type_url: "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
                    .to_owned(),
                value: resolver.encode_to_vec(),
            }),
        }),
        static_resources: Some(StaticResources {
            clusters,
            listeners,
            ..StaticResources::default()
        }),
        ..Bootstrap::default()
    }
}
