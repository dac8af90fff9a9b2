//! Requests that a route configuration gives reason to: what each route asks for, what it does not, and mixtures.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, QueryParameterMatcher, Route, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

/// A request as the client sends it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        if self.method == "POST" {
            text.push_str("content-length: 0\r\n");
        }
        for (name, value) in &self.headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    fn give(&mut self, names: &BTreeSet<String>) {
        for name in names {
            if self.headers.iter().all(|(found, _)| found != name) {
                self.headers.push((name.clone(), "given".to_owned()));
            }
        }
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }
}

/// Values of something: some that a condition asks for, and some that it does not; `None` is absence.
#[derive(Debug, Clone, Default)]
struct Values {
    name: String,
    good: Vec<Option<String>>,
    bad: Vec<Option<String>>,
}

/// What one route asks for.
#[derive(Debug, Clone, Default)]
struct Wish {
    paths: Vec<String>,
    methods: Values,
    headers: Vec<Values>,
    query: Vec<Values>,
}

fn sample(regex: &str, count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let Ok(strategy) = proptest::string::string_regex(regex) else {
        return Vec::new();
    };
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-._~/=;".contains(c) {
            c
        } else {
            'x'
        }
    };
    let text = |_| {
        let tree = strategy.new_tree(&mut runner).expect("a sample");
        tree.current().chars().map(plain).take(60).collect()
    };
    (0..count).map(text).collect()
}

/// Texts that fit, and texts that do not.
pub(crate) fn texts(matcher: Option<&StringMatcher>) -> (Vec<String>, Vec<String>) {
    let mut bad = vec!["other".to_owned()];
    let Some(StringMatcher {
        match_pattern: Some(pattern),
        ..
    }) = matcher
    else {
        return (vec!["any".to_owned()], Vec::new());
    };
    let good = match pattern {
        MatchPattern::Exact(text) => {
            bad.extend([format!("{text}x"), text.to_ascii_uppercase(), format!("x{text}")]);
            vec![text.clone()]
        }
        MatchPattern::Prefix(text) => {
            bad.push(format!("x{text}"));
            vec![text.clone(), format!("{text}-more")]
        }
        MatchPattern::Suffix(text) => {
            bad.push(format!("{text}x"));
            vec![text.clone(), format!("more-{text}")]
        }
        MatchPattern::Contains(text) => vec![text.clone(), format!("a{text}b")],
        MatchPattern::SafeRegex(regex) => {
            let good = sample(&regex.regex, 4);
            bad.extend(good.iter().map(|text| format!("{text}!")));
            good
        }
        MatchPattern::Custom(_) => Vec::new(),
    };
    (good, bad)
}

fn values(name: &str, (good, bad): (Vec<String>, Vec<String>), inverted: bool) -> Values {
    let some = |list: Vec<String>| list.into_iter().map(Some).collect::<Vec<_>>();
    let (mut good, mut bad) = (some(good), some(bad));
    bad.push(None);
    if inverted {
        std::mem::swap(&mut good, &mut bad);
    }
    Values {
        name: name.to_owned(),
        good,
        bad,
    }
}

fn header(matcher: &HeaderMatcher) -> Values {
    let present = || (vec!["any".to_owned(), "other".to_owned()], Vec::new());
    let found = match &matcher.header_match_specifier {
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => texts(Some(matcher)),
        Some(HeaderMatchSpecifier::PresentMatch(false)) => {
            return values(&matcher.name, present(), !matcher.invert_match);
        }
        Some(HeaderMatchSpecifier::RangeMatch(range)) => (vec![range.start.to_string()], vec![range.end.to_string()]),
        _ => present(),
    };
    values(&matcher.name, found, matcher.invert_match)
}

fn query(matcher: &QueryParameterMatcher) -> Values {
    let found = match &matcher.query_parameter_match_specifier {
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => texts(Some(matcher)),
        _ => texts(None),
    };
    values(&matcher.name, found, false)
}

