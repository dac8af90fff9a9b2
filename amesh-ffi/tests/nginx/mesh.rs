//! A small mesh on a control plane of the test's own.

use std::fmt::Write as _;

use amesh_core::{ResourceType, dump};

use crate::plane::Plane;

/// Resources in YAML, as the control plane holds them.
fn put(plane: &Plane, yaml: &str) {
    let dump = dump::read(yaml.as_bytes()).expect("resources");
    assert!(dump.rejected.is_empty(), "{:?}", dump.rejected);
    for resource in dump.resources {
        plane.put(resource.body.kind(), &resource.name, resource.body.encode());
    }
}

/// A mesh with clusters `c0`, `c1`, ... and a host for each.
pub(crate) struct Mesh {
    pub(crate) plane: Plane,
    clusters: usize,
    pushes: usize,
}

impl Mesh {
    /// Starts it.
    pub(crate) fn start(clusters: usize) -> Self {
        let plane = Plane::start();
        let mut mesh = Self {
            plane,
            clusters,
            pushes: 0,
        };
        mesh.next();
        for number in 0..clusters {
            mesh.set_cluster(number, &["10.0.0.1"], "");
        }
        mesh.set_routes("");
        put(
            &mesh.plane,
            r#"
resources:
  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: 0.0.0.0_8080
    address: {socket_address: {address: 0.0.0.0, port_value: 8080}}
    filter_chains:
      - filters:
          - name: hcm
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              rds: {route_config_name: "80", config_source: {ads: {}}}
              stream_idle_timeout: 0s
              stat_prefix: s
              http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
"#,
        );
        mesh
    }

    /// Where it is.
    pub(crate) fn server(&self) -> &str {
        &self.plane.address
    }

    fn next(&mut self) {
        self.pushes += 1;
        self.plane.version(&self.pushes.to_string());
    }

    fn set_cluster(&self, number: usize, hosts: &[&str], more: &str) {
        let mut endpoints = String::new();
        for host in hosts {
            write!(
                endpoints,
                "{{endpoint: {{address: {{socket_address: {{address: {host}, port_value: 80}}}}}}}}, "
            )
            .expect("a text");
        }
        put(
            &self.plane,
            &format!(
                r#"
resources:
  - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: c{number}
    type: STATIC
    connect_timeout: 1s
    load_assignment: {{cluster_name: c{number}, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}
    {more}
"#
            ),
        );
    }

    fn set_routes(&self, prefix: &str) {
        let mut hosts = String::new();
        for number in 0..self.clusters {
            writeln!(
                hosts,
                "      - {{name: h{number}, domains: [h{number}.example], routes: [{{match: {{prefix: \"/{prefix}\"}}, route: {{cluster: c{number}, timeout: 0s}}}}]}}"
            )
            .expect("a text");
        }
        put(
            &self.plane,
            &format!(
                "resources:\n  - \"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration\n    name: \"80\"\n    virtual_hosts:\n{hosts}"
            ),
        );
    }

    /// A push that changes the endpoints of a cluster.
    pub(crate) fn push_cluster(&mut self, number: usize, hosts: &[&str]) {
        self.next();
        self.set_cluster(number, hosts, "");
        self.plane.push(ResourceType::Cluster, &[&format!("c{number}")]);
    }

    /// A push that gives a cluster more fields.
    pub(crate) fn push_cluster_with(&mut self, number: usize, more: &str) {
        self.next();
        self.set_cluster(number, &["10.0.0.1"], more);
        self.plane.push(ResourceType::Cluster, &[&format!("c{number}")]);
    }

    /// A push that changes every route.
    pub(crate) fn push_routes(&mut self, prefix: &str) {
        self.next();
        self.set_routes(prefix);
        self.plane.push(ResourceType::RouteConfiguration, &["80"]);
    }

    /// The first half of a push that takes the last cluster and its host away: the routes still lead to it.
    pub(crate) fn push_without_last(&mut self) {
        self.next();
        self.clusters -= 1;
        let name = format!("c{}", self.clusters);
        self.plane.remove(ResourceType::Cluster, &name);
        self.plane.push(ResourceType::Cluster, &[&name]);
    }

    /// A push with that many clusters and hosts.
    pub(crate) fn push_clusters(&mut self, clusters: usize) {
        let before = std::mem::replace(&mut self.clusters, clusters);
        self.next();
        let names: Vec<String> = (0..before.max(clusters)).map(|number| format!("c{number}")).collect();
        for number in before..clusters {
            self.set_cluster(number, &["10.0.0.1"], "");
        }
        for number in clusters..before {
            self.plane.remove(ResourceType::Cluster, &format!("c{number}"));
        }
        self.set_routes("");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // What is referred to first, and last what nothing refers to any more.
        if clusters > before {
            self.plane.push(ResourceType::Cluster, &names);
            self.plane.push(ResourceType::RouteConfiguration, &["80"]);
        } else {
            self.plane.push(ResourceType::RouteConfiguration, &["80"]);
            self.plane.push(ResourceType::Cluster, &names);
        }
    }
}
