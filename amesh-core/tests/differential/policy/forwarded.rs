//! What clients and proxies before say of where a request comes from.

use super::Scene;
use crate::requests::Request;

pub(crate) fn requests(scene: &Scene<'_>) -> Vec<Request> {
    vec![
        scene.with(&[("x-forwarded-proto", "https")]),
        scene.with(&[("x-forwarded-for", "10.1.2.3, 10.4.5.6")]),
        scene.with(&[("x-forwarded-host", "before.example"), ("x-forwarded-port", "8443")]),
        scene.with(&[("x-request-id", "of-the-client")]),
        scene.with(&[("cookie", "a=1; b=2"), ("user-agent", "curl/8")]),
    ]
}
