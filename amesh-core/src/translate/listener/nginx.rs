//! What nginx does with every request, whatever Envoy's configuration says: reported once per connection manager.

use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::PathWithEscapedSlashesAction;

use crate::apisix::plugin::{EscapedSlashes, PathForm};
use crate::feature::Feature;
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/nginx",
    summary: "Hosts and repeated headers are read as nginx reads them, and without Amesh's Lua package paths too.",
    messages: &[],
    extensions: &[],
    rules: &[&REQUEST],
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
     the normalized path alone. Upstreams get the path as it was sent. APISIX answers 404 to paths longer than about 6 kB.",
    "do not let the meaning of a route depend on escaped slashes, empty segments or dot segments; or load Amesh's Lua \
     package, which compares the path that Envoy would",
);

pub(super) static SLASHES: Rule = Rule::new(
    "path-escaped-slashes",
    Outcome::Approximated,
    "a path with escaped slashes is refused, or its client redirected, only where a route forwards or redirects",
    "Envoy can answer requests whose path holds %2F or %5C before it looks for a route: with 400, or with a redirect to the \
     path that has slashes for them. Amesh's Lua package does so once a route is found that forwards or redirects. Routes \
     that answer by themselves, and hosts without a route for the path with slashes, answer as to any other path.",
    "nothing, unless a client relies on which of the answers it gets",
);

static REQUEST: Rule = Rule::new(
    "nginx-request",
    Outcome::Approximated,
    "hosts and repeated headers are read as nginx reads them",
    "nginx cuts one trailing dot off the host before APISIX looks for a route, so that `example.com.` is `example.com`; \
     Envoy takes them for two hosts. A header that comes several times is one value to APISIX, joined by `, `; Envoy \
     compares each value alone (before 1.39: joined by `,`). nginx drops headers with unusual names, and refuses some \
     requests with 400 that Envoy serves: an empty Host, two Host headers, a Host with two dots at its end, a path that \
     leads above the root or holds a broken escape. Where no connection to an upstream comes about, the answer is 502, or 504 \
     when the time to connect ran out; Envoy says 503.\n\n\
     Each proxy says of itself what the other does not. Upstreams get X-Real-IP, and X-Forwarded-For with the address that \
     APISIX sees, but not x-envoy-decorator-operation and x-envoy-internal. Whether a virtual host that wants TLS sends a \
     client there depends on the connection alone, and a `?` with nothing behind it is left out of redirects. Errors and \
     redirects have APISIX's own text, and where no route takes a request, or nginx refuses it, also APISIX's Server. Unless \
     `nginx_config.http.charset` is `off`, nginx adds `charset=utf-8` to text that has none.\n\n\
     Without Amesh's Lua package, upstreams get X-Forwarded-Host, -Port and -Proto with what APISIX sees of the connection: \
     that replaces what a client wrote there unless `trusted_addresses` names it, also where a redirect depends on the \
     scheme. They get the x-envoy headers that Envoy lets no client set, but not x-envoy-external-address and \
     x-envoy-expected-rq-timeout-ms; and clients get APISIX's Server and X-APISIX-Upstream-Status, but not \
     x-envoy-upstream-service-time.",
    "nothing, unless clients send such requests",
);

/// Reports what a connection manager cannot change about nginx.
pub(super) fn report(manager: &HttpConnectionManager, at: Path<'_>, findings: &Findings) {
    match findings.options().target {
        Target::Native => {
            let normalize = manager.normalize_path.is_some_and(|value| value.value);
            let slashes = PathWithEscapedSlashesAction::try_from(manager.path_with_escaped_slashes_action)
                .map_or("unknown", |action| action.as_str_name());
            findings.add_with(
                &PATH,
                at,
                format!(
                    "to Envoy: normalize_path {normalize}, merge_slashes {}, escaped slashes {slashes}",
                    manager.merge_slashes,
                ),
            );
        }
        Target::Amesh => {
            let refuses = path_form(manager).escaped_slashes > Some(EscapedSlashes::Unescape);
            findings.add_if(refuses, &SLASHES, at.field("path_with_escaped_slashes_action"));
        }
    }
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
