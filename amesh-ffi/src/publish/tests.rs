//! The writer beside readers, with dictionaries that are full, fail and end.

mod reader;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use amesh_core::apisix::{Balancer, Id, Object, Objects, PassHost, Plugins, Route, Scheme, Upstream};
use amesh_core::plan;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::{Failure, Publisher};
use crate::zone::Error;
use crate::zone::fake::{Fake, Value, World, zones};
use reader::{Follower, Stock, check_manifest, check_references, everything};

const NOW: u64 = 1_764_000_000_000;

/// The smallest objects, with a name of some length.
fn upstream(id: &str, size: usize) -> Object {
    Object::Upstream(Box::new(Upstream {
        id: Id::of(id),
        name: Some("x".repeat(size)),
        labels: None,
        balancer: Balancer::RoundRobin,
        key: None,
        scheme: Scheme::Http,
        pass_host: PassHost::Pass,
        nodes: Vec::new(),
        timeout: None,
        retries: None,
        keepalive_pool: None,
        checks: None,
    }))
}

fn route(id: &str, size: usize, upstream: &str) -> Object {
    Object::Route(Box::new(Route {
        id: Id::of(id),
        name: Some("x".repeat(size)),
        uri: Cow::Borrowed("/*"),
        hosts: None,
        priority: 0,
        vars: Vec::new(),
        enable_websocket: None,
        timeout: None,
        upstream_id: Some(Id::of(upstream)),
        plugins: Plugins::default(),
    }))
}

fn objects(list: impl IntoIterator<Item = Object>) -> Objects {
    list.into_iter()
        .map(|object| (object.key(), Arc::new(object)))
        .collect()
}

fn json(objects: &Objects) -> BTreeMap<String, Json> {
    let value = |object: &Object| serde_json::to_value(object).expect("JSON");
    objects
        .iter()
        .map(|(key, object)| (key.to_string(), value(object)))
        .collect()
}

fn world(capacity: usize) -> RefCell<World> {
    RefCell::new(World {
        capacity,
        ..World::default()
    })
}

fn publisher<'w>(world: &'w RefCell<World>, owner: &str) -> Publisher<Fake<'w>> {
    let [config, version] = zones(world, |_| {});
    Publisher::adopt(config, version, owner).expect("it is taken over")
}

