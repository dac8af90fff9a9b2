//! The coverage table tells the truth: no field is missing from it, and each row is proven by clearing the field.

use std::collections::{BTreeMap, BTreeSet};

use amesh_core::coverage::{self, Fate};
use amesh_core::{Finding, ResourceType, Target, dump};
use prost_reflect::DynamicMessage;

use crate::fixture::{self, Fixture, Given, TARGETS};
use crate::reflect::{self, Ablation, Field};

/// The types that come to a proxy as resources of their own and are carried over.
const ROOTS: [ResourceType; 4] = [
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
    ResourceType::Cluster,
    ResourceType::ClusterLoadAssignment,
];

fn rows(target: Target) -> BTreeMap<Field, Fate> {
    let mut rows = BTreeMap::new();
    for feature in coverage::features() {
        for message in feature.messages {
            for field in message.fields {
                let name = (message.name.to_owned(), field.name.to_owned());
                assert!(
                    rows.insert(name, field.fate(target)).is_none(),
                    "{}.{} has two rows",
                    message.name,
                    field.name
                );
            }
        }
    }
    rows
}

fn extensions() -> BTreeSet<&'static str> {
    coverage::features()
        .iter()
        .flat_map(|feature| feature.extensions)
        .map(|extension| extension.message)
        .collect()
}

fn messages() -> BTreeSet<&'static str> {
    coverage::features()
        .iter()
        .flat_map(|feature| feature.messages)
        .map(|message| message.name)
        .collect()
}

/// Whether rows of its own are wanted for what a field holds: not below a field that is refused or ignored as a whole.
fn enters(rows: &BTreeMap<Field, Fate>, field: &Field) -> bool {
    matches!(rows.get(field), Some(Fate::Exact { .. } | Fate::Approximate { .. }))
}