fn paths(conditions: &RouteMatch) -> Vec<String> {
    let beside = |text: &str| {
        // Of most paths there is one that ends with a slash.
        let whole = text;
        let text = text.strip_suffix('/').unwrap_or(text);
        let cut = &whole[..whole.len() - 1];
        vec![
            whole.to_owned(),
            format!("{text}/"),
            format!("{text}/more"),
            format!("{}x", if text.is_empty() { "/" } else { text }),
            format!("{text}//more"),
            format!("{text}/%6Dore"),
            format!("{text}/a%2Fb"),
            format!("{text}/a%20b"),
            format!("{text}/./c"),
            format!("{text}/../d"),
            format!("/x{text}"),
            format!("/{text}"),
            whole.to_ascii_uppercase(),
            if cut.is_empty() { "/".to_owned() } else { cut.to_owned() },
        ]
    };
    match &conditions.path_specifier {
        Some(PathSpecifier::Path(text) | PathSpecifier::Prefix(text) | PathSpecifier::PathSeparatedPrefix(text)) => {
            beside(text)
        }
        Some(PathSpecifier::SafeRegex(regex)) => {
            let good = sample(&regex.regex, 6);
            good.into_iter()
                .filter(|text| text.starts_with('/'))
                .flat_map(|text| [format!("{text}/"), format!("{text}!"), text])
                .collect()
        }
        _ => vec!["/".to_owned()],
    }
}

impl Wish {
    fn new(conditions: &RouteMatch) -> Self {
        let (method, headers) = conditions
            .headers
            .iter()
            .map(header)
            .partition::<Vec<_>, _>(|values| values.name.starts_with(':'));
        let methods = method.into_iter().find(|values| values.name == ":method");
        Self {
            paths: paths(conditions),
            methods: methods.unwrap_or_default(),
            headers,
            query: conditions.query_parameters.iter().map(query).collect(),
        }
    }
}

/// Names that fit a domain, and names beside it.
fn names(domain: &str) -> Vec<String> {
    let domain = domain.to_owned();
    if domain == "*" {
        vec!["unknown.example".to_owned(), "10.9.8.7".to_owned()]
    } else if let Some(suffix) = domain.strip_prefix('*') {
        vec![
            format!("a{suffix}"),
            format!("a.b{suffix}"),
            suffix.trim_start_matches('.').to_owned(),
        ]
    } else if let Some(prefix) = domain.strip_suffix('*') {
        vec![format!("{prefix}a"), format!("{prefix}a.b")]
    } else {
        vec![domain]
    }
}

/// How a client may write a host: `port` is the port that it means, which it must say where nothing else tells.
fn hosts(name: &str, port: u16, must: bool) -> Vec<String> {
    // The domains of a mesh's own routes may have a port.
    let name = name.strip_suffix(&format!(":{port}")).unwrap_or(name);
    // A name with another port, and the address of an IPv6 host.
    if name.contains(':') {
        return vec![name.to_owned(), name.to_ascii_uppercase()];
    }
    let with = format!("{name}:{port}");
    let upper = name.to_ascii_uppercase();
    if must {
        vec![with, format!("{upper}:{port}"), format!("x{name}:{port}")]
    } else {
        vec![
            name.to_owned(),
            with,
            format!("{name}:1"),
            upper,
            format!("x{name}"),
            format!("{name}."),
        ]
    }
}

struct Maker {
    random: fastrand::Rng,
}

impl Maker {
    fn one<T: Clone + Default>(&mut self, list: &[T]) -> T {
        self.random.choice(list).cloned().unwrap_or_default()
    }

