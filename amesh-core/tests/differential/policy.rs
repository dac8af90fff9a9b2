//! Requests that exercise what a route does beside matching: a file for each feature.
//!
//! To add a feature: a file with a function from a [`Scene`] to requests, and a line in [`POLICIES`]. What its findings may
//! change is a line in [`crate::named`].

mod cors;
pub(crate) mod fault;
mod forwarded;
mod redirect;
mod retry;

use std::collections::HashMap;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration, VirtualHost};
use envoy_types::pb::google::protobuf::Any;

use crate::requests::{Request, plain};

/// A route, and a request that it takes.
pub(crate) struct Scene<'a> {
    pub(crate) host: &'a VirtualHost,
    pub(crate) route: &'a Route,
    pub(crate) plain: Request,
}

impl Scene<'_> {
    /// What the route does if it forwards.
    fn action(&self) -> Option<&RouteAction> {
        match &self.route.action {
            Some(Action::Route(action)) => Some(action),
            _ => None,
        }
    }

    /// The plain request with more headers.
    fn with(&self, headers: &[(&str, &str)]) -> Request {
        let mut request = self.plain.clone();
        for (name, value) in headers {
            request.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
            request.headers.push(((*name).to_owned(), (*value).to_owned()));
        }
        request
    }

    /// The plain request with another method.
    fn method(&self, method: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = self.with(headers);
        method.clone_into(&mut request.method);
        request
    }

    /// The plain request with something behind its path.
    fn behind(&self, more: &str) -> Request {
        let mut request = self.plain.clone();
        let at = request.path().len();
        request.target.insert_str(at, more);
        request
    }
}

/// One function for each feature.
const POLICIES: &[fn(&Scene<'_>) -> Vec<Request>] =
    &[cors::requests, forwarded::requests, redirect::requests, retry::requests];

/// What a filter is told for a route: by itself, by its virtual host.
fn config<M: prost::Message + Default>(fields: &HashMap<String, Any>, filter: &str) -> Option<M> {
    M::decode(fields.get(filter)?.value.as_slice()).ok()
}

/// The requests for all routes behind a port.
pub(crate) fn requests(routes: &RouteConfiguration, port: u16) -> Vec<Request> {
    let mut list = Vec::new();
    for host in &routes.virtual_hosts {
        for route in &host.routes {
            let Some(plain) = plain(host, route, port) else {
                continue;
            };
            let scene = Scene { host, route, plain };
            list.extend(POLICIES.iter().flat_map(|policy| policy(&scene)));
        }
    }
    list
}
