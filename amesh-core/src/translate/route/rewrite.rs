//! Paths and hosts that Envoy changes before it forwards a request.
//!
//! Envoy replaces the prefix that a route matched, the whole path, or all matches of a pattern, in the path as the
//! connection manager has normalized it; the query stays. The `amesh-forward` plugin does the same. APISIX's proxy-rewrite
//! plugin replaces the first match of a pattern in what the client sent, so a pattern of Amesh's own stops before the
//! query.

use envoy_types::pb::envoy::config::route::v3::RouteAction;
use envoy_types::pb::envoy::config::route::v3::route_action::HostRewriteSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher};

use crate::apisix::plugin::{HeaderValues, HostRewrite, PathRewrite, Plugins, ProxyRewrite};
use crate::feature::{Feature, Message, approximate, exact, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::regex::{RegexError, Rewrite, escape};

pub(crate) static FEATURE: Feature = Feature {
    name: "route/rewrite",
    summary: "Changes of path and host become the amesh-forward plugin, or APISIX's proxy-rewrite plugin.",
    messages: &[
        Message {
            name: "envoy.config.route.v3.RouteAction",
            fields: &[
                approximate("prefix_rewrite", "proxy-rewrite.regex_uri", &AS_SENT).amesh_exact("amesh-forward.rewrite"),
                approximate("regex_rewrite", "proxy-rewrite.regex_uri", &AS_SENT).amesh_exact("amesh-forward.rewrite"),
                unsupported("path_rewrite_policy", &PATH_REWRITE),
                unsupported("path_rewrite", &PATH_REWRITE),
                exact("host_rewrite_literal", "proxy-rewrite.host").amesh_exact("amesh-forward.host.literal"),
                unsupported("auto_host_rewrite", &HOST_REWRITE).amesh_exact("amesh-forward.host.node"),
                unsupported("host_rewrite_header", &HOST_REWRITE).amesh_exact("amesh-forward.host.header"),
                unsupported("host_rewrite_path_regex", &HOST_REWRITE).amesh_exact("amesh-forward.host.path"),
                unsupported("host_rewrite", &HOST_REWRITE),
                unsupported("append_x_forwarded_host", &FORWARDED_HOST)
                    .amesh_exact("amesh-forward.append_forwarded_host"),
            ],
        },
        Message {
            name: "envoy.type.matcher.v3.RegexMatchAndSubstitute",
            fields: &[
                exact("pattern", "proxy-rewrite.regex_uri").amesh_exact("amesh-forward.rewrite.pattern"),
                exact("substitution", "proxy-rewrite.regex_uri").amesh_exact("amesh-forward.rewrite.put"),
            ],
        },
    ],
    extensions: &[],
    rules: &[&SLASH],
};

static AS_SENT: Rule = Rule::new(
    "route-path-rewrite-native",
    Outcome::Approximated,
    "the path is rewritten as it was sent",
    "Envoy rewrites the path as it has normalized it, and replaces every match of a pattern. APISIX's proxy-rewrite plugin \
     rewrites the path as the client sent it, so that one with unusual escapes or dot segments may stay as it is, and \
     replaces the first match alone.",
    "nothing for paths without unusual escapes and patterns that match once; or load Amesh's Lua package",
);

static SLASH: Rule = Rule::new(
    "route-path-rewrite-slash",
    Outcome::Approximated,
    "a path that is rewritten to begin without a slash gets one",
    "Envoy sends whatever comes out of a rewrite. nginx writes the path after the upstream's name, so a slash goes in front of a \
     path that has none.",
    "begin the path with a slash: no server of HTTP takes another one",
);

static PATH_REWRITE: Rule = Rule::new(
    "route-path-rewrite",
    Outcome::LeftOut,
    "the path is not rewritten",
    "Envoy can change the path by an extension or a format string, or by a pattern that PCRE reads differently. That is not \
     carried over, nor is a prefix without a slash by APISIX's own plugin: the upstream gets the path as it would without.",
    "use prefix_rewrite with a slash in front, or regex_rewrite",
);

static HOST_REWRITE: Rule = Rule::new(
    "route-host-rewrite",
    Outcome::LeftOut,
    "the Host header is not rewritten",
    "Envoy changes the Host header before it forwards a request. APISIX's proxy-rewrite plugin can write a host name with \
     or without a port, and nothing that depends on the request or the node: the upstream gets the host as the client \
     sent it.",
    "use host_rewrite_literal; or load Amesh's Lua package",
);

static FORWARDED_HOST: Rule = Rule::new(
    "route-forwarded-host",
    Outcome::Ignored,
    "X-Forwarded-Host is APISIX's own",
    "Envoy appends the client's host to X-Forwarded-Host only where it rewrote the Host header. APISIX sets the header \
     on every request.",
    "nothing, unless an application tells the two apart",
);

/// Which paths a route takes, as far as a rewrite depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matched<'a> {
    /// What they begin with, if it chooses them by that.
    pub(super) prefix: Option<&'a str>,
    pub(super) case_sensitive: bool,
}

