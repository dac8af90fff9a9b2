//! Random tables of APISIX routes, to compare the model of APISIX with the real one.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::requests::Die;
use super::routes::{HEADERS, METHODS, PARAMETER_VALUES, PARAMETERS, PATHS, VALUES};
use super::table::NAMES;
use crate::model::request::Request;

const URIS: &[&str] = &[
    "/*", "/a*", "/a/*", "/a/b*", "/a", "/a/b", "/", "/A*", "/ab*", "/b*", "/a.b",
];

const HOSTS: &[&str] = &[
    "foo.com",
    "a.foo.com",
    "a.b.foo.com",
    "*.foo.com",
    "*.b.foo.com",
    "*-x.foo.com",
    "*foo.com",
    "*.com",
    "*",
    "foo.org",
    "FOO.org",
    "x",
    "10.0.0.7",
    "[::1]",
];

/// Paths that nginx changes before anyone sees them.
const ODD_PATHS: &[&str] = &[
    "/a%2Fb",
    "//a//b",
    "/a/./b",
    "/x/../a",
    "/%61",
    "/a%20b",
    "/a/..",
    "/a/.",
    "/..",
    "/%",
    "/a%0Ab",
    "/a%3Fb",
    "/a;b",
    "/a/b/",
    "/a\\b",
    "/a%2e%2e/b",
    "/a/%2e%2e/b",
];

const REGEXES: &[&str] = &[
    "^/a",
    "^(?:/a|/b)\\z",
    "b\\z",
    "^/a$",
    ".*",
    "^\\Q/a.b\\E\\z",
    "^(?i)/A",
    "^/[ab]+\\z",
    "(?:^|&)k=a(?:&|\\z)",
    "^[+-]?\\d+\\z",
    "^.+\\.foo\\.com\\z",
    "^a(?:, |\\z)",
    "^\\w*\\z",
];

fn variable() -> impl Strategy<Value = String> {
    let headers: Vec<String> = HEADERS
        .iter()
        .map(|name| format!("http_{}", name.replace('-', "_")))
        .collect();
    let others = [
        "uri",
        "uri",
        "host",
        "http_host",
        "real_request_uri",
        "query_string",
        "args",
        "request_method",
        "scheme",
        "server_port",
        "server_addr",
        "connection_original_dst",
    ];
    prop_oneof![1 => select(headers), 2 => select(others.to_vec()).prop_map(str::to_owned)]
}

fn text(ports: [u16; 2]) -> impl Strategy<Value = String> {
    prop_oneof![
        select(VALUES).prop_map(str::to_owned),
        select(PATHS).prop_map(str::to_owned),
        select(NAMES).prop_map(str::to_owned),
        select(METHODS).prop_map(str::to_owned),
        select(ports.to_vec()).prop_map(|port| port.to_string()),
        select(&["http", "127.0.0.1", "k=a", "k", "a, b"][..]).prop_map(str::to_owned),
    ]
}

fn comparison(ports: [u16; 2]) -> impl Strategy<Value = Value> {
    let right = prop_oneof![
        3 => (select(&["==", "==", "~="][..]), text(ports)).prop_map(|(operator, text)| (operator, json!(text))),
        5 => (select(&["~~", "~~", "~*"][..]), select(REGEXES)).prop_map(|(operator, regex)| (operator, json!(regex))),
        2 => vec(text(ports), 1..4).prop_map(|list| ("in", json!(list))),
        2 => (select(&["==", "~=", "<", "<=", ">", ">="][..]), -4..12).prop_map(|(operator, number)| (operator, json!(number))),
    ];
    (variable(), any::<bool>(), right).prop_map(|(variable, negated, (operator, right))| {
        if negated {
            json!([variable, "!", operator, right])
        } else {
            json!([variable, operator, right])
        }
    })
}

fn expression(ports: [u16; 2]) -> impl Strategy<Value = Value> {
    comparison(ports).prop_recursive(3, 8, 3, |inner| {
        (select(&["AND", "OR", "!AND", "!OR"][..]), vec(inner, 2..4)).prop_map(|(word, list)| {
            let mut all = vec![json!(word)];
            all.extend(list);
            Value::Array(all)
        })
    })
}

