//! `RequestMirrorPolicy`: copies of requests, whose answers nobody waits for.
//!
//! The policies of a route take the place of its virtual host's, and those the place of the route configuration's. The
//! `amesh-mirror` plugin sends a copy to a node of the other cluster's upstream. APISIX's own `proxy-mirror` plugin sends
//! it to one address that stands in the route. Which addresses a cluster has changes without the route, so it is not used.

use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3::route_action::RequestMirrorPolicy;

use crate::apisix::Id;
use crate::apisix::plugin::{AmeshMirror, MirrorCopy, Plugins};
use crate::feature::{Feature, Message, exact, irrelevant, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::translate::value::fraction::part;

pub(crate) static FEATURE: Feature = Feature {
    name: "route/mirror",
    summary: "Mirrors become the amesh-mirror plugin; without Amesh's package there are none.",
    messages: &[Message {
        name: "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
        fields: &[
            exact("cluster", "amesh-mirror.copies[].upstream_id"),
            unsupported("cluster_header", &BY_HEADER),
            exact("runtime_fraction", "amesh-mirror.copies[].part"),
            irrelevant(
                "trace_sampled",
                "says which traces are kept; traces are not carried over",
            ),
            exact("disable_shadow_host_suffix_append", "amesh-mirror.copies[].keep_host"),
            unsupported("request_headers_mutations", &MUTATIONS),
            exact("host_rewrite_literal", "amesh-mirror.copies[].host"),
        ],
    }],
    extensions: &[],
    rules: &[],
};

pub(super) static MIRROR: Rule = Rule::new(
    "route-mirror",
    Outcome::LeftOut,
    "requests are not mirrored",
    "Envoy sends a copy of requests to another cluster and discards the answers. APISIX's proxy-mirror plugin knows no \
     clusters, only an address that would have to stand in the route, so requests are served without the copy.",
    "load Amesh's Lua package; or use the proxy-mirror plugin yourself, where the address does not change",
);

pub(super) static COPY: Rule = Rule::new(
    "route-mirror-copy",
    Outcome::Approximated,
    "copies of requests are sent whole, over HTTP/1.1",
    "Envoy sends a copy while the request comes in, by the protocol of the other cluster. Amesh's package sends it when \
     the request is there with its body, to clusters that are asked by HTTP/1.1, with or without TLS; clusters that are \
     asked by gRPC, or that want a certificate, get none. The client waits for neither.",
    "nothing for ordinary HTTP",
);

static BY_HEADER: Rule = Rule::new(
    "route-mirror-header",
    Outcome::LeftOut,
    "a header of the request would say where its copy goes",
    "Envoy can read the name of the cluster from a request header. No copy is sent.",
    "name the cluster",
);

static MUTATIONS: Rule = Rule::new(
    "route-mirror-headers",
    Outcome::LeftOut,
    "headers of copies are those of the requests",
    "Envoy can change headers of copies alone. They are sent as the request is.",
    "change the headers of the request, or let the mirror ignore them",
);

/// What a level says about mirrors; nothing where it says nothing.
pub(super) fn mirrors(policies: &[RequestMirrorPolicy], at: Path<'_>, findings: &Findings) -> Option<Vec<MirrorCopy>> {
    if policies.is_empty() {
        return None;
    }
    let at = at.field("request_mirror_policies");
    if findings.options().target == Target::Native {
        findings.add(&MIRROR, at);
        return Some(Vec::new());
    }
    findings.add(&COPY, at);
    let copies = policies.iter().enumerate();
    Some(
        copies
            .filter_map(|(index, policy)| copy(policy, at.index(index), findings))
            .collect(),
    )
}

fn copy(policy: &RequestMirrorPolicy, at: Path<'_>, findings: &Findings) -> Option<MirrorCopy> {
    let RequestMirrorPolicy {
        cluster,
        cluster_header,
        runtime_fraction,
        trace_sampled: _,
        disable_shadow_host_suffix_append,
        request_headers_mutations,
        host_rewrite_literal,
    } = policy;
    findings.add_if(
        !request_headers_mutations.is_empty(),
        &MUTATIONS,
        at.field("request_headers_mutations"),
    );
    if !cluster_header.is_empty() {
        findings.add(&BY_HEADER, at.field("cluster_header"));
        return None;
    }
    let part = match runtime_fraction {
        Some(RuntimeFractionalPercent {
            default_value,
            runtime_key: _,
        }) => Some(part(default_value.unwrap_or_default())?),
        None => None,
    };
    (!cluster.is_empty() && part.is_none_or(|part| part.numerator > 0)).then(|| MirrorCopy {
        upstream_id: Id::of(cluster),
        host: (!host_rewrite_literal.is_empty()).then(|| host_rewrite_literal.clone()),
        keep_host: *disable_shadow_host_suffix_append,
        part: part.filter(|part| part.numerator < part.denominator),
    })
}

/// Puts the mirrors among the plugins of a route that forwards requests.
pub(super) fn apply(copies: &[MirrorCopy], plugins: &mut Plugins) {
    plugins.amesh_mirror = (!copies.is_empty()).then(|| AmeshMirror {
        copies: copies.to_vec(),
    });
}
