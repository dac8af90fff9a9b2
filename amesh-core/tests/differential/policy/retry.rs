//! Retries: workloads that fail once, twice and always, for requests that may be repeated and others.

use super::Scene;
use crate::echo::{FAILURES, STATUS};
use crate::requests::Request;

pub(crate) fn requests(scene: &Scene<'_>) -> Vec<Request> {
    let policy = scene.action().and_then(|action| action.retry_policy.as_ref());
    if policy.or(scene.host.retry_policy.as_ref()).is_none() {
        return Vec::new();
    }
    let mut list = Vec::new();
    for status in ["503", "500", "404", "429"] {
        list.push(scene.with(&[(STATUS, status)]));
        for failures in ["1", "2"] {
            list.push(scene.with(&[(STATUS, status), (FAILURES, failures)]));
            list.push(scene.method("POST", &[(STATUS, status), (FAILURES, failures)]));
        }
    }
    list
}