/// What is changed of a request.
#[derive(Debug, Default)]
pub(super) struct Changed {
    path: Option<PathRewrite>,
    regex_uri: Option<[String; 2]>,
    host: Option<HostRewrite>,
    append_forwarded_host: bool,
}

/// Reads what a route changes of path and host.
pub(super) fn rewrite(action: &RouteAction, matched: Matched<'_>, at: Path<'_>, findings: &Findings) -> Changed {
    let package = findings.options().target == Target::Amesh;
    let RouteAction {
        prefix_rewrite,
        regex_rewrite,
        path_rewrite_policy,
        path_rewrite,
        append_x_forwarded_host,
        host_rewrite_specifier,
        // The owner of the rest of the message names every field.
        ..
    } = action;
    let mut changed = Changed::default();
    if !prefix_rewrite.is_empty() {
        if package {
            findings.add_if(!prefix_rewrite.starts_with('/'), &SLASH, at.field("prefix_rewrite"));
            changed.path = Some(PathRewrite {
                cut: matched.prefix.map(str::len),
                pattern: None,
                put: prefix_rewrite.clone(),
            });
        } else if !prefix_rewrite.starts_with('/') {
            // nginx writes the path after the upstream's name.
            findings.add(&PATH_REWRITE, at.field("prefix_rewrite"));
        } else {
            findings.add(&AS_SENT, at.field("prefix_rewrite"));
            changed.regex_uri = Some(native_prefix(matched, prefix_rewrite));
        }
    }
    if let Some(rewrite) = regex_rewrite {
        let at = at.field("regex_rewrite");
        match regex(rewrite) {
            Ok(rewrite) if package => {
                findings.add_if(rewrite.may_cut_slash(), &SLASH, at);
                changed.path = Some(with_package(&rewrite));
            }
            Ok(rewrite) => changed.regex_uri = native_regex(&rewrite, at, findings),
            Err(error) => findings.add_with(&PATH_REWRITE, at, error.to_string()),
        }
    }
    findings.add_if(
        path_rewrite_policy.is_some(),
        &PATH_REWRITE,
        at.field("path_rewrite_policy"),
    );
    findings.add_if(!path_rewrite.is_empty(), &PATH_REWRITE, at.field("path_rewrite"));
    changed.host = host_rewrite_specifier
        .as_ref()
        .and_then(|specifier| host(specifier, package, at, findings));
    if *append_x_forwarded_host {
        changed.append_forwarded_host = package;
        findings.add_if(!package, &FORWARDED_HOST, at.field("append_x_forwarded_host"));
    }
    changed
}

