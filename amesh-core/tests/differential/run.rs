//! One case: every request to Envoy and to each APISIX.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;

use crate::case::{Case, Door};
use crate::client::Client;
use crate::compare::{Answer, Compared, Spot, by_name, changed_headers};
use crate::judge::Court;
use crate::named::Aspect;
use crate::policy::fault;
use crate::requests::Request;
use crate::score::{Score, Scores};
use crate::{ENVOY, TARGETS, echo, policy, requests, strip, tame};

/// Headers that say nothing of what a proxy does: when, for whom, how bytes are cut, and what the test itself adds.
const NOT_COMPARED: &[&str] = &[
    "date",
    "connection",
    "keep-alive",
    "content-length",
    "transfer-encoding",
    echo::ASK,
    strip::ROUTE,
];

/// Mixtures for each listener, and the most requests that a listener of a scenario gets.
const RANDOM: usize = 40;
const MOST: usize = 250;

/// Requests to each route that draws.
const DRAWS: u32 = 300;

/// Sends a request, and gives what came back and the address of the workload.
fn send(client: &mut Client, request: &Request, case: &Case) -> (Answer, Option<SocketAddr>) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let ask = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
    let mut marked = request.clone();
    marked.headers.push((echo::ASK.to_owned(), ask.clone()));
    let mut answer = match client.send(&marked.method, &marked.wire()) {
        Ok(response) => Answer::new(&response),
        Err(error) => Answer::none(error.to_string()),
    };
    // The answer is here, so whoever was to give it has been asked; copies for mirrors may still be under way.
    let asked = echo::asked(&ask);
    answer.attempts = asked.len();
    if answer.seen.is_none() && answer.echoed {
        answer.seen = asked.last().cloned();
    }
    let mut address = None;
    if let Some(seen) = &mut answer.seen {
        address = seen.cluster.parse::<SocketAddr>().ok();
        if let Some(names) = address.and_then(|address| case.book.get(&address.ip())) {
            seen.cluster = names.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
        }
    }
    (answer, address)
}

/// Sends all requests of a case.
pub(crate) fn ask(case: &Case, scores: &mut Scores) {
    let feature = case
        .name
        .rsplit_once('/')
        .map_or(case.name.as_str(), |(feature, _)| feature);
    for door in &case.doors {
        let mut list = requests::derive(
            &door.routes,
            door.meant,
            false,
            RANDOM,
            &changed_headers(&door.routes)[0],
        );
        list.extend(policy::requests(&door.routes, door.meant));
        if feature.starts_with("scenario/") && list.len() > MOST {
            // Some of each kind.
            let all = list.len();
            let kept = (0..MOST).map(|number| list[number * all / MOST].clone()).collect();
            list = kept;
        }
        let mut pair = Asked::new(case, door);
        for request in list {
            pair.one(&request, scores, feature);
        }
        pair.shares(scores, feature);
    }
}

/// The same listener of all proxies.
struct Asked<'a> {
    case: &'a Case,
    door: &'a Door,
    envoy: Client,
    apisix: [Client; 2],
    /// A request for each route that draws among clusters or endpoints.
    drawn: BTreeMap<(Option<usize>, Option<usize>), Request>,
}

