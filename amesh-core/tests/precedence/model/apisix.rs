//! APISIX's way from a request to an upstream, with its default router `radixtree_host_uri`, on the JSON of its objects.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::answer::{Answer, Outcome};
use super::expr;
use super::nginx::{Connection, Seen};
use super::request::Request;

/// What an APISIX was told: objects of each kind by id.
#[derive(Clone, Default)]
pub(crate) struct Apisix {
    pub(crate) routes: BTreeMap<String, Value>,
    pub(crate) upstreams: BTreeMap<String, Value>,
}

/// A line for each object.
impl fmt::Debug for Apisix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.routes.values().chain(self.upstreams.values());
        objects.into_iter().try_for_each(|object| writeln!(f, "{object}"))
    }
}

/// What APISIX answers by itself, or the upstreams with their shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Refused,
    NoRoute,
    Route(String),
}

impl Apisix {
    /// What becomes of such requests, and whether that was counted by trying many request ids, because some condition
    /// asks for it.
    pub(crate) fn answer(&self, request: &Request, connection: &Connection) -> (Answer, bool) {
        let Some(seen) = Seen::new(request, connection) else {
            return (Answer::status(400), false);
        };
        let candidates = self.candidates(&seen);
        let one = self.act(&candidates, &seen);
        if !seen.asked_for_id() {
            return (one, false);
        }
        let all = connection.with_many_ids().flat_map(|connection| {
            let seen = Seen::new(request, &connection).expect("it was taken before");
            self.act(&candidates, &seen).0
        });
        (Answer::of(all), true)
    }

    fn act(&self, candidates: &[(Rank, &str)], seen: &Seen<'_>) -> Answer {
        self.first(candidates, seen)
            .map_or(Answer::status(404), |id| self.serve(&self.routes[id], seen))
    }

    /// Which route takes a request, by its id.
    pub(crate) fn verdict(&self, request: &Request, connection: &Connection) -> Verdict {
        match Seen::new(request, connection) {
            None => Verdict::Refused,
            Some(seen) => self
                .first(&self.candidates(&seen), &seen)
                .map_or(Verdict::NoRoute, |id| Verdict::Route(id.to_owned())),
        }
    }

    /// The routes whose host and path fit, in the order in which they are tried.
    fn candidates(&self, seen: &Seen<'_>) -> Vec<(Rank, &str)> {
        let mut ranked: Vec<(Rank, &str)> = self
            .routes
            .iter()
            .filter_map(|(id, route)| Some((rank(route, seen)?, id.as_str())))
            .collect();
        ranked.sort();
        ranked
    }

    /// The first of them whose conditions hold. Two of the same rank that both take the request would be served in
    /// whatever order the configuration was read.
    fn first<'a>(&self, candidates: &[(Rank, &'a str)], seen: &Seen<'_>) -> Option<&'a str> {
        let mut taking = candidates
            .iter()
            .filter(|(_, id)| conditions_hold(&self.routes[*id], seen));
        let (rank, id) = taking.next()?;
        if let Some((_, other)) = taking.next().filter(|(other, _)| other == rank) {
            panic!("{id} and {other} both take the request, in no defined order");
        }
        Some(id)
    }

    /// What a route does with a request: an abort comes before everything, a split before the route's own upstream.
    fn serve(&self, route: &Value, seen: &Seen<'_>) -> Answer {
        let plugins = route.get("plugins").and_then(Value::as_object);
        for name in plugins.into_iter().flat_map(serde_json::Map::keys) {
            assert!(
                [
                    "fault-injection",
                    "proxy-rewrite",
                    "redirect",
                    "response-rewrite",
                    "traffic-split"
                ]
                .contains(&name.as_str()),
                "plugin {name}"
            );
        }
        let plugin = |name| plugins.and_then(|plugins| plugins.get(name));
        if let Some(fault) = plugin("fault-injection") {
            assert_keys(fault, &["abort"]);
            assert_keys(&fault["abort"], &["http_status", "body", "headers"]);
            return Answer::status(integer(&fault["abort"]["http_status"]).try_into().expect("a status"));
        }
        if let Some(redirect) = plugin("redirect") {
            return Answer::status(integer(&redirect["ret_code"]).try_into().expect("a status"));
        }
        let own = route.get("upstream_id").and_then(Value::as_str);
        let rules = plugin("traffic-split").and_then(|split| split["rules"].as_array());
        let chosen = rules.into_iter().flatten().find(|rule| {
            rule.get("match").is_none_or(|list| {
                let list = list.as_array().expect("match is a list");
                list.iter()
                    .any(|one| expr::holds(&one["vars"], &|name| seen.variable(name)))
            })
        });
        let Some(rule) = chosen else {
            return own.map_or(Answer::status(503), |id| self.forward([(id, 1)]));
        };
        let members = rule["weighted_upstreams"].as_array().expect("members");
        assert!((1..=20).contains(&members.len()), "{} members", members.len());
        // A member that is named twice has the weight of its last mention.
        let mut weights = BTreeMap::new();
        for member in members {
            let id = member["upstream_id"].as_str().expect("a member's upstream_id");
            weights.insert(id, integer(&member["weight"]));
        }
        assert!(
            weights.values().any(|weight| *weight > 0),
            "weights that are all zero count as equal"
        );
        self.forward(weights)
    }

    /// An upstream without nodes answers 503, one that does not exist 502 or, as a member of a split, 500.
    fn forward<'a>(&'a self, shares: impl IntoIterator<Item = (&'a str, u32)>) -> Answer {
        Answer::of(shares.into_iter().map(|(id, weight)| {
            let upstream = self.upstreams.get(id).unwrap_or_else(|| panic!("no upstream {id}"));
            (Outcome::to(&nodes(upstream)), f64::from(weight))
        }))
    }
}

