//! What concerns resources as a whole: missing, unused, newer than Amesh, or of a type that is not carried over.

use std::sync::Arc;

use super::listener::address::{Binding, conditions};
use crate::apisix::{Expr, Key};
use crate::decode::ResourceType;
use crate::feature::{Extension, Fate, Feature};
use crate::finding::{Finding, Findings, Outcome, Path, ResourceName, Rule};
use crate::options::Arrival;
use crate::options::Options;

pub(crate) static FEATURE: Feature = Feature {
    name: "resource",
    summary: "Resources that are missing, unused, newer than Amesh or of a type that is not carried over are reported.",
    messages: &[],
    extensions: &[Extension::same(
        "envoy.extensions.transport_sockets.tls.v3.Secret",
        Fate::Unsupported { rule: &SECRET },
    )],
    rules: &[
        &CLUSTER_MISSING,
        &COLLISION,
        &EXTENSION_CONFIG,
        &NO_LISTENER,
        &ROUTES_MISSING,
        &UNKNOWN,
        &UNKNOWN_MATCH,
        &UNUSED,
    ],
};

pub(super) static CLUSTER_MISSING: Rule = Rule::new(
    "cluster-missing",
    Outcome::Ignored,
    "a route leads to a cluster that does not exist",
    "Envoy answers 503 until the cluster comes, and so does APISIX: the upstream has no nodes.",
    "nothing, unless the dump was cut: `config_dump` holds clusters beside routes",
);

static COLLISION: Rule = Rule::new(
    "id-collision",
    Outcome::LeftOut,
    "two objects have the same id, and only the first is there",
    "Ids of APISIX objects end in a hash where names alone do not tell them apart. Two hashes came out the same.",
    "rename one of the resources",
);

static EXTENSION_CONFIG: Rule = Rule::new(
    "extension-config",
    Outcome::Ignored,
    "the configuration of an extension is left out",
    "It belongs to a filter that a listener names, where it is reported what becomes of requests without it.",
    "see the finding of the listener",
);

pub(super) static NO_LISTENER: Rule = Rule::new(
    "route-configuration-without-listener",
    Outcome::Approximated,
    "there is no listener, so the port is taken from the route configuration's name",
    "A route configuration applies to the requests of the listeners that name it. A dump of routes alone has none; Istio \
     puts the port into the name (`9080`, `http.8080`, `host:9153`).",
    "translate a dump that holds the listeners too",
);

pub(super) static ROUTES_MISSING: Rule = Rule::new(
    "route-configuration-missing",
    Outcome::LeftOut,
    "a listener names a route configuration that is not there",
    "Envoy does not serve the listener until the route configuration comes. APISIX answers 404 to its requests.",
    "nothing, unless the dump was cut: `config_dump` holds route configurations beside listeners",
);

static SECRET: Rule = Rule::new(
    "secret",
    Outcome::Ignored,
    "a certificate, key or trust anchor is left out",
    "Secrets belong to TLS contexts of listeners and clusters, where it is reported what becomes of requests without them.",
    "see the findings of listeners and clusters",
);

static UNKNOWN: Rule = Rule::new(
    "unknown-field",
    Outcome::LeftOut,
    "a field or value is newer than Amesh knows",
    "The control plane sent something that this release has no name for, so nothing can be said about what it does.",
    "use a newer Amesh, or an older control plane",
);

pub(crate) static UNKNOWN_MATCH: Rule = Rule::new(
    "unknown-match",
    Outcome::FailsClosed,
    "a route has a condition that is newer than Amesh knows",
    "The control plane sent a condition that this release has no name for. Requests that meet the route's other \
     conditions are answered 503 rather than given to a route further down.",
    "use a newer Amesh; or permit the rule to leave the route out",
);

pub(super) static UNUSED: Rule = Rule::new(
    "route-configuration-unused",
    Outcome::Ignored,
    "no listener that is served names this route configuration",
    "Envoy serves a route configuration only where a listener's connection manager names it.",
    "nothing, unless the listener is left out: see its findings",
);

/// Reports what is newer than Amesh in a resource.
pub(super) fn report_unknown(findings: &Findings<'_>) {
    for unknown in findings.unknown() {
        findings.add_at(&UNKNOWN, unknown.path.clone(), Some(unknown.what.clone()));
    }
}

/// Reports a resource of a type that is not carried over.
pub(super) fn report_other(findings: &Findings<'_>) {
    match findings.resource().kind {
        ResourceType::Secret => findings.add(&SECRET, Path::root()),
        ResourceType::TypedExtensionConfig => findings.add(&EXTENSION_CONFIG, Path::root()),
        ResourceType::Listener
        | ResourceType::RouteConfiguration
        | ResourceType::Cluster
        | ResourceType::ClusterLoadAssignment => {}
    }
}

/// The finding that an object is not there because another has its key.
pub(super) fn collision(resource: ResourceName, key: &Key, options: &Options) -> Finding {
    Finding {
        rule: &COLLISION,
        outcome: COLLISION.outcome,
        resource: Arc::new(resource),
        path: String::new(),
        detail: Some(key.to_string()),
        permitted: options.permits(&COLLISION),
    }
}

/// Where a route configuration applies by its name alone; everywhere when the name holds no port.
pub(super) fn scope_by_name(name: &str, arrival: Arrival) -> Vec<Expr> {
    let after_scheme = name.strip_prefix("http.").or_else(|| name.strip_prefix("https."));
    let text = match (after_scheme, name.rsplit_once(':')) {
        (Some(rest), _) => rest.split('.').next().unwrap_or(rest),
        (None, Some((_, port))) => port,
        (None, None) => name,
    };
    text.parse().map_or_else(
        |_| Vec::new(),
        |port| conditions(arrival, Binding { address: None, port }, &[], &[], &[]),
    )
}
