//! When a publish waits for what the control plane is about to send.
//!
//! A push of istiod is a response for each type, one after the other, and what a response refers to may come with a later
//! one: a cluster before its endpoints, routes to a cluster before that, routes away from a cluster after it went. Published
//! in between, such routes would lead nowhere for as long as that takes.

use std::collections::BTreeSet;
use std::time::Duration;

use amesh_core::finding::ResourceName;
use amesh_core::{Dirty, Snapshot};
use tokio::time::Instant;

/// How long a publish waits at most. What has not come by then may never come: a mesh may refer to what does not exist.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// What something refers to and is not there, although the last publish had no use for it or had it.
    awaited: BTreeSet<ResourceName>,
    until: Option<Instant>,
}

impl Hold {
    /// Takes note of a change.
    pub(crate) fn apply(&mut self, snapshot: &Snapshot, dirty: &Dirty, now: Instant) {
        for name in dirty.appeared_or_gone.iter().chain(&dirty.used_or_unused) {
            let lacking = snapshot.get(name).is_none() && snapshot.referrers(name).next().is_some();
            if lacking {
                self.awaited.insert(name.clone());
            } else {
                self.awaited.remove(name);
            }
        }
        self.until = match self.until {
            _ if self.awaited.is_empty() => None,
            None => Some(now + PATIENCE),
            until => until,
        };
    }

    /// The moment until which nothing is to be published, or none where nothing is waited for.
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Waits for nothing any more.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use amesh_core::{Resource, ResourceType, Update, decode};
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig};
    use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
    use envoy_types::pb::envoy::config::route::v3::route::Action;
    use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
    use envoy_types::pb::envoy::config::route::v3::{
        Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route_match::PathSpecifier,
    };
    use prost::Message;

    use super::*;

    fn resource(kind: ResourceType, message: &impl Message) -> Resource {
        let url = format!("type.googleapis.com/{}", kind.message());
        decode(&url, &message.encode_to_vec()).expect("a good resource")
    }

    fn cluster(name: &str) -> Resource {
        let cluster = Cluster {
            name: name.to_owned(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
            eds_cluster_config: Some(EdsClusterConfig::default()),
            ..Cluster::default()
        };
        resource(ResourceType::Cluster, &cluster)
    }

    fn endpoints(name: &str) -> Resource {
        let endpoints = ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            ..ClusterLoadAssignment::default()
        };
        resource(ResourceType::ClusterLoadAssignment, &endpoints)
    }

    fn routes(to: &str) -> Resource {
        let route = Route {
            r#match: Some(RouteMatch {
                path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
                ..RouteMatch::default()
            }),
            action: Some(Action::Route(RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster(to.to_owned())),
                ..RouteAction::default()
            })),
            ..Route::default()
        };
        let routes = RouteConfiguration {
            name: "routes".to_owned(),
            virtual_hosts: vec![VirtualHost {
                name: "host".to_owned(),
                domains: vec!["*".to_owned()],
                routes: vec![route],
                ..VirtualHost::default()
            }],
            ..RouteConfiguration::default()
        };
        resource(ResourceType::RouteConfiguration, &routes)
    }

    struct Scene {
        snapshot: Snapshot,
        hold: Hold,
        now: Instant,
    }

    impl Scene {
        /// A cluster with endpoints, and routes to it.
        fn new() -> Self {
            let mut scene = Self {
                snapshot: Snapshot::new(),
                hold: Hold::default(),
                now: Instant::now(),
            };
            scene.put(vec![cluster("a"), endpoints("a"), routes("a")]);
            assert!(!scene.holds());
            scene
        }

        fn update(&mut self, put: Vec<Resource>, removed: Vec<ResourceName>) {
            let dirty = self.snapshot.apply(Update { put, removed });
            self.hold.apply(&self.snapshot, &dirty, self.now);
        }

        fn put(&mut self, put: Vec<Resource>) {
            self.update(put, Vec::new());
        }

        fn remove(&mut self, kind: ResourceType, name: &str) {
            let name = name.to_owned();
            self.update(Vec::new(), vec![ResourceName { kind, name }]);
        }

        fn holds(&self) -> bool {
            self.hold.until().is_some()
        }
    }

    #[test]
    fn routes_to_a_new_cluster_wait_for_its_endpoints() {
        let mut scene = Scene::new();
        scene.put(vec![cluster("b")]);
        assert!(scene.holds());
        scene.put(vec![routes("b")]);
        assert!(scene.holds());
        scene.put(vec![endpoints("b")]);
        assert!(!scene.holds());
        // And nothing is waited for when the old one goes.
        scene.remove(ResourceType::Cluster, "a");
        assert!(!scene.holds());
    }

    #[test]
    fn a_cluster_that_goes_first_waits_for_the_routes_away_from_it() {
        let mut scene = Scene::new();
        scene.put(vec![cluster("b"), endpoints("b")]);
        scene.remove(ResourceType::Cluster, "a");
        assert!(scene.holds());
        scene.put(vec![routes("b")]);
        assert!(!scene.holds());
    }

    #[test]
    fn what_never_comes_is_waited_for_once() {
        let mut scene = Scene::new();
        scene.put(vec![routes("nobody")]);
        let until = scene.hold.until().expect("waiting");
        assert_eq!(until, scene.now + PATIENCE);
        // Something else does not make it longer.
        scene.now += PATIENCE / 2;
        scene.put(vec![cluster("b"), endpoints("b")]);
        assert_eq!(scene.hold.until(), Some(until));

        scene.hold.end();
        assert!(!scene.holds());
        scene.put(vec![cluster("c"), endpoints("c")]);
        assert!(!scene.holds());
        scene.remove(ResourceType::Cluster, "c");
        assert!(!scene.holds());
    }

    #[test]
    fn endpoints_that_change_wait_for_nothing() {
        let mut scene = Scene::new();
        scene.put(vec![endpoints("a")]);
        assert!(!scene.holds());
    }
}
