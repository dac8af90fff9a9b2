//! The registry: what becomes of every field of every message that Amesh knows.
//!
//! Each feature of [`translate`](crate::translate()) declares the fields it owns. The union of those tables must equal
//! Envoy's own descriptors, which a test checks, so a field cannot be forgotten; and fixtures prove each row by
//! clearing the field and looking at what changes.

mod used;

pub use crate::feature::{Extension, Fate, Feature, Field, Message};
use crate::finding::Rule;

pub use used::{Used, used_fields};

/// Every feature of the translator, sorted by name.
#[must_use]
pub fn features() -> &'static [&'static Feature] {
    crate::translate::FEATURES
}

/// Every rule that can be reported, sorted by name, each once.
#[must_use]
pub fn rules() -> Vec<&'static Rule> {
    let mut rules: Vec<&'static Rule> = features()
        .iter()
        .flat_map(|feature| {
            let rows = feature
                .messages
                .iter()
                .flat_map(|message| message.fields)
                .flat_map(|field| [field.native, field.amesh]);
            let extensions = feature
                .extensions
                .iter()
                .flat_map(|extension| [extension.native, extension.amesh]);
            rows.chain(extensions)
                .filter_map(Fate::rule)
                .chain(feature.rules.iter().copied())
        })
        .collect();
    rules.sort_by_key(|rule| rule.name);
    rules.dedup_by_key(|rule| rule.name);
    rules
}

/// The rule of that name.
#[must_use]
pub fn rule(name: &str) -> Option<&'static Rule> {
    rules().into_iter().find(|rule| rule.name == name)
}

/// The row of a field, with the feature that owns it.
#[must_use]
pub fn field(message: &str, field: &str) -> Option<(&'static Feature, &'static Field)> {
    features().iter().find_map(|feature| {
        let rows = feature
            .messages
            .iter()
            .filter(|owned| owned.name == message)
            .flat_map(|owned| owned.fields);
        rows.into_iter()
            .find(|row| row.name == field)
            .map(|row| (*feature, row))
    })
}

/// The row of an extension that is taken or refused as a whole, with the feature that owns it.
#[must_use]
pub fn extension(message: &str) -> Option<(&'static Feature, &'static Extension)> {
    features().iter().find_map(|feature| {
        let mut rows = feature.extensions.iter();
        rows.find(|row| row.message == message).map(|row| (*feature, row))
    })
}
