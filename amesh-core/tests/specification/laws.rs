//! The laws of plans and updates, over random histories of the resources of all fixtures.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use amesh_core::apisix::{Key, Kind, Object, Objects};
use amesh_core::finding::ResourceName;
use amesh_core::{
    Change, ChangeSet, Finding, Options, Resource, Snapshot, Target, Translation, Update, Updated, coverage, plan,
    translate,
};
use proptest::prelude::*;

use crate::fixture;

/// The resources of all fixtures: many share a name, so that one takes the place of another.
static RESOURCES: LazyLock<Vec<Resource>> = LazyLock::new(|| {
    let steps = fixture::files(".in.yaml")
        .into_iter()
        .map(|path| fixture::Fixture::read(&path));
    steps.flat_map(|fixture| fixture.resources).collect()
});

/// A step of a history: which resources are put, and which of those that may be there are removed.
type Step = (Vec<prop::sample::Index>, Vec<prop::sample::Index>);

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    prop::collection::vec(
        (some(), prop::collection::vec(any::<prop::sample::Index>(), 0..3)),
        1..8,
    )
}

fn update(step: &Step) -> Update {
    let (put, removed) = step;
    let name = |resource: &Resource| ResourceName {
        kind: resource.body.kind(),
        name: resource.name.clone(),
    };
    Update {
        put: put.iter().map(|index| index.get(&RESOURCES).clone()).collect(),
        removed: removed.iter().map(|index| name(index.get(&RESOURCES))).collect(),
    }
}

fn options(permit: bool, amesh: bool) -> Options {
    let mut options = Options::default();
    if amesh {
        options.target = Target::Amesh;
    }
    if permit {
        options.permitted = coverage::rules().iter().map(|rule| rule.name.to_owned()).collect();
    }
    options
}

/// Findings as short texts, which a failure can show.
fn texts(translation: &Translation) -> BTreeSet<String> {
    translation.findings().into_iter().map(text).collect()
}

fn text(finding: &Finding) -> String {
    let Finding {
        rule,
        resource,
        path,
        detail,
        ..
    } = finding;
    format!("{} {resource} {path} {detail:?}", rule.name)
}

/// Takes up which findings have come and gone; each must be news.
fn follow(found: &mut BTreeSet<String>, updated: &Updated) {
    for finding in &updated.gone {
        assert!(found.remove(&text(finding)), "was not there: {}", text(finding));
    }
    for finding in &updated.come {
        assert!(found.insert(text(finding)), "was there before: {}", text(finding));
    }
}

/// The ids that an object refers to.
fn referred(object: &Object) -> Vec<Key> {
    let Object::Route(route) = object else {
        return Vec::new();
    };
    let split = route.plugins.traffic_split.iter().flat_map(|split| &split.rules);
    let members = split
        .flat_map(|rule| &rule.weighted_upstreams)
        .map(|member| &member.upstream_id);
    let ids = route.upstream_id.iter().chain(members);
    ids.map(|id| Key {
        kind: Kind::Upstreams,
        id: id.clone(),
    })
    .collect()
}

/// Does the steps one by one; nothing may ever refer to what is not there.
fn replay(objects: &mut Objects, changes: &ChangeSet) {
    let mut seen = BTreeSet::new();
    for change in &changes.changes {
        assert!(seen.insert(change.key().clone()), "{} is changed twice", change.key());
        match change {
            Change::Put { key, object } => {
                assert_ne!(objects.get(key), Some(object), "{key} is put unchanged");
                objects.insert(key.clone(), Arc::clone(object));
            }
            Change::Remove { key } => {
                assert!(objects.remove(key).is_some(), "{key} is removed and was not there");
            }
        }
        for (key, object) in objects.iter() {
            for target in referred(object) {
                assert!(
                    objects.contains_key(&target),
                    "{key} refers to {target}, which is not there"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn updates_give_what_the_final_snapshot_gives(history in histories(), permit: bool, amesh: bool) {
        let options = options(permit, amesh);
        let mut snapshot = Snapshot::new();
        let mut translation = translate(&snapshot, &options);
        let mut served = Objects::new();
        let mut found = texts(&translation);
        for step in &history {
            let update = update(step);
            let dirty = snapshot.apply(update.clone());
            let updated = translation.update(&snapshot, &dirty);
            replay(&mut served, &updated.changes);
            follow(&mut found, &updated);

            let scratch = translate(&snapshot, &options);
            prop_assert_eq!(translation.objects(), scratch.objects());
            prop_assert_eq!(texts(&translation), texts(&scratch));
            prop_assert_eq!(&served, scratch.objects());
            prop_assert_eq!(&found, &texts(&scratch));

            // The same again, as after a reconnect, changes nothing.
            let again = Update { put: update.put.into_iter().rev().collect(), removed: Vec::new() };
            let held: Vec<Resource> = again.put.iter().filter_map(|resource| {
                snapshot.get(&ResourceName { kind: resource.body.kind(), name: resource.name.clone() }).cloned()
            }).collect();
            let dirty = snapshot.apply(Update { put: held, removed: Vec::new() });
            prop_assert!(dirty.is_empty());
            prop_assert!(translation.update(&snapshot, &dirty).is_empty());
        }
    }

    #[test]
    fn the_order_of_resources_does_not_matter(indices in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        // Of resources with one name the last counts, so names must be different here.
        let mut seen = BTreeSet::new();
        let mut resources: Vec<Resource> = indices.iter().map(|index| index.get(&RESOURCES).clone()).collect();
        resources.retain(|resource| seen.insert((resource.body.kind(), resource.name.clone())));
        let forward = translate(&Snapshot::from_resources(resources.clone()), &Options::default());
        resources.reverse();
        let backward = translate(&Snapshot::from_resources(resources), &Options::default());
        prop_assert_eq!(forward.objects(), backward.objects());
        prop_assert_eq!(forward.findings(), backward.findings());
    }

    #[test]
    fn a_plan_leads_from_old_to_new(old in histories(), new in histories()) {
        let objects = |history: &[Step]| {
            let mut snapshot = Snapshot::new();
            for step in history {
                snapshot.apply(update(step));
            }
            translate(&snapshot, &Options::default()).objects().clone()
        };
        let (old, new) = (objects(&old), objects(&new));
        let mut served = old.clone();
        replay(&mut served, &plan(&old, &new));
        prop_assert_eq!(&served, &new);
        prop_assert!(plan(&new, &new).is_empty());
    }
}