/// The order in which routes are tried: exact host, longest wildcard, no host; then exact path, longest prefix; then
/// the higher priority. The least is first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    host: Reverse<Option<usize>>,
    path: Reverse<usize>,
    priority: Reverse<i64>,
}

/// The rank of a route for a request, `None` where host or path do not fit.
fn rank(route: &Value, seen: &Seen<'_>) -> Option<Rank> {
    assert_keys(
        route,
        &[
            "id",
            "name",
            "desc",
            "labels",
            "uri",
            "hosts",
            "priority",
            "vars",
            "enable_websocket",
            "upstream_id",
            "plugins",
            "timeout",
        ],
    );
    let uri = route["uri"].as_str().expect("a uri");
    let path = fit(uri, &seen.uri)?;
    let host = match route.get("hosts").and_then(Value::as_array) {
        None => None,
        Some(hosts) => Some(
            hosts
                .iter()
                .map(|host| host.as_str().expect("a host").to_ascii_lowercase())
                .filter_map(|host| {
                    // The tree is over reversed names: the wildcard, which may stand for nothing, comes last there.
                    let reversed: String = host.chars().rev().collect();
                    let name: String = seen.host.chars().rev().collect();
                    fit(&reversed, &name)
                })
                .max()?,
        ),
    };
    Some(Rank {
        host: Reverse(host),
        path: Reverse(path),
        priority: Reverse(route.get("priority").and_then(Value::as_i64).unwrap_or(0)),
    })
}

/// How specific a pattern of the tree is for a text, more is better: one without a wildcard is above all others, then
/// the longest prefix wins.
fn fit(pattern: &str, text: &str) -> Option<usize> {
    match pattern.split_once('*') {
        None => (pattern == text).then_some(usize::MAX),
        Some((prefix, "")) => text.starts_with(prefix).then_some(prefix.len()),
        Some(_) => panic!("a wildcard inside {pattern}"),
    }
}

fn conditions_hold(route: &Value, seen: &Seen<'_>) -> bool {
    route
        .get("vars")
        .is_none_or(|vars| expr::holds(vars, &|name| seen.variable(name)))
}

/// The endpoints of an upstream. A weight of zero takes a node out unless all have it.
fn nodes(upstream: &Value) -> BTreeSet<String> {
    let nodes = upstream["nodes"].as_array().expect("a list of nodes");
    assert!(
        nodes.is_empty() || nodes.iter().any(|node| integer(&node["weight"]) > 0),
        "weights that are all zero count as equal"
    );
    nodes
        .iter()
        .filter(|node| integer(&node["weight"]) > 0)
        .map(|node| format!("{}:{}", node["host"].as_str().expect("a host"), integer(&node["port"])))
        .collect()
}

fn integer(value: &Value) -> u32 {
    let number = value.as_u64().and_then(|value| value.try_into().ok());
    number.unwrap_or_else(|| panic!("not a number: {value}"))
}

/// What this model does not know of, it must not pass over.
fn assert_keys(object: &Value, known: &[&str]) {
    let object = object.as_object().unwrap_or_else(|| panic!("not an object: {object}"));
    for key in object.keys() {
        assert!(known.contains(&key.as_str()), "{key} is not modelled");
    }
}
