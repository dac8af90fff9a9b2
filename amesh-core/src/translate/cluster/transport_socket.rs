//! What is spoken below HTTP: plaintext, TLS, Istio's mutual TLS.
//!
//! A cluster has one transport socket, or several with conditions on the metadata of endpoints: Istio's automatic mutual
//! TLS speaks TLS to the endpoints that say `tlsMode: istio` and plaintext to the others. APISIX can neither present the
//! workload's certificate as Istio's peers expect it nor verify theirs, so the endpoints that ask for more than plaintext
//! are left out until the operator permits less.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{Metadata, TransportSocket};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{SdsSecretConfig, UpstreamTlsContext};
use envoy_types::pb::google::protobuf::Struct;
use envoy_types::pb::xds::r#type::matcher::v3::Matcher;

use crate::decode::extension::{self, TransportSocketConfig};
use crate::feature::{Extension, Fate, Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::translate::endpoint::{self, Chosen};

pub(crate) const FEATURE: Feature = Feature {
    name: "cluster/transport_socket",
    summary: "Plaintext is kept; endpoints that ask for TLS are left out unless the operator permits less.",
    messages: &[
        Message {
            name: "envoy.config.cluster.v3.Cluster",
            fields: &[
                exact("transport_socket_matches", "upstream.nodes"),
                unsupported("transport_socket_matcher", &SOCKET),
                exact("transport_socket", "upstream.nodes"),
            ],
        },
        Message {
            name: "envoy.config.cluster.v3.Cluster.TransportSocketMatch",
            fields: &[
                irrelevant("name", "names the match in Envoy's statistics"),
                exact("match", "upstream.nodes"),
                exact("transport_socket", "upstream.nodes"),
            ],
        },
        Message {
            name: "envoy.config.core.v3.TransportSocket",
            fields: &[exact("name", "upstream.nodes"), exact("typed_config", "upstream.nodes")],
        },
        Message {
            name: "envoy.config.core.v3.Metadata",
            fields: &[
                exact("filter_metadata", "upstream.nodes"),
                irrelevant(
                    "typed_filter_metadata",
                    "is read by extensions of Envoy, never by a cluster",
                ),
            ],
        },
    ],
    extensions: &[
        Extension::same(
            "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
            Fate::Exact {
                target: "upstream.scheme: http",
            },
        ),
        Extension::same(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            Fate::Unsupported { rule: &TLS },
        ),
    ],
    rules: &[&ISTIO_MUTUAL_TLS, &MIXED],
};

static ISTIO_MUTUAL_TLS: Rule = Rule {
    name: "istio-mutual-tls",
    outcome: Outcome::FailsClosed,
    summary: "endpoints that ask for Istio's mutual TLS get no requests",
    explanation: "\
Envoy speaks mutual TLS to these endpoints, with the certificate that istio-agent issues for the workload, and checks the \
service account that they present. APISIX cannot do either yet. Sending the requests in plaintext instead would show \
them to the network and to whoever answers at that address, and a workload with STRICT mutual TLS refuses them anyway. So \
the endpoints are left out; an upstream that has no other endpoint answers 503.

When the operator permits this rule, requests are sent to these endpoints in plaintext.",
    advice: "permit this rule only where plaintext is acceptable and the workloads take it (PERMISSIVE mutual TLS)",
};

static TLS: Rule = Rule {
    name: "upstream-tls-unverified",
    outcome: Outcome::FailsClosed,
    summary: "endpoints that are spoken to over TLS get no requests, because APISIX does not verify their certificates",
    explanation: "\
Envoy originates TLS to these endpoints: it may present a client certificate, asks for a server name, and verifies the \
certificate that it gets. APISIX can originate TLS, but it accepts any certificate, asks for the name in the request's \
Host header, and has no client certificate here. Whoever answers at the address could read and forge the traffic, so the \
endpoints are left out; an upstream that has no other endpoint answers 503.

When the operator permits this rule, requests are sent over TLS without verification.",
    advice: "permit this rule only where the network between APISIX and the endpoints is trusted",
};

static SOCKET: Rule = Rule {
    name: "upstream-transport-socket",
    outcome: Outcome::FailsClosed,
    summary: "endpoints behind a transport socket that APISIX does not have get no requests",
    explanation: "\
Envoy wraps its connections to these endpoints: in the PROXY protocol, in an HBONE tunnel, in another kind of encryption, \
or in one that is chosen by a matcher. APISIX only knows plaintext and TLS, so the endpoints are left out; an upstream that \
has no other endpoint answers 503.

When the operator permits this rule, requests are sent to these endpoints in plaintext, without the wrapping.",
    advice: "permit this rule only where the endpoints take plain HTTP",
};

static MIXED: Rule = Rule {
    name: "upstream-tls-mixed",
    outcome: Outcome::LeftOut,
    summary: "endpoints over TLS are left out where others of the same cluster are spoken to in plaintext",
    explanation: "\
In Envoy each endpoint of a cluster can have a transport socket of its own. An upstream of APISIX has one scheme for all \
of its nodes. When an operator permits TLS without verification and some endpoints take plaintext, those are used, and \
the others are left out.",
    advice: "give the endpoints that take TLS a service of their own",
};

/// Where endpoints keep what transport sockets are matched with.
const METADATA: &str = "envoy.transport_socket_match";

/// The names of Istio's secrets: the workload's certificate, and the roots that sign its peers'.
const ISTIO_CERTIFICATE: &str = "default";
const ISTIO_ROOTS: &str = "ROOTCA";

/// The transport sockets of a cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sockets<'c> {
    default: Option<&'c TransportSocket>,
    matches: &'c [TransportSocketMatch],
    matcher: Option<&'c Matcher>,
}

