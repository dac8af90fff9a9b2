//! `x-forwarded-client-cert`: what an application is told about the client's certificate.
//!
//! An application that trusts the header must never get it from a client. Envoy removes it from every request that did
//! not come with a verified certificate, whatever it is told to do for those that did, unless it is told to always pass
//! it on. So does APISIX: each route removes it.

use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::ForwardClientCertDetails;

use crate::feature::{Feature, Message, exact, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};

pub(crate) static FEATURE: Feature = Feature {
    name: "listener/client_certificate",
    summary: "The header that tells of a client's certificate is removed from requests, so that no client can forge it.",
    messages: &[Message {
        name: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        fields: &[
            exact("forward_client_cert_details", "proxy-rewrite.headers.remove")
                .amesh_exact("amesh-forward.headers[].remove"),
            unsupported("set_current_client_cert_details", &DETAILS),
            unsupported("forward_client_cert_matcher", &DETAILS),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static DETAILS: Rule = Rule::new(
    "client-certificate-header",
    Outcome::LeftOut,
    "applications are not told about clients' certificates",
    "Over mutual TLS, Envoy writes into x-forwarded-client-cert what the client's certificate says. Certificates are not \
     carried over, so APISIX removes the header from requests and writes none. Without TLS Envoy does the same.",
    "nothing, unless an application reads the header",
);

/// What a connection manager says about the header.
pub(super) struct Forwarding {
    pub(super) details: i32,
    pub(super) set_current: bool,
    pub(super) matcher: bool,
}

/// Whether the header is removed from requests.
pub(super) fn removes_header(forwarding: &Forwarding, tls: bool, at: Path<'_>, findings: &Findings) -> bool {
    let Forwarding {
        details,
        set_current,
        matcher,
    } = forwarding;
    // On a plaintext connection there is no certificate to tell about.
    for (set, field) in [
        (*set_current, "set_current_client_cert_details"),
        (*matcher, "forward_client_cert_matcher"),
    ] {
        if set && tls {
            findings.add(&DETAILS, at.field(field));
        }
    }
    ForwardClientCertDetails::try_from(*details) != Ok(ForwardClientCertDetails::AlwaysForwardOnly)
}
