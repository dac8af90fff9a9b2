//! Redirects and rewrites of paths: queries, slashes, escapes and ports that have to stay or to go.

use envoy_types::pb::envoy::config::route::v3::route::Action;

use super::Scene;
use crate::requests::Request;

pub(crate) fn requests(scene: &Scene<'_>) -> Vec<Request> {
    let rewrites = scene.action().is_some_and(|action| {
        !action.prefix_rewrite.is_empty()
            || !action.path_rewrite.is_empty()
            || action.regex_rewrite.is_some()
            || action.path_rewrite_policy.is_some()
            || action.host_rewrite_specifier.is_some()
    });
    if !rewrites && !matches!(scene.route.action, Some(Action::Redirect(_))) {
        return Vec::new();
    }
    let mut list: Vec<Request> = [
        "/",
        "/x",
        "/x/y/",
        "//x",
        "x",
        "/a%20b",
        "/a%2Fb",
        "?q=1",
        "/x?q=1&r=%2F",
        "?",
        "/x/x",
    ]
    .into_iter()
    .map(|more| scene.behind(more))
    .collect();
    for host in ["{}:80", "{}:443", "{}:8080"] {
        let mut request = scene.plain.clone();
        let name = request.host.split(':').next().unwrap_or_default();
        request.host = host.replace("{}", name);
        list.push(request);
    }
    list.push(scene.with(&[("x-forwarded-proto", "https")]));
    list.push(scene.with(&[("x-forwarded-proto", "http"), ("x-host", "given.example")]));
    for method in ["POST", "HEAD", "PUT"] {
        list.push(scene.method(method, &[]));
    }
    list
}