#[test]
fn every_message_with_rows_has_one_for_every_field() {
    let mut wrong = Vec::new();
    let rows = rows(Target::Native);
    for message in messages() {
        let descriptor = reflect::pool()
            .get_message_by_name(message)
            .unwrap_or_else(|| panic!("no message {message}"));
        let fields: BTreeSet<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
        let owned: BTreeSet<String> = rows
            .keys()
            .filter(|(of, _)| of == message)
            .map(|(_, field)| field.clone())
            .collect();
        wrong.extend(
            fields
                .difference(&owned)
                .map(|field| format!("{message}.{field} has no row")),
        );
        wrong.extend(
            owned
                .difference(&fields)
                .map(|field| format!("{message}.{field} is no field")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_message_that_can_be_reached_has_rows() {
    for target in TARGETS {
        reached_messages_have_rows(&rows(target));
    }
}

fn reached_messages_have_rows(rows: &BTreeMap<Field, Fate>) {
    let known = messages();
    let mut missing = BTreeSet::new();
    let mut seen = BTreeSet::new();
    // Configurations of extensions are reached through `Any`, so those with rows count as roots.
    let mut todo: Vec<String> = ROOTS
        .iter()
        .map(|kind| kind.message().to_owned())
        .chain(known.iter().map(|name| (*name).to_owned()))
        .collect();
    while let Some(name) = todo.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if !known.contains(name.as_str()) {
            missing.insert(name);
            continue;
        }
        for field in reflect::pool().get_message_by_name(&name).unwrap().fields() {
            let Some(below) = reflect::holds(&field) else { continue };
            if enters(rows, &reflect::named(&field)) && !below.full_name().starts_with("google.protobuf.") {
                todo.push(below.full_name().to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "messages without rows: {missing:#?}");
}

/// The messages with rows that are looked into on a target: none that only fields hold that are refused or ignored as a
/// whole there.
fn entered(rows: &BTreeMap<Field, Fate>) -> BTreeSet<&'static str> {
    let known = messages();
    let (mut held, mut entered) = (BTreeSet::new(), BTreeSet::new());
    for name in &known {
        for field in reflect::pool().get_message_by_name(name).unwrap().fields() {
            let Some(below) = reflect::holds(&field) else { continue };
            held.insert(below.full_name().to_owned());
            if enters(rows, &reflect::named(&field)) {
                entered.insert(below.full_name().to_owned());
            }
        }
    }
    known
        .into_iter()
        .filter(|name| entered.contains(*name) || !held.contains(*name))
        .collect()
}

/// Whether to look into a message: a field that is carried over holds it, and it has rows of its own.
fn look_into(rows: &BTreeMap<Field, Fate>, known: &BTreeSet<&str>, field: &Field, below: &DynamicMessage) -> bool {
    if !enters(rows, field) {
        return false;
    }
    let name = if reflect::is_any(below) {
        reflect::inside(below).map(|inner| inner.descriptor_name())
    } else {
        Some(below.descriptor_name())
    };
    name.is_some_and(|name| known.contains(name.as_str()))
}

trait Named {
    fn descriptor_name(&self) -> String;
}

impl Named for DynamicMessage {
    fn descriptor_name(&self) -> String {
        use prost_reflect::ReflectMessage as _;
        self.descriptor().full_name().to_owned()
    }
}

/// What a fixture gives with one of its resources in another form; nothing when Envoy would refuse that form.
fn given(fixture: &Fixture, index: usize, form: &DynamicMessage) -> Option<Given> {
    let mut resources = fixture.resources.clone();
    resources[index] = reflect::resource(form).ok()?;
    Some(fixture::translated(&resources, &fixture.options))
}

/// Which rows a fixture proves; lies are added to `wrong`.
fn prove(
    fixture: &Fixture,
    rows: &BTreeMap<Field, Fate>,
    known: &BTreeSet<&str>,
    wrong: &mut Vec<String>,
) -> BTreeSet<Field> {
    let mut proven = BTreeSet::new();
    let base = fixture::translated(&fixture.resources, &fixture.options);
    for (index, original) in fixture.resources.iter().enumerate() {
        let message = reflect::message(original);
        let enter = |field: &Field, below: &DynamicMessage| look_into(rows, known, field, below);
        for Ablation {
            field,
            without,
            replaced,
        } in reflect::ablations(&message, &enter)
        {
            let Some(fate) = rows.get(&field) else { continue };
            let cleared = given(fixture, index, &without);
            let holds = match fate {
                Fate::Exact { .. } | Fate::Approximate { .. } => cleared.as_ref() != Some(&base),
                Fate::Unsupported { rule } => {
                    let reports = |given: &Given| -> Vec<Finding> {
                        given
                            .findings
                            .iter()
                            .filter(|finding| finding.rule == *rule)
                            .cloned()
                            .collect()
                    };
                    cleared.map_or_else(Vec::new, |given| reports(&given)) != reports(&base)
                }
                // Where Envoy wants a value, any other must do as well.
                Fate::Irrelevant { .. } => {
                    let other = cleared.or_else(|| given(fixture, index, replaced.as_ref()?));
                    if other.as_ref().is_some_and(|other| *other != base) {
                        let (message, name) = &field;
                        wrong.push(format!(
                            "{message}.{name} is irrelevant, but matters in {}",
                            fixture.path.display()
                        ));
                    }
                    other.is_some()
                }
            };
            if holds {
                proven.insert(field);
            }
        }
    }
    proven
}

#[test]
fn every_row_is_proven_by_a_fixture_and_dumps_use_no_field_without_one() {
    for target in TARGETS {
        every_row_is_proven(target);
    }
}

fn every_row_is_proven(target: Target) {
    let (rows, known, whole) = (rows(target), messages(), extensions());
    let mut wrong = Vec::new();
    let mut proven = BTreeSet::new();
    for mut fixture in fixture::features() {
        fixture.options.target = target;
        proven.extend(prove(&fixture, &rows, &known, &mut wrong));
    }
    let mut used = BTreeSet::new();
    for (name, bytes) in fixture::scenarios() {
        for resource in dump::read(&bytes)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .resources
        {
            if ROOTS.contains(&resource.body.kind()) {
                reflect::used(
                    &reflect::message(&resource),
                    &|field, below| look_into(&rows, &known, field, below),
                    &mut used,
                );
            }
        }
    }
    wrong.extend(
        used.iter()
            .filter(|field| !rows.contains_key(*field))
            .map(|(message, field)| format!("{message}.{field} is in a captured dump and has no row")),
    );
    let entered = entered(&rows);
    let unproven = rows
        .keys()
        .filter(|field| entered.contains(field.0.as_str()) && !proven.contains(*field));
    wrong.extend(unproven.map(|(message, field)| format!("no fixture proves the row of {message}.{field}")));
    println!(
        "{target:?}: {} rows, all proven by fixtures; {} used by captured dumps; {} extensions",
        rows.len(),
        used.len(),
        whole.len()
    );
    assert!(wrong.is_empty(), "{target:?}: {wrong:#?}");
}

#[test]
fn names_of_rules_are_kebab_case_and_unique() {
    let mut names = BTreeMap::new();
    for rule in coverage::rules() {
        assert!(
            rule.name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "{}",
            rule.name
        );
        assert!(
            !rule.summary.ends_with('.'),
            "{}: the summary is no sentence of its own",
            rule.name
        );
        names.insert(rule.name, rule);
    }
    // `rules` keeps one of each name; two rules of one name would hide each other.
    for feature in coverage::features() {
        let rows = feature
            .messages
            .iter()
            .flat_map(|message| message.fields)
            .flat_map(|field| [field.native, field.amesh])
            .filter_map(Fate::rule);
        for rule in rows.chain(feature.rules.iter().copied()) {
            assert_eq!(names.get(rule.name), Some(&rule), "two rules are named {}", rule.name);
        }
    }
}

#[test]
fn features_are_sorted_and_named_after_their_files() {
    let names: Vec<&str> = coverage::features().iter().map(|feature| feature.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    for name in names {
        let source = format!("{}/src/translate/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let other = format!("{}/src/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(
            std::path::Path::new(&source).exists() || std::path::Path::new(&other).exists(),
            "{name} has no file"
        );
    }
}