/// Routes by their order in the file. Their priorities are all different, so that their order is defined.
pub(crate) fn routes(ports: [u16; 2]) -> impl Strategy<Value = Vec<Value>> {
    let vars = prop_oneof![2 => Just(Vec::new()), 3 => vec(expression(ports), 1..3)];
    let hosts = weighted(0.8, vec(select(HOSTS), 1..3));
    vec((select(URIS), hosts, vars), 1..10).prop_flat_map(|routes| {
        let priorities: Vec<i64> = (-2..).take(routes.len()).collect();
        (Just(routes), Just(priorities).prop_shuffle()).prop_map(|(routes, priorities)| {
            let routes = routes.into_iter().zip(priorities);
            routes
                .map(|((uri, hosts, vars), priority)| {
                    let mut route = json!({"uri": uri, "priority": priority, "vars": vars});
                    if let Some(mut hosts) = hosts {
                        hosts.dedup();
                        route["hosts"] = json!(hosts);
                    }
                    route
                })
                .collect()
        })
    })
}

/// Routes that forward to some of the upstreams `u0`, `u1` and so on, by their own `upstream_id`, by rules, or by both.
pub(crate) fn splits(upstreams: u16) -> impl Strategy<Value = Value> {
    let id = move || (0..upstreams).prop_map(|n| format!("u{n}"));
    let member = (id(), 0_u32..4).prop_map(|(id, weight)| json!({"upstream_id": id, "weight": weight}));
    // Weights that are all zero count as equal.
    let members = vec(member, 1..5).prop_map(|mut members| {
        members.push(json!({"upstream_id": "u0", "weight": 1}));
        members
    });
    let rule = (members, weighted(0.5, 0_u8..4)).prop_map(|(members, wanted)| match wanted {
        Some(value) => json!({
            "match": [{"vars": [["http_x_a", "==", value.to_string()]]}],
            "weighted_upstreams": members,
        }),
        None => json!({"weighted_upstreams": members}),
    });
    (weighted(0.7, id()), weighted(0.8, vec(rule, 1..4))).prop_map(|(own, rules)| {
        let mut route = json!({"uri": "/*", "plugins": {}});
        if let Some(own) = own {
            route["upstream_id"] = json!(own);
        }
        if let Some(rules) = rules {
            route["plugins"]["traffic-split"] = json!({"rules": rules});
        }
        route
    })
}

/// A request for such routes, to one of the ports.
pub(crate) fn request(die: &mut Die, routes: &[&Value], ports: [u16; 2], ip: IpAddr) -> Request {
    let port = *die.one(&ports).expect("a port");
    let route = *die.one(routes).expect("a route");
    let hosts = route.get("hosts").and_then(Value::as_array);
    let host = match hosts.and_then(|hosts| die.one(hosts)) {
        Some(host) if !die.once_in(4) => host.as_str().expect("a host").to_owned(),
        _ => die.word(HOSTS),
    };
    let filling = die.word(&["", "a", "a.b", "z-x", "b", "c"]);
    let host = host.replacen('*', &filling, 1);
    let host = match die.roll() % 6 {
        0 => host.to_ascii_uppercase(),
        1 => format!("{host}."),
        _ => host,
    };
    let authority = if die.once_in(4) { format!("{host}:{port}") } else { host };
    let path = match die.roll() % 6 {
        0 => die.word(ODD_PATHS),
        1 | 2 => die.word(PATHS),
        _ => route["uri"]
            .as_str()
            .expect("a uri")
            .replace('*', &die.word(&["", "b", "/b"])),
    };
    let query = match die.roll() % 4 {
        0 => format!("?{}={}", die.word(PARAMETERS), die.word(PARAMETER_VALUES)),
        1 if die.once_in(2) => "?".to_owned(),
        _ => String::new(),
    };
    let mut headers = Vec::new();
    while !die.once_in(3) {
        headers.push((die.word(HEADERS), die.word(VALUES)));
    }
    Request {
        method: die.word(METHODS),
        target: format!("{path}{query}"),
        // An empty Host is refused by nginx in a way of its own, before any server is chosen.
        authority: if authority.is_empty() {
            "x".to_owned()
        } else {
            authority
        },
        headers,
        to: SocketAddr::new(ip, port),
    }
}