    /// A request that a route asks for, but for one condition; the first is the method's.
    fn request(&mut self, host: &str, path: &str, wish: &Wish, but: Option<usize>) -> Request {
        let mut number = 0;
        let mut value = |maker: &mut Self, values: &Values| {
            let list = if but == Some(number) { &values.bad } else { &values.good };
            number += 1;
            maker.one(list)
        };
        let method = value(self, &wish.methods).filter(|method| !method.is_empty());
        let mut headers = Vec::new();
        for values in &wish.headers {
            headers.extend(value(self, values).map(|value| (values.name.clone(), value)));
        }
        let mut target = path.to_owned();
        let mut mark = '?';
        for values in &wish.query {
            if let Some(value) = value(self, values) {
                target.extend([mark.to_string(), values.name.clone(), "=".to_owned(), value]);
                mark = '&';
            }
        }
        Request {
            host: host.to_owned(),
            method: method.unwrap_or_else(|| "GET".to_owned()),
            target,
            headers,
        }
    }
}

/// A request that a route behind a port takes, if the others let it through.
pub(crate) fn plain(host: &VirtualHost, route: &Route, port: u16) -> Option<Request> {
    let mut maker = Maker {
        random: fastrand::Rng::with_seed(20),
    };
    let name = names(host.domains.first()?).first()?.clone();
    let name = hosts(&name, port, false).first()?.clone();
    let wish = Wish::new(route.r#match.as_ref()?);
    let path = wish.paths.first().filter(|path| path.starts_with('/'))?;
    Some(maker.request(&name, path, &wish, None))
}

/// Requests for a route configuration behind a port, the same ones each time; `random` of them are mixtures. Some have the
/// headers `given`, which routes change.
pub(crate) fn derive(
    routes: &RouteConfiguration,
    port: u16,
    must_say_port: bool,
    random: usize,
    given: &BTreeSet<String>,
) -> Vec<Request> {
    let mut maker = Maker {
        random: fastrand::Rng::with_seed(20),
    };
    let mut list = Vec::new();
    let (mut every_host, mut every_wish) = (vec![], vec![]);
    for host in &routes.virtual_hosts {
        let names: Vec<String> = host.domains.iter().flat_map(|domain| names(domain)).collect();
        let spelled: Vec<String> = names.iter().flat_map(|name| hosts(name, port, must_say_port)).collect();
        let wishes: Vec<Wish> = host
            .routes
            .iter()
            .filter_map(|route| route.r#match.as_ref())
            .map(Wish::new)
            .collect();
        let plain = &spelled[0];
        for wish in &wishes {
            let conditions = 1 + wish.headers.len() + wish.query.len();
            for path in &wish.paths {
                list.push(maker.request(plain, path, wish, None));
                let mut asked = maker.request(plain, path, wish, None);
                asked.target.push_str(if asked.target.contains('?') {
                    "&z=1"
                } else {
                    "?z=1&y=%20/"
                });
                asked.give(given);
                list.push(asked);
            }
            let path = wish.paths.first().map_or("/", String::as_str);
            for condition in 0..conditions {
                list.push(maker.request(plain, path, wish, Some(condition)));
                list.push(maker.request(plain, path, wish, Some(condition)));
            }
            for method in ["POST", "DELETE", "OPTIONS", "HEAD"] {
                let mut request = maker.request(plain, path, wish, None);
                method.clone_into(&mut request.method);
                list.push(request);
            }
        }
        // Every way to write every host, with what the first and the last route ask for.
        for wish in wishes.first().into_iter().chain(wishes.last()) {
            let path = wish.paths.first().map_or("/", String::as_str);
            list.extend(spelled.iter().map(|host| maker.request(host, path, wish, None)));
        }
        every_host.extend(spelled);
        every_wish.extend(wishes);
    }
    for _ in 0..random {
        let host = maker.one(&every_host);
        let [one, other] = [maker.one(&every_wish), maker.one(&every_wish)];
        let path = maker.one(&one.paths);
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let but = maker.random.usize(..4);
        let mut request = maker.request(&host, &path, &one, Some(but));
        let more = maker.request(&host, &path, &other, None);
        for (name, value) in more.headers {
            if maker.random.bool() && request.headers.iter().all(|(found, _)| *found != name) {
                request.headers.push((name, value));
            }
        }
        if maker.random.bool() {
            request.give(given);
        }
        list.push(request);
    }
    list.sort();
    list.dedup();
    list
}