fn host(specifier: &HostRewriteSpecifier, package: bool, at: Path<'_>, findings: &Findings) -> Option<HostRewrite> {
    let (rewrite, field) = match specifier {
        HostRewriteSpecifier::HostRewriteLiteral(host) => (
            (package || is_host(host)).then(|| HostRewrite::Literal(host.clone())),
            "host_rewrite_literal",
        ),
        HostRewriteSpecifier::AutoHostRewrite(auto) => {
            if !auto.value {
                return None;
            }
            (package.then_some(HostRewrite::Node(true)), "auto_host_rewrite")
        }
        HostRewriteSpecifier::HostRewriteHeader(name) => (
            package.then(|| HostRewrite::Header(name.to_ascii_lowercase())),
            "host_rewrite_header",
        ),
        HostRewriteSpecifier::HostRewritePathRegex(rewrite) => {
            let read = regex(rewrite).ok().filter(|_| package);
            (
                read.map(|rewrite| HostRewrite::Path(with_package(&rewrite))),
                "host_rewrite_path_regex",
            )
        }
        HostRewriteSpecifier::HostRewrite(_) => (None, "host_rewrite"),
    };
    findings.add_if(rewrite.is_none(), &HOST_REWRITE, at.field(field));
    rewrite
}

/// What APISIX's proxy-rewrite plugin takes for a host.
fn is_host(host: &str) -> bool {
    let (name, port) = host
        .split_once(':')
        .map_or((host, None), |(name, port)| (name, Some(port)));
    let is_port = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
        && port.is_none_or(is_port)
}

/// Reads a pattern and what takes the place of its matches.
pub(super) fn regex(rewrite: &RegexMatchAndSubstitute) -> Result<Rewrite, RegexError> {
    let RegexMatchAndSubstitute { pattern, substitution } = rewrite;
    // Envoy has a single engine, so the deprecated field that names it says nothing.
    let pattern = pattern
        .as_ref()
        .map_or("", |RegexMatcher { regex, engine_type: _ }| regex.as_str());
    Rewrite::parse(pattern, substitution)
}

/// The change for Amesh's own plugins.
pub(super) fn with_package(rewrite: &Rewrite) -> PathRewrite {
    PathRewrite {
        cut: None,
        pattern: Some(rewrite.pattern()),
        put: rewrite.replacement(0),
    }
}

fn native_prefix(matched: Matched<'_>, put: &str) -> [String; 2] {
    let pattern = match matched.prefix {
        Some(prefix) if matched.case_sensitive => format!("^{}", escape(prefix)),
        Some(prefix) => format!("(?i)^{}", escape(prefix)),
        None => "^[^?]*".to_owned(),
    };
    [pattern, put.replace('$', "$$")]
}

fn native_regex(rewrite: &Rewrite, at: Path<'_>, findings: &Findings) -> Option<[String; 2]> {
    if rewrite.repeats_match() {
        // The match has what is before it in front.
        findings.add_with(&PATH_REWRITE, at, "\\0");
        return None;
    }
    match rewrite.first_before('?') {
        Ok(pattern) => {
            let detail = if rewrite.matches_once() { "" } else { "the first match" };
            if detail.is_empty() {
                findings.add(&AS_SENT, at);
            } else {
                findings.add_with(&AS_SENT, at, detail);
            }
            Some([pattern, format!("${{1}}{}", rewrite.replacement(1))])
        }
        Err(error) => {
            findings.add_with(&PATH_REWRITE, at, error.to_string());
            None
        }
    }
}

impl Changed {
    /// Adds what is changed to a route's plugins.
    pub(super) fn add_to(self, plugins: &mut Plugins, target: Target) {
        let Self {
            path,
            regex_uri,
            host,
            append_forwarded_host,
        } = self;
        if path.is_none() && regex_uri.is_none() && host.is_none() {
            return;
        }
        if target == Target::Amesh {
            let forward = plugins.amesh_forward.get_or_insert_default();
            forward.rewrite = path;
            forward.append_forwarded_host = append_forwarded_host && host.is_some();
            forward.host = host;
            return;
        }
        let rewrite = plugins.proxy_rewrite.get_or_insert_with(ProxyRewrite::as_sent);
        let mut tell = |name: &str, variable: &str| {
            let value = HeaderValues::One(variable.to_owned());
            rewrite.headers.set.insert(name.to_owned(), value);
        };
        if regex_uri.is_some() {
            tell("x-envoy-original-path", "$real_request_uri");
        }
        if let Some(HostRewrite::Literal(host)) = host {
            tell("x-envoy-original-host", "$http_host");
            rewrite.host = Some(host);
        }
        rewrite.regex_uri = regex_uri;
    }
}