/// Whether the routes of a virtual host are taken by chance.
fn by_chance(routes: &RouteConfiguration, host: Option<usize>) -> bool {
    let host = host.and_then(|host| routes.virtual_hosts.get(host));
    host.is_some_and(|host| {
        let mut conditions = host.routes.iter().filter_map(|route| route.r#match.as_ref());
        conditions.any(|conditions| conditions.runtime_fraction.is_some()) || host.routes.iter().any(fault::by_chance)
    })
}

impl<'a> Asked<'a> {
    fn new(case: &'a Case, door: &'a Door) -> Self {
        let client = |address| Client::new(SocketAddr::new(address, door.port));
        Self {
            case,
            door,
            envoy: client(ENVOY),
            apisix: TARGETS.map(|(.., address)| client(address)),
            drawn: BTreeMap::new(),
        }
    }

    /// One request to all.
    fn one(&mut self, request: &Request, scores: &mut Scores, feature: &str) {
        let Self { case, door, .. } = *self;
        let (left, _) = send(&mut self.envoy, request, case);
        let spot = Spot::new(&door.listener, &door.routes, request, &left);
        let place = (spot.host, spot.route);
        // nginx takes a host with a dot at its end for another one.
        let tame = tame::host(&request.host);
        if by_chance(&door.routes, spot.host) || by_chance(&door.routes, by_name(&door.routes, &tame)) {
            if tame == request.host {
                self.drawn.entry(place).or_insert_with(|| request.clone());
            }
            return;
        }
        let balances = feature.starts_with("endpoint") || feature.starts_with("cluster");
        if left.seen.is_some() && (spot.weighted().len() > 1 || balances) {
            self.drawn.entry(place).or_insert_with(|| request.clone());
        }
        for (target, (kind, name, ..)) in TARGETS.iter().enumerate() {
            let (right, _) = send(&mut self.apisix[target], request, case);
            let court = Court {
                listener: &door.listener,
                routes: &door.routes,
                findings: &case.translated[target].findings,
                compared: Compared::AllBut(NOT_COMPARED),
                target: *kind,
            };
            let score = scores.of.entry((feature.to_owned(), name)).or_default();
            let envoy = &mut self.envoy;
            let verdict = court.judge(request, [&left, &right], |request| send(envoy, request, case).0);
            count(score, verdict, || {
                format!(
                    "  {}, listener {}, virtual host {:?}, route {:?}\n    {}\n    Envoy:  {}\n    APISIX: {}",
                    case.name,
                    door.listener,
                    place.0,
                    place.1,
                    curl(request),
                    told(&left),
                    told(&right)
                )
            });
        }
    }

    /// How often each endpoint is chosen, or each answer given, where chance decides.
    fn shares(&mut self, scores: &mut Scores, feature: &str) {
        let Self { case, door, .. } = *self;
        for request in std::mem::take(&mut self.drawn).values() {
            let draw = |client: &mut Client| {
                let mut counts: BTreeMap<String, u32> = BTreeMap::new();
                for _ in 0..DRAWS {
                    let (answer, address) = send(client, request, case);
                    let what = address.map_or_else(|| answer.status.to_string(), |address| address.to_string());
                    *counts.entry(what).or_default() += 1;
                }
                counts
            };
            let left = draw(&mut self.envoy);
            // Faults name no route, and a fault was not all that was answered.
            let mut asked = (0..20).map(|_| send(&mut self.envoy, request, case).0);
            let names = |answer: &Answer| answer.headers.contains_key(strip::ROUTE);
            let answer = asked
                .find(names)
                .unwrap_or_else(|| send(&mut self.envoy, request, case).0);
            for (target, (kind, name, ..)) in TARGETS.iter().enumerate() {
                let right = draw(&mut self.apisix[target]);
                let (other, _) = send(&mut self.apisix[target], request, case);
                let score = scores.of.entry((feature.to_owned(), name)).or_default();
                let verdict = if alike(&left, &right) {
                    Ok(BTreeSet::new())
                } else {
                    let spot = Spot::new(&door.listener, &door.routes, request, &answer);
                    let found = BTreeSet::from([Aspect::Shares]);
                    let findings = &case.translated[target].findings;
                    crate::compare::explained(spot, request, [&answer, &other], &found, findings, *kind)
                };
                count(score, verdict, || {
                    format!(
                        "  {}: {}\n    Envoy:  {left:?}\n    APISIX: {right:?}",
                        case.name,
                        curl(request)
                    )
                });
            }
        }
    }
}

fn count(score: &mut Score, verdict: Result<BTreeSet<&'static str>, BTreeSet<Aspect>>, text: impl FnOnce() -> String) {
    score.sent += 1;
    match verdict {
        Ok(rules) if rules.is_empty() => score.equal += 1,
        Ok(rules) => *score.named.entry(rules).or_default() += 1,
        Err(aspects) => score.unnamed.entry(aspects).or_default().push(text()),
    }
}

/// Whether two samples of the same size may be of the same distribution: chi-square, which is that far off once in a million.
fn alike(left: &BTreeMap<String, u32>, right: &BTreeMap<String, u32>) -> bool {
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let count = |of: &BTreeMap<String, u32>, name: &String| f64::from(of.get(name).copied().unwrap_or_default());
    let sum: f64 = names
        .iter()
        .map(|name| {
            let (a, b) = (count(left, name), count(right, name));
            (a - b).powi(2) / (a + b)
        })
        .sum();
    let freedom = f64::from(u32::try_from(names.len()).expect("few")) - 1.0;
    sum <= freedom + 5.5 * (2.0 * freedom).sqrt() + 15.0
}

/// A request as one types it.
fn curl(request: &Request) -> String {
    let mut text = format!("curl -X {} -H 'Host: {}'", request.method, request.host);
    for (name, value) in &request.headers {
        let _ = write!(text, " -H '{name}: {value}'");
    }
    let _ = write!(text, " --path-as-is '{}'", request.target);
    text
}

/// An answer on one line.
fn told(answer: &Answer) -> String {
    let mut text = answer.status.to_string();
    let headers = |text: &mut String, of: &BTreeMap<String, Vec<String>>| {
        for (name, values) in of {
            if !NOT_COMPARED.contains(&name.as_str()) {
                let _ = write!(text, " {name}: {};", values.join(" | "));
            }
        }
    };
    headers(&mut text, &answer.headers);
    if !answer.body.is_empty() {
        let _ = write!(text, " {:?}", answer.body.chars().take(80).collect::<String>());
    }
    if let Some(seen) = &answer.seen {
        let _ = write!(text, " <- {} {} {}", seen.cluster, seen.method, seen.target);
        headers(&mut text, &seen.headers);
    }
    text
}
