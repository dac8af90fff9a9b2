//! How a cluster finds its endpoints.
//!
//! `EDS` asks the control plane for them, under `service_name` or the cluster's own name. `STATIC` holds them, and so
//! do `STRICT_DNS` and `LOGICAL_DNS`, whose addresses may be names: those become nodes with a name as host, which APISIX
//! resolves by itself. Clusters that are an extension have no counterpart: their upstreams have no nodes.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, CustomClusterType, DiscoveryType};

use crate::feature::{Feature, Message, approximate, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::snapshot::assignment_of;
use crate::translate::endpoint::Chosen;

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/discovery",
    summary: "Endpoints come from the control plane, from the cluster itself, or from DNS.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster",
            fields: &[
                approximate("type", "upstream.nodes", &STRICT_DNS),
                unsupported("cluster_type", &CUSTOM),
                exact("eds_cluster_config", "upstream.nodes"),
                exact("load_assignment", "upstream.nodes"),
                unsupported("dns_refresh_rate", &DNS_SETTINGS),
                unsupported("dns_jitter", &DNS_SETTINGS),
                unsupported("dns_failure_refresh_rate", &DNS_SETTINGS),
                unsupported("respect_dns_ttl", &DNS_SETTINGS),
                unsupported("dns_lookup_family", &DNS_SETTINGS),
                unsupported("dns_resolvers", &DNS_SETTINGS),
                unsupported("use_tcp_for_dns_lookups", &DNS_SETTINGS),
                unsupported("dns_resolution_config", &DNS_SETTINGS),
                unsupported("typed_dns_resolver_config", &DNS_SETTINGS),
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.EdsClusterConfig",
            fields: &[
                irrelevant(
                    "eds_config",
                    "where Envoy asks for the endpoints; they are looked up by name",
                ),
                exact("service_name", "upstream.nodes"),
            ],
        },
    ],
    extensions: &[],
    rules: &[&LOGICAL_DNS, &MISSING],
};

static STRICT_DNS: Rule = Rule {
    name: "cluster-strict-dns",
    outcome: Outcome::Approximated,
    summary: "a DNS name is one node: each request goes to one of its addresses, chosen at random",
    explanation: "\
Envoy resolves the names of a STRICT_DNS cluster in the background and balances over all addresses it finds. APISIX \
resolves a node's name while a request waits, keeps the answer as long as DNS allows, and takes one of its addresses at \
random. The name as a whole has the endpoint's weight, however many addresses it has; least-requests balancing and \
outlier detection see one address at a time. A name that cannot be resolved is left out; when none is left the answer \
is 503, as with Envoy.",
    advice: "set a resolver that APISIX can reach (apisix.dns_resolver), or list the addresses as endpoints",
};

static LOGICAL_DNS: Rule = Rule {
    name: "cluster-logical-dns",
    outcome: Outcome::Approximated,
    summary: "each request goes to one of the name's addresses, chosen at random, instead of the first",
    explanation: "\
Envoy resolves the name of a LOGICAL_DNS cluster in the background and uses the first address of the newest answer for \
new connections. APISIX resolves it while a request waits, keeps the answer as long as DNS allows, and takes one of its \
addresses at random.",
    advice: "set a resolver that APISIX can reach (apisix.dns_resolver)",
};

static DNS_SETTINGS: Rule = Rule {
    name: "cluster-dns-settings",
    outcome: Outcome::Approximated,
    summary: "names are resolved by APISIX's resolver, with its settings",
    explanation: "\
Which resolver is asked, how often, over UDP or TCP, and for which IP family is set per cluster in Envoy and once for \
the whole instance in APISIX (apisix.dns_resolver, apisix.dns_resolver_valid, apisix.enable_ipv6). APISIX honours the \
TTL of answers, asks for IPv4 first, and asks again when a request needs an answer that has run out.",
    advice: "set apisix.dns_resolver and apisix.enable_ipv6 to what the clusters ask for",
};

static CUSTOM: Rule = Rule {
    name: "cluster-extension",
    outcome: Outcome::LeftOut,
    summary: "a cluster that is an extension of Envoy has no nodes: requests are answered 503",
    explanation: "\
Some clusters find their endpoints by code of their own: dynamic forward proxy (any host a client names), aggregate, \
redis, and others. None of them has a counterpart in APISIX, so the upstream has no nodes and requests to it are \
answered 503.",
    advice: "name the hosts in ServiceEntry resources with resolution STATIC or DNS",
};