/// What a transport socket speaks.
#[derive(Debug)]
enum Kind {
    Plaintext,
    IstioMutualTls,
    Tls,
    /// By the name of its message.
    Other(String),
}

impl<'c> Sockets<'c> {
    pub(crate) const fn of(
        default: Option<&'c TransportSocket>,
        matches: &'c [TransportSocketMatch],
        matcher: Option<&'c Matcher>,
    ) -> Self {
        Self {
            default,
            matches,
            matcher,
        }
    }

    /// The place among the sockets of the one that speaks to an endpoint with that metadata, in a locality with that
    /// metadata: the first match, or the default behind the last.
    pub(crate) fn pick(&self, endpoint: Option<&Metadata>, locality: Option<&Metadata>) -> usize {
        let none = self.matches.len();
        if none == 0 {
            return none;
        }
        self.matches
            .iter()
            .position(|candidate| {
                let wanted = candidate.r#match.as_ref();
                matches(wanted, endpoint) || matches(wanted, locality)
            })
            .unwrap_or(none)
    }

    /// Leaves out the endpoints that must not be spoken to without what their socket does, and tells whether those that
    /// are left are spoken to over TLS.
    pub(crate) fn admit(&self, chosen: &mut Vec<Chosen<'_>>, at: Path<'_>, findings: &Findings) -> bool {
        let all = chosen.len();
        if self.matcher.is_some() {
            let at = at.field("transport_socket_matcher");
            if !findings.permits(&SOCKET, at, None) {
                chosen.clear();
            }
            return false;
        }
        let mut over_tls = Vec::new();
        for place in 0..=self.matches.len() {
            let count = chosen.iter().filter(|chosen| chosen.socket == place).count();
            // The socket of a cluster that has only one is reported before there are endpoints.
            if count == 0 && !self.matches.is_empty() {
                continue;
            }
            let of_all = || format!("{count} of {}", endpoint::count(all));
            let (rule, detail, tls) = match kind(self.socket(place)) {
                Kind::Plaintext => continue,
                Kind::IstioMutualTls => (&ISTIO_MUTUAL_TLS, of_all(), false),
                Kind::Tls => (&TLS, of_all(), true),
                Kind::Other(name) => (&SOCKET, format!("{name}: {}", of_all()), false),
            };
            let permitted = self.report(place, at, |at| findings.permits(rule, at, Some(detail)));
            if !permitted {
                chosen.retain(|chosen| chosen.socket != place);
            } else if tls {
                over_tls.push(place);
            }
        }
        if over_tls.is_empty() || chosen.iter().all(|chosen| over_tls.contains(&chosen.socket)) {
            return !over_tls.is_empty();
        }
        for place in over_tls {
            self.report(place, at, |at| findings.add(&MIXED, at));
            chosen.retain(|chosen| chosen.socket != place);
        }
        false
    }

