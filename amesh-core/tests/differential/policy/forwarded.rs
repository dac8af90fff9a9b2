//! What clients and proxies before say of where a request comes from.

use super::Scene;
use crate::requests::Request;

pub(crate) fn requests(scene: &Scene<'_>) -> Vec<Request> {
    vec![
        scene.with(&[("x-forwarded-proto", "https")]),
        scene.with(&[("x-forwarded-for", "10.1.2.3, 10.4.5.6")]),
        scene.with(&[("x-forwarded-host", "before.example"), ("x-forwarded-port", "8443")]),
        scene.with(&[("forwarded", "for=10.1.2.3"), ("x-real-ip", "10.1.2.3")]),
        scene.with(&[
            ("x-envoy-external-address", "10.1.2.3"),
            ("x-envoy-expected-rq-timeout-ms", "7000"),
        ]),
        scene.with(&[
            ("x-envoy-internal", "true"),
            ("x-envoy-downstream-service-cluster", "other"),
        ]),
        scene.with(&[("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3")]),
        scene.with(&[
            ("x-envoy-original-path", "/before"),
            ("x-envoy-original-host", "before.example"),
        ]),
        scene.with(&[
            ("x-envoy-upstream-rq-timeout-ms", "30000"),
            ("x-envoy-attempt-count", "7"),
        ]),
        scene.with(&[("x-request-id", "of-the-client")]),
        scene.with(&[("cookie", "a=1; b=2"), ("user-agent", "curl/8")]),
    ]
}
