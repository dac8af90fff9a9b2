//! What nginx does with every request, whatever Envoy's configuration says: reported once per connection manager.

use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::PathWithEscapedSlashesAction;

use crate::apisix::plugin::{EscapedSlashes, PathForm};
use crate::feature::Feature;
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/nginx",
    summary: "Paths, hosts and repeated headers are read as nginx reads them.",
    messages: &[],
    extensions: &[],
    rules: &[&PATH, &REQUEST],
};

pub(super) static PATH: Rule = Rule::new(
    "nginx-path",
    Outcome::Approximated,
    "paths are compared as nginx normalizes them",
    "nginx decodes every escape in a path (%2F becomes a slash), resolves dot segments and merges slashes before APISIX \
     looks for a route. Envoy compares the path as it was sent or, with `normalize_path`, with only unreserved characters \
     decoded and dot segments resolved. Requests whose paths hold none of that (the ordinary case) are routed the same; \
     /a%2Fb, //a and /a/./b may be routed as /a/b, /a and /a/b are. A prefix or a path that itself holds such things is \
     compared with the request line as it was sent, and so is a regex with an escape; other regexes and URI templates see \
     the normalized path alone. Upstreams get the path as it was sent or, with Amesh's Lua package, as Envoy \
     would send it. nginx answers 400 to paths that lead above the root and to broken escapes, and APISIX 404 to paths \
     longer than about 6 kB.",
    "do not let the meaning of a route depend on escaped slashes, empty segments or dot segments",
);

static REQUEST: Rule = Rule::new(
    "nginx-request",
    Outcome::Approximated,
    "hosts and repeated headers are read as nginx reads them",
    "nginx cuts one trailing dot off the host before APISIX looks for a route, so that `example.com.` is `example.com`; \
     Envoy takes them for two hosts. A header that comes several times is one value to APISIX, joined by `, `; Envoy \
     compares each value alone (before 1.39: joined by `,`). nginx drops headers with unusual names, and refuses some \
     requests with 400 that Envoy serves: an empty Host, two Host headers, a Host with two dots at its end. Where no \
     connection to an upstream comes about, the answer is 502, or 504 when the time to connect ran out; Envoy says 503.\n\n\
     Each proxy says of itself what the other does not. Upstreams get X-Real-IP, and X-Forwarded-For with the address that \
     APISIX sees. With Amesh's Lua package they get no more than that; without it also X-Forwarded-Host, -Port and -Proto \
     with what APISIX sees of the connection, which replaces what a client wrote there unless `trusted_addresses` names it, \
     also where a redirect depends on the scheme, and the x-envoy headers that Envoy lets no client set. A `?` with nothing \
     behind it is left out of redirects. Upstreams do not get x-envoy-decorator-operation and x-envoy-internal, nor without \
     the package x-envoy-external-address and x-envoy-expected-rq-timeout-ms; clients do not get \
     x-envoy-upstream-service-time then, but APISIX's Server and X-APISIX-Upstream-Status, which with the package come only \
     where no route takes the request, or nginx refuses it. Errors and redirects have APISIX's own text. Unless \
     `nginx_config.http.charset` is `off`, nginx adds `charset=utf-8` to text that has none.",
    "nothing, unless clients send such requests",
);

/// Reports what a connection manager cannot change about nginx.
pub(super) fn report(manager: &HttpConnectionManager, at: Path<'_>, findings: &Findings) {
    let normalize = manager.normalize_path.is_some_and(|value| value.value);
    let slashes = PathWithEscapedSlashesAction::try_from(manager.path_with_escaped_slashes_action)
        .map_or("unknown", |action| action.as_str_name());
    findings.add_with(
        &PATH,
        at,
        format!(
            "to Envoy: normalize_path {normalize}, merge_slashes {}, escaped slashes {slashes}{}",
            manager.merge_slashes,
            if manager.path_normalization_options.is_some() {
                ", path_normalization_options"
            } else {
                ""
            },
        ),
    );
    findings.add(&REQUEST, at);
}

/// How a connection manager has paths written before it looks for a route.
pub(super) fn path_form(manager: &HttpConnectionManager) -> PathForm {
    PathForm {
        normalize: manager.normalize_path.is_some_and(|value| value.value),
        merge_slashes: manager.merge_slashes,
        escaped_slashes: match PathWithEscapedSlashesAction::try_from(manager.path_with_escaped_slashes_action) {
            Ok(PathWithEscapedSlashesAction::RejectRequest) => Some(EscapedSlashes::Reject),
            Ok(PathWithEscapedSlashesAction::UnescapeAndRedirect) => Some(EscapedSlashes::Redirect),
            Ok(PathWithEscapedSlashesAction::UnescapeAndForward) => Some(EscapedSlashes::Unescape),
            Ok(
                PathWithEscapedSlashesAction::KeepUnchanged
                | PathWithEscapedSlashesAction::ImplementationSpecificDefault,
            )
            | Err(_) => None,
        },
    }
}