    fn socket(&self, place: usize) -> Option<&'c TransportSocket> {
        let Some(TransportSocketMatch {
            name: _,
            r#match: _,
            transport_socket,
        }) = self.matches.get(place)
        else {
            return self.default;
        };
        transport_socket.as_ref()
    }

    /// Calls with the path of the socket at that place.
    fn report<T>(&self, place: usize, at: Path<'_>, report: impl FnOnce(Path<'_>) -> T) -> T {
        if place < self.matches.len() {
            let list = at.field("transport_socket_matches");
            report(list.index(place))
        } else {
            report(at.field("transport_socket"))
        }
    }
}

/// Whether metadata has all that a match wants; an empty match wants nothing.
fn matches(wanted: Option<&Struct>, metadata: Option<&Metadata>) -> bool {
    let Some(wanted) = wanted.filter(|wanted| !wanted.fields.is_empty()) else {
        return true;
    };
    let Some(Metadata {
        filter_metadata,
        typed_filter_metadata: _,
    }) = metadata
    else {
        return false;
    };
    held(filter_metadata, METADATA).is_some_and(|labels| {
        wanted
            .fields
            .iter()
            .all(|(key, value)| held(&labels.fields, key) == Some(value))
    })
}

/// An entry of a map. Nearly all of these maps hold one or two, which are found faster than a hash is made; and this is
/// asked for every endpoint of a mesh.
fn held<'m, T>(map: &'m HashMap<String, T>, key: &str) -> Option<&'m T> {
    if map.len() > 4 {
        return map.get(key);
    }
    map.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn kind(socket: Option<&TransportSocket>) -> Kind {
    let Some(TransportSocket { name, config_type }) = socket else {
        return Kind::Plaintext;
    };
    let Some(ConfigType::TypedConfig(any)) = config_type else {
        // Without a configuration, Envoy goes by the name.
        return match name.as_str() {
            "envoy.transport_sockets.raw_buffer" => Kind::Plaintext,
            _ => Kind::Other(name.clone()),
        };
    };
    match extension::transport_socket(any) {
        TransportSocketConfig::RawBuffer => Kind::Plaintext,
        TransportSocketConfig::UpstreamTls(tls) if is_istio(&tls) => Kind::IstioMutualTls,
        TransportSocketConfig::UpstreamTls(_) => Kind::Tls,
        TransportSocketConfig::DownstreamTls => Kind::Other("DownstreamTlsContext".to_owned()),
        TransportSocketConfig::Other(what) => Kind::Other(what),
    }
}

/// Whether both sides present the certificates that istio-agent issues.
fn is_istio(tls: &UpstreamTlsContext) -> bool {
    let Some(common) = &tls.common_tls_context else {
        return false;
    };
    let named = |secret: &SdsSecretConfig, name| secret.name == name;
    let roots = match &common.validation_context_type {
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            combined.validation_context_sds_secret_config.as_ref()
        }
        Some(ValidationContextType::ValidationContextSdsSecretConfig(secret)) => Some(secret),
        _ => None,
    };
    let own = &common.tls_certificate_sds_secret_configs;
    own.iter().any(|secret| named(secret, ISTIO_CERTIFICATE)) && roots.is_some_and(|roots| named(roots, ISTIO_ROOTS))
}
