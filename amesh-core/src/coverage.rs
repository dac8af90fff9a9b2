//! The registry: what becomes of every field of every message that Amesh knows.
//!
//! Each feature of [`translate`](crate::translate()) declares the fields it owns. The union of those tables must equal
//! Envoy's own descriptors, which a test checks, so a field cannot be forgotten; and fixtures prove each row by
//! clearing the field and looking at what changes.

mod used;

use crate::finding::Rule;

pub use used::{Used, used_fields};

/// What becomes of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Carried over: APISIX does what Envoy does.
    Exact {
        /// Where the value goes in APISIX, as `upstream.nodes[].weight`.
        target: &'static str,
    },
    /// Carried over with the difference that the rule states.
    Approximate {
        /// Where the value goes in APISIX.
        target: &'static str,
        /// The difference.
        rule: &'static Rule,
    },
    /// Not carried over: the rule is reported wherever the field matters.
    Unsupported {
        /// What is reported.
        rule: &'static Rule,
    },
    /// Means nothing for this data plane.
    Irrelevant {
        /// Why.
        reason: &'static str,
    },
}

impl Fate {
    /// The fate's name: `exact`, `approximate`, `unsupported`, `irrelevant`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact { .. } => "exact",
            Self::Approximate { .. } => "approximate",
            Self::Unsupported { .. } => "unsupported",
            Self::Irrelevant { .. } => "irrelevant",
        }
    }

    /// The rule that states the difference, if there is one.
    #[must_use]
    pub const fn rule(self) -> Option<&'static Rule> {
        match self {
            Self::Approximate { rule, .. } | Self::Unsupported { rule } => Some(rule),
            Self::Exact { .. } | Self::Irrelevant { .. } => None,
        }
    }
}

/// A row of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The protobuf name of the field.
    pub name: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

/// The fields of one message that one feature owns. Several features may own parts of a message; none may share a
/// field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The full protobuf name, as `envoy.config.route.v3.RouteAction`.
    pub name: &'static str,
    /// The fields, in protobuf order.
    pub fields: &'static [Field],
}

/// The configuration of an extension, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// The full protobuf name of its message, as `envoy.extensions.filters.http.rbac.v3.RBAC`.
    pub message: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

/// A feature: one file of the translator, one folder of fixtures, one section of the coverage page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// The path of its file below `translate/` without the ending: `cluster/endpoint`.
    pub name: &'static str,
    /// One sentence: what Envoy has, what APISIX gets.
    pub summary: &'static str,
    /// The fields that this feature owns.
    pub messages: &'static [Message],
    /// Configurations of extensions that are taken or refused as a whole, so that their fields need no rows.
    pub extensions: &'static [Extension],
    /// Rules that are reported for a value or a combination and stand in no row.
    pub rules: &'static [&'static Rule],
}

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
                .filter_map(|field| field.fate.rule());
            let extensions = feature.extensions.iter().filter_map(|extension| extension.fate.rule());
            rows.chain(extensions).chain(feature.rules.iter().copied())
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

/// A field that APISIX serves as Envoy does.
pub(crate) const fn exact(name: &'static str, target: &'static str) -> Field {
    Field {
        name,
        fate: Fate::Exact { target },
    }
}

/// A field that works with a stated difference.
pub(crate) const fn approximate(name: &'static str, target: &'static str, rule: &'static Rule) -> Field {
    Field {
        name,
        fate: Fate::Approximate { target, rule },
    }
}

/// A field that is reported and not carried over.
pub(crate) const fn unsupported(name: &'static str, rule: &'static Rule) -> Field {
    Field {
        name,
        fate: Fate::Unsupported { rule },
    }
}

/// A field that means nothing for this data plane, with the reason.
pub(crate) const fn irrelevant(name: &'static str, reason: &'static str) -> Field {
    Field {
        name,
        fate: Fate::Irrelevant { reason },
    }
}