static MISSING: Rule = Rule {
    name: "cluster-endpoints-missing",
    outcome: Outcome::LeftOut,
    summary: "the control plane has not sent the endpoints of this cluster: requests are answered 503",
    explanation: "\
The cluster's endpoints are discovered (EDS), and no ClusterLoadAssignment of the name that it asks for is among the \
resources. Envoy would wait for one and answer 503 meanwhile; APISIX answers 503. An assignment that is there and empty \
is no such case. A dump that was taken without endpoints looks like this in every cluster.",
    advice: "take the dump with its endpoints: /config_dump?include_eds",
};

/// Where endpoints come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoints {
    /// From an assignment of the control plane.
    Discovered,
    /// From the cluster's own assignment.
    Inline,
    /// From nowhere that APISIX knows.
    None,
}

/// How a cluster finds its endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovery {
    Eds,
    Static,
    StrictDns,
    LogicalDns,
    OriginalDst,
    /// Reported when it was read.
    Unknown,
}

impl Discovery {
    pub(crate) fn of(discovery: Option<&ClusterDiscoveryType>, at: Path<'_>, findings: &Findings) -> Self {
        let kind = match discovery {
            // Envoy's default.
            None => return Self::Static,
            Some(ClusterDiscoveryType::Type(kind)) => *kind,
            Some(ClusterDiscoveryType::ClusterType(custom)) => {
                let CustomClusterType { name, typed_config: _ } = custom;
                findings.add_with(&CUSTOM, at.field("cluster_type"), name.as_str());
                return Self::Unknown;
            }
        };
        match DiscoveryType::try_from(kind) {
            Ok(DiscoveryType::Static) => Self::Static,
            Ok(DiscoveryType::StrictDns) => Self::StrictDns,
            Ok(DiscoveryType::LogicalDns) => Self::LogicalDns,
            Ok(DiscoveryType::Eds) => Self::Eds,
            Ok(DiscoveryType::OriginalDst) => Self::OriginalDst,
            Err(_) => {
                findings.add_with(&CUSTOM, at.field("type"), format!("type {kind}"));
                Self::Unknown
            }
        }
    }

    pub(crate) const fn is_dns(self) -> bool {
        matches!(self, Self::StrictDns | Self::LogicalDns)
    }

    pub(crate) const fn endpoints(self) -> Endpoints {
        match self {
            Self::Eds => Endpoints::Discovered,
            Self::Static | Self::StrictDns | Self::LogicalDns => Endpoints::Inline,
            Self::OriginalDst | Self::Unknown => Endpoints::None,
        }
    }

    /// Reports how names are resolved, when there are any.
    pub(crate) fn report_names(self, chosen: &[Chosen<'_>], at: Path<'_>, findings: &Findings) {
        let rule = match self {
            Self::StrictDns => &STRICT_DNS,
            Self::LogicalDns => &LOGICAL_DNS,
            Self::Eds | Self::Static | Self::OriginalDst | Self::Unknown => return,
        };
        if chosen.iter().any(|chosen| chosen.name) {
            findings.add(rule, at.field("type"));
        }
    }
}

/// Reports that no assignment came.
pub(crate) fn missing(cluster: &Cluster, at: Path<'_>, findings: &Findings) {
    let name = assignment_of(cluster).unwrap_or_default();
    findings.add_with(&MISSING, at.field("eds_cluster_config"), name);
}

/// Which settings of name resolution a cluster has.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one for each field of the message")]
pub(crate) struct DnsSettings {
    pub(crate) dns_refresh_rate: bool,
    pub(crate) dns_jitter: bool,
    pub(crate) dns_failure_refresh_rate: bool,
    pub(crate) respect_dns_ttl: bool,
    pub(crate) dns_lookup_family: bool,
    pub(crate) dns_resolvers: bool,
    pub(crate) use_tcp_for_dns_lookups: bool,
    pub(crate) dns_resolution_config: bool,
    pub(crate) typed_dns_resolver_config: bool,
}

impl DnsSettings {
    pub(crate) fn report(self, at: Path<'_>, findings: &Findings) {
        let fields = [
            ("dns_refresh_rate", self.dns_refresh_rate),
            ("dns_jitter", self.dns_jitter),
            ("dns_failure_refresh_rate", self.dns_failure_refresh_rate),
            ("respect_dns_ttl", self.respect_dns_ttl),
            ("dns_lookup_family", self.dns_lookup_family),
            ("dns_resolvers", self.dns_resolvers),
            ("use_tcp_for_dns_lookups", self.use_tcp_for_dns_lookups),
            ("dns_resolution_config", self.dns_resolution_config),
            ("typed_dns_resolver_config", self.typed_dns_resolver_config),
        ];
        for (field, _) in fields.into_iter().filter(|(_, set)| *set) {
            findings.add(&DNS_SETTINGS, at.field(field));
        }
    }
}