fn number(world: &RefCell<World>, key: &str) -> Option<f64> {
    match world.borrow().version.get(key) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 need 41 bits")]
fn number_of(version: u64) -> f64 {
    version as f64
}

fn journal(world: &RefCell<World>, version: u64) -> Option<String> {
    match world.borrow().version.get(&format!("journal/{}", version % 1024)) {
        Some(Value::Text(text)) => Some(String::from_utf8(text.clone()).expect("text")),
        _ => None,
    }
}

#[test]
fn an_empty_mesh_is_published_once() {
    let world = world(1 << 20);
    let mut publisher = publisher(&world, "a");
    publisher.want_only(&Objects::new());
    let published = publisher.publish(NOW).unwrap().unwrap();
    assert_eq!((published.version, published.changed), (NOW, 0));
    assert_eq!(
        world.borrow().config.get("/_sentinel"),
        Some(&Value::Text(b"{}".to_vec()))
    );
    assert_eq!(publisher.publish(NOW), Ok(None));
    assert!(!publisher.is_behind());
}

#[test]
fn a_change_writes_one_value_its_entry_and_the_version() {
    let world = world(1 << 20);
    let mut publisher = publisher(&world, "a");
    let old = objects((0..100).map(|number| upstream(&format!("u{number}"), 10)));
    publisher.want_only(&old);
    publisher.publish(NOW).unwrap();
    let mut new = old.clone();
    new.extend(objects([upstream("u7", 12)]));
    let before = world.borrow().writes;
    publisher.want(&plan(&old, &new));
    let published = publisher.publish(NOW).unwrap().unwrap();
    assert_eq!((published.version, published.changed), (NOW + 1, 1));
    assert_eq!(journal(&world, NOW + 1), Some(format!("{}\n/upstreams/u7", NOW + 1)));
    // The value, the entry, `begun` and `version`.
    assert_eq!(world.borrow().writes - before, 4);
}

#[test]
fn a_successor_writes_differences_alone() {
    let world = world(1 << 20);
    let old = objects([upstream("a", 10), upstream("b", 10), route("r", 1, "a")]);
    let mut first = publisher(&world, "first");
    first.want_only(&old);
    first.publish(NOW).unwrap();

    let before = world.borrow().config.clone();
    let mut second = publisher(&world, "second");
    second.want_only(&old);
    assert_eq!(second.publish(NOW), Ok(None));
    assert_eq!(world.borrow().config, before);
    assert_eq!(second.counts(), BTreeMap::from([("upstreams", 2), ("routes", 1)]));

    let mut third = publisher(&world, "third");
    third.want_only(&objects([upstream("a", 11), route("r", 1, "a")]));
    let published = third.publish(NOW).unwrap().unwrap();
    assert_eq!((published.version, published.everything), (NOW + 1, false));
    assert_eq!(
        journal(&world, NOW + 1),
        Some(format!("{}\n/upstreams/a\n/upstreams/b", NOW + 1))
    );
    assert!(!world.borrow().config.contains_key("/upstreams/b"));
    // The one before does nothing any more.
    first.want_only(&old);
    assert_eq!(first.publish(NOW), Err(Failure::Superseded));
    assert_eq!(second.tell("{}"), Err(Failure::Superseded));
}

#[test]
fn after_a_half_publish_everything_is_compared() {
    let world = world(1 << 20);
    let old = objects([upstream("a", 10)]);
    let new = objects([upstream("a", 20)]);
    let mut first = publisher(&world, "first");
    first.want_only(&old);
    first.publish(NOW).unwrap();
    first.want(&plan(&old, &new));
    // All is written but the version.
    let calls = world.borrow().calls;
    let mut probe = 0;
    while !world.borrow().config["/upstreams/a"].eq(&Value::Text(serde_json::to_vec(&upstream("a", 20)).unwrap())) {
        probe += 1;
        world.borrow_mut().calls = calls;
        world.borrow_mut().end = Some(calls + probe);
        assert!(first.publish(NOW).is_err());
    }
    world.borrow_mut().end = None;
    let mut second = publisher(&world, "second");
    second.want_only(&new);
    let published = second.publish(NOW).unwrap().unwrap();
    assert!(published.everything);
    assert_eq!(journal(&world, NOW + 1), Some(format!("{}\n*", NOW + 1)));
    assert_eq!(number(&world, "begun"), number(&world, "version"));
}

#[test]
fn a_version_that_the_writer_before_still_announced_is_not_used_again() {
    let world = world(1 << 20);
    let mut first = publisher(&world, "first");
    first.want_only(&objects([upstream("a", 10)]));
    first.publish(NOW).unwrap();
    let mut second = publisher(&world, "second");
    second.want_only(&objects([upstream("a", 20), route("r", 1, "a")]));
    // The second has begun when the first announces what it had written.
    let mut calls = 0;
    while number(&world, "begun") == number(&world, "version") {
        let from = world.borrow().calls;
        world.borrow_mut().fail = from + calls..usize::MAX;
        assert!(second.publish(NOW).is_err());
        calls += 1;
    }
    world.borrow_mut().fail = 0..0;
    world
        .borrow_mut()
        .version
        .insert("version".to_owned(), Value::Number(number_of(NOW + 1)));
    let published = second.publish(NOW).unwrap().unwrap();
    assert_eq!((published.version, published.everything), (NOW + 2, true));
}

#[test]
fn what_does_not_fit_leaves_what_was_and_is_not_announced() {
    let world = world(8 << 10);
    let old = objects([upstream("a", 10), upstream("b", 10)]);
    let mut publisher = publisher(&world, "a");
    publisher.want_only(&old);
    publisher.publish(NOW).unwrap();
    let before = world.borrow().config.clone();
    let large = objects([upstream("a", 10), upstream("b", 9000)]);
    publisher.want(&plan(&old, &large));
    let failure = publisher.publish(NOW).unwrap_err();
    assert_eq!(failure.to_string(), "/upstreams/b: no memory");
    assert!(publisher.is_behind());
    assert_eq!(world.borrow().config, before);
    assert_eq!(number(&world, "version"), Some(number_of(NOW)));
    // What fits is published, and what did not is not.
    let small = objects([upstream("a", 20)]);
    publisher.want(&plan(&large, &small));
    publisher.publish(NOW).unwrap().unwrap();
    assert_eq!(everything(&world.borrow()), json(&small));
}

#[test]
fn a_value_that_is_given_up_is_put_back() {
    let world = world(1 << 20);
    let old = objects([upstream("a", 10)]);
    let mut publisher = publisher(&world, "a");
    publisher.want_only(&old);
    publisher.publish(NOW).unwrap();
    world.borrow_mut().deceit = Some("/upstreams/a".to_owned());
    publisher.want(&plan(&old, &objects([upstream("a", 500)])));
    assert_eq!(
        publisher.publish(NOW),
        Err(Failure::Store {
            key: "/upstreams/a".to_owned(),
            error: Error::Full
        })
    );
    assert_eq!(everything(&world.borrow()), json(&old));
}

#[test]
fn what_somebody_else_spoils_is_found_and_repaired() {
    let world = world(1 << 20);
    let wanted = objects([upstream("a", 10), upstream("b", 10)]);
    let mut publisher = publisher(&world, "a");
    publisher.want_only(&wanted);
    publisher.publish(NOW).unwrap();
    assert_eq!(publisher.audit(), Ok(0));
    let manifest = super::part_key(super::part_of("/upstreams/a"));
    {
        let config = &mut world.borrow_mut().config;
        config.insert("/upstreams/a".to_owned(), Value::Text(b"{}".to_vec()));
        config.remove("/upstreams/b");
        config.remove(&manifest);
        config.remove("/_sentinel");
    }
    assert_eq!(publisher.audit(), Ok(2));
    let published = publisher.publish(NOW).unwrap().unwrap();
    assert_eq!((published.changed, publisher.audit()), (2, Ok(0)));
    assert_eq!(everything(&world.borrow()), json(&wanted));
    assert!(world.borrow().config.contains_key(&manifest) && world.borrow().config.contains_key("/_sentinel"));
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of publishes, each like those of the other tests")]
fn a_part_of_the_manifest_that_a_kill_took_away_is_written_again() {
    let old = objects((0..40).map(|number| upstream(&format!("u{number}"), 10)));
    let new = objects((0..40).map(|number| upstream(&format!("v{number}"), 10)));
    for calls in 0.. {
        let world = world(1 << 20);
        let mut first = publisher(&world, "first");
        first.want_only(&old);
        first.publish(NOW).unwrap();
        first.want(&plan(&old, &new));
        let from = world.borrow().calls;
        world.borrow_mut().end = Some(from + calls);
        let killed = first.publish(NOW).is_err();
        world.borrow_mut().end = None;
        check_manifest(&world.borrow());
        let mut second = publisher(&world, "second");
        second.want_only(&old);
        second.publish(NOW).unwrap();
        assert_eq!(everything(&world.borrow()), json(&old), "after {calls} calls");
        assert_eq!(second.audit(), Ok(0));
        assert!(!second.is_behind());
        if !killed {
            assert!(calls > 400, "{calls}");
            break;
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "thousands of publishes, each like those of the other tests")]
fn a_reader_that_sleeps_too_long_compares_everything() {
    let world = world(1 << 20);
    let mut publisher = publisher(&world, "a");
    let mut last = Objects::new();
    publisher.want_only(&last);
    publisher.publish(NOW).unwrap();
    let mut reader = Follower::default();
    reader.finish(&world.borrow());
    for (publishes, compared) in [(1024, 1), (1025, 2), (3000, 3)] {
        for size in 0..publishes {
            let next = objects([upstream("a", size % 7 + 1), upstream("b", size % 5 + 1)]);
            publisher.want(&plan(&last, &next));
            publisher.publish(NOW).unwrap().unwrap();
            last = next;
        }
        assert_eq!(reader.finish(&world.borrow()), &json(&last));
        assert_eq!(reader.compared, compared, "{publishes}");
    }
}

#[test]
fn keys_of_kinds_that_are_not_known_are_deleted_first() {
    let world = world(1 << 20);
    let key = "/amesh_future/x";
    {
        let config = &mut world.borrow_mut().config;
        config.insert(key.to_owned(), Value::Text(b"{}".to_vec()));
        // What is no key of an object is never deleted.
        let lines = format!("{key}\n/_sentinel\n/a/b/c\nrubbish");
        config.insert(super::part_key(super::part_of(key)), Value::Text(lines.into_bytes()));
        config.insert("/_sentinel".to_owned(), Value::Text(b"{}".to_vec()));
    }
    let mut publisher = publisher(&world, "a");
    publisher.want_only(&objects([upstream("a", 1)]));
    publisher.publish(NOW).unwrap().unwrap();
    let keys: Vec<String> = world
        .borrow()
        .config
        .keys()
        .filter(|key| !key.starts_with("/_manifest"))
        .cloned()
        .collect();
    assert_eq!(keys, ["/_sentinel", "/upstreams/a"]);
}

/// What the control plane wants, as numbers: the sizes of upstreams, and for each route its size and its upstream.
type Wanted = (Vec<Option<usize>>, Vec<Option<(usize, usize)>>);

fn wanted() -> impl Strategy<Value = Wanted> {
    let size = prop_oneof![3 => 1_usize..40, 1 => 100_usize..900];
    let upstreams = prop::collection::vec(prop::option::weighted(0.8, size.clone()), 6);
    let routes = prop::collection::vec(prop::option::weighted(0.7, (size, 0_usize..6)), 6);
    (upstreams, routes)
}

/// The objects of that: routes to upstreams that are there.
fn of((upstreams, routes): &Wanted) -> Objects {
    let name = |number: usize| format!("u{number}");
    let there = upstreams
        .iter()
        .enumerate()
        .filter_map(|(number, size)| Some(upstream(&name(number), (*size)?)));
    let routes = routes.iter().enumerate().filter_map(|(number, given)| {
        let (size, to) = (*given)?;
        upstreams[to]?;
        Some(route(&format!("r{number}"), size, &name(to)))
    });
    objects(there.chain(routes))
}

/// What happens while it is published.
#[derive(Debug, Clone)]
enum Event {
    Nothing,
    /// So many calls fail after so many.
    Fail(usize, usize),
    /// The process ends after so many calls, and another comes.
    Kill(usize),
    /// Another process takes over after so many calls.
    TakeOver(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Nothing),
        1 => (0_usize..60, 1_usize..4).prop_map(|(after, calls)| Event::Fail(after, calls)),
        2 => (0_usize..120).prop_map(Event::Kill),
        1 => (0_usize..120).prop_map(Event::TakeOver),
    ]
}

/// Runs a history beside readers that read at their own pace, and looks at every step whether routes refer to what is there.
fn run(history: &[(Wanted, Event)], capacity: usize, paces: &[usize]) {
    let shared = world(capacity);
    let follower = RefCell::new((Follower::default(), 0_usize));
    let stock = RefCell::new(Stock::default());
    let after = |world: &World| {
        check_references(&everything(world));
        check_manifest(world);
        stock.borrow_mut().look(world);
        let (follower, turn) = &mut *follower.borrow_mut();
        follower.step(world, paces[*turn % paces.len()]);
        *turn += 1;
    };
    let adopt = |number: usize| {
        let [config, version] = zones(&shared, after);
        Publisher::adopt(config, version, &format!("owner {number}")).expect("it is taken over")
    };
    let mut last = Objects::new();
    let mut publisher = adopt(0);
    publisher.want_only(&last);
    for (number, (wanted, event)) in history.iter().enumerate() {
        let next = of(wanted);
        publisher.want(&plan(&last, &next));
        {
            let mut world = shared.borrow_mut();
            let calls = world.calls;
            match event {
                Event::Nothing => {}
                Event::Fail(after, count) => world.fail = calls + after..calls + after + count,
                Event::Kill(after) => world.end = Some(calls + after),
                Event::TakeOver(after) => world.usurp = Some(calls + after),
            }
        }
        // Whether it succeeds is not the question here.
        drop(publisher.publish(NOW));
        {
            let mut world = shared.borrow_mut();
            (world.end, world.fail, world.usurp) = (None, 0..0, None);
            if let Some(before) = world.usurped.take() {
                // Each of so many values may be tried, given up and stored, beside `begun` and the entry.
                let writes = world.writes - before;
                assert!(
                    writes <= 3 * super::TRUST + 2,
                    "{writes} changes after somebody took over"
                );
            }
        }
        if matches!(event, Event::Kill(_) | Event::TakeOver(_)) {
            let mut successor = adopt(number + 1);
            let writes = shared.borrow().writes;
            assert_eq!(publisher.publish(NOW), Err(Failure::Superseded));
            assert_eq!(shared.borrow().writes, writes, "nothing is written any more");
            successor.want_only(&next);
            publisher = successor;
            // It may fail for want of room; what follows is what counts.
            drop(publisher.publish(NOW));
        }
        last = next;
    }
    // With room enough and nothing in the way, readers end with what was wanted last.
    shared.borrow_mut().capacity = 1 << 20;
    publisher.publish(NOW).expect("it is published");
    assert!(!publisher.is_behind());
    let expected = json(&last);
    let world = shared.borrow();
    assert_eq!(everything(&world), expected);
    assert_eq!(follower.borrow_mut().0.finish(&world), &expected);
    assert_eq!(stock.borrow().objects, expected);
    let named = (0..super::manifest::PARTS).filter_map(|part| match world.config.get(&super::part_key(part)) {
        Some(Value::Text(text)) => Some(String::from_utf8(text.clone()).expect("text")),
        _ => None,
    });
    let mut named: Vec<String> = named
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    named.sort();
    assert_eq!(named, expected.into_keys().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes a case")]
    fn readers_see_whole_values_in_an_order_that_makes_sense_and_end_with_the_last(
        history in prop::collection::vec((wanted(), event()), 1..10),
        capacity in prop_oneof![Just(1_usize << 20), 4_000_usize..16_000],
        paces in prop::collection::vec(0_usize..4, 1..8),
    ) {
        run(&history, capacity, &paces);
    }
}
