//! Cross-origin requests: preflights and simple requests, from origins that are allowed and from others.

use envoy_types::pb::envoy::extensions::filters::http::cors::v3::CorsPolicy;

use super::{Scene, config};
use crate::requests::{Request, texts};

pub(crate) fn requests(scene: &Scene<'_>) -> Vec<Request> {
    #[expect(deprecated, reason = "Istio sent it")]
    let old = scene.action().and_then(|action| action.cors.as_ref());
    let typed = |fields| config::<CorsPolicy>(fields, "envoy.filters.http.cors");
    let policy = typed(&scene.route.typed_per_filter_config).or_else(|| typed(&scene.host.typed_per_filter_config));
    let matchers = match (&policy, old) {
        (Some(policy), _) => &policy.allow_origin_string_match,
        (None, Some(policy)) => &policy.allow_origin_string_match,
        (None, None) => return Vec::new(),
    };
    let mut origins: Vec<String> = Vec::new();
    for matcher in matchers {
        let (good, bad) = texts(Some(matcher));
        origins.extend(good.into_iter().chain(bad));
    }
    origins.push("http://other.example".to_owned());
    let mut list = vec![
        scene.method("OPTIONS", &[]),
        scene.method("OPTIONS", &[("access-control-request-method", "GET")]),
    ];
    for origin in &origins {
        let origin = ("origin", origin.as_str());
        list.push(scene.with(&[origin]));
        list.push(scene.method("POST", &[origin]));
        list.push(scene.method("OPTIONS", &[origin]));
        for method in ["GET", "PATCH"] {
            let asked = ("access-control-request-method", method);
            list.push(scene.method("OPTIONS", &[origin, asked]));
            list.push(scene.method(
                "OPTIONS",
                &[origin, asked, ("access-control-request-headers", "x-a, x-b")],
            ));
        }
    }
    list
}
