//! What each proxy says of itself, whatever it is told. Where Amesh's Lua package says what Envoy does, it is not here.

use amesh_core::Target;

use crate::compare::Answer;
use crate::named::{Aspect, is_nginx};
use crate::requests::Request;

/// Where a request came from, as each proxy says it.
pub(crate) const FORWARDED: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "forwarded",
    "x-real-ip",
];

/// Those that nginx writes after every plugin.
pub(crate) const NGINX: &[&str] = &["x-forwarded-for", "x-real-ip"];

/// What Envoy tells workloads of itself.
const ENVOYS: &[&str] = &["x-envoy-decorator-operation", EXPECTED, "x-envoy-external-address"];

/// What only clients inside a mesh may tell Envoy.
pub(crate) const CONTROL: &[&str] = &[
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    EXPECTED,
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-max-retries",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-timeout-ms",
];

/// Those of it that Amesh's Lua package does not tell either.
const ENVOYS_ALONE: &[&str] = &["x-envoy-decorator-operation"];

pub(crate) const REQUEST_ID: &str = "x-request-id";

/// How long an upstream may take, and how long it took.
pub(crate) const EXPECTED: &str = "x-envoy-expected-rq-timeout-ms";
pub(crate) const TOOK: &str = "x-envoy-upstream-service-time";

/// Whether an aspect is what each proxy says of itself, whatever it is told: the rule `nginx-request` says so once for each
/// connection manager. Exchanges that differ in nothing else are equal. What a client sent is not a proxy's own.
/// With Amesh's Lua package the answers of routes say what Envoy's do.
pub(crate) fn is_own(aspect: &Aspect, target: Target, request: &Request, [envoy, apisix]: [&Answer; 2]) -> bool {
    let packaged = target == Target::Amesh && !is_routeless(request, apisix);
    match aspect {
        // Each proxy makes ids of its own.
        Aspect::Header(name) if name == REQUEST_ID => {
            let made = |answer: &Answer| {
                let values = answer.seen.as_ref().and_then(|seen| seen.headers.get(REQUEST_ID));
                values.is_some_and(|values| values.iter().all(|value| is_uuid(value)))
            };
            made(envoy) && made(apisix)
        }
        Aspect::ResponseHeader(name) if name == REQUEST_ID => {
            // Where a workload was asked, it saw the same.
            let made = |answer: &Answer| {
                let told = answer.headers.get(REQUEST_ID);
                let seen = answer.seen.as_ref().map(|seen| seen.headers.get(REQUEST_ID));
                told.is_some_and(|told| told.iter().all(|value| is_uuid(value))) && seen.is_none_or(|seen| seen == told)
            };
            is_routeless(request, apisix) || made(envoy) && made(apisix)
        }
        // Only Envoy tells that a client is an internal one.
        Aspect::Header(name) if name == "x-envoy-internal" => {
            let tells = |answer: &Answer| answer.seen.as_ref().is_some_and(|seen| seen.headers.contains_key(name));
            tells(envoy) && !tells(apisix)
        }
        // A further try has less time, by how long the others took.
        Aspect::Header(name) if name == EXPECTED && packaged => {
            let tells = |answer: &Answer| {
                answer
                    .seen
                    .as_ref()
                    .is_some_and(|seen| is_number(seen.headers.get(EXPECTED)))
            };
            envoy.attempts > 1 && tells(envoy) && tells(apisix)
        }
        // With or without a space between two addresses.
        Aspect::Header(name) if name == "x-forwarded-for" && packaged => {
            let list = |answer: &Answer| {
                let values = answer.seen.as_ref()?.headers.get(name)?.join(",");
                Some(values.replace(' ', ""))
            };
            list(envoy) == list(apisix) || list(envoy).is_none()
        }
        Aspect::Header(name) => {
            let sent = |(header, _): &(String, String)| header.eq_ignore_ascii_case(name);
            let lists = if packaged {
                [NGINX, ENVOYS_ALONE]
            } else {
                [FORWARDED, ENVOYS]
            };
            lists.iter().any(|list| list.contains(&name.as_str())) && !request.headers.iter().any(sent)
        }
        // No two requests take the same time.
        Aspect::ResponseHeader(name) if name == TOOK => {
            !packaged || is_number(envoy.headers.get(TOOK)) && is_number(apisix.headers.get(TOOK))
        }
        Aspect::ResponseHeader(name) if name == "server" => {
            if packaged {
                return false;
            }
            let says = |answer: &Answer, start: &str| {
                let values = answer.headers.get("server").map_or(&[] as &[String], Vec::as_slice);
                values.iter().all(|value| value.starts_with(start))
            };
            (says(envoy, "envoy") || says(envoy, "istio-envoy"))
                && (says(apisix, "APISIX") || says(apisix, "openresty"))
        }
        Aspect::ResponseHeader(name) if name == "x-apisix-upstream-status" => !packaged,
        // A cookie that is made for a client holds a number of its own.
        Aspect::ResponseHeader(name) if name == "set-cookie" => {
            let made = |answer: &Answer| {
                answer
                    .headers
                    .get(name)
                    .map(|lines| lines.iter().map(|line| without_number(line)).collect())
            };
            let of_envoy: Option<Vec<String>> = made(envoy);
            of_envoy.is_some() && of_envoy == made(apisix)
        }
        // Errors and redirects that both give by themselves have texts of their own.
        Aspect::ResponseHeader(name) if name == "content-type" => {
            let own = envoy.status >= 300 && envoy.status == apisix.status && !envoy.echoed && !apisix.echoed;
            own && !(packaged && apisix.status < 500)
        }
        // What repeats the id.
        Aspect::ResponseHeader(name) => {
            let told = |answer: &Answer| {
                let id = answer.seen.as_ref()?.headers.get(REQUEST_ID)?.first()?;
                let values = answer.headers.get(name)?.iter();
                is_uuid(id).then(|| values.map(|value| value.replace(id, "")).collect::<Vec<_>>())
            };
            told(envoy).is_some() && told(envoy) == told(apisix)
        }
        _ => false,
    }
}

/// Whether no route answered: APISIX says that there is none, or nginx that it does not understand the request.
fn is_routeless(request: &Request, apisix: &Answer) -> bool {
    let told = request.method == "HEAD" || apisix.body.contains("Route Not Found");
    !apisix.echoed && apisix.status == 404 && told || is_nginx(apisix)
}

/// Whether a header is there with a number.
fn is_number(values: Option<&Vec<String>>) -> bool {
    values.is_some_and(|values| values.iter().all(|value| value.parse::<u64>().is_ok()))
}

/// Whether a text is a random UUID, in which Envoy may tell that a request is traced.
fn is_uuid(text: &str) -> bool {
    let sizes: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    sizes == [8, 4, 4, 4, 12]
        && digits
        && b"49ab".contains(&text.as_bytes()[14])
        && b"89ab".contains(&text.as_bytes()[19])
}

/// A cookie without the number in quotes.
fn without_number(cookie: &str) -> String {
    let mut parts = cookie.splitn(3, '"');
    match [parts.next(), parts.next(), parts.next()] {
        [Some(name), Some(number), Some(rest)] if number.len() == 16 => format!("{name}{rest}"),
        _ => cookie.to_owned(),
    }
}
