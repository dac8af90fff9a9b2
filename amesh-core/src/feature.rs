//! The words in which a feature of the translator says what becomes of the fields that it owns.

use crate::options::Target;
use crate::rule::Rule;

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
    /// What becomes of it on any stock APISIX.
    pub native: Fate,
    /// What becomes of it where Amesh's Lua package is loaded.
    pub amesh: Fate,
}

impl Field {
    /// What becomes of the field on that target.
    #[must_use]
    pub const fn fate(&self, target: Target) -> Fate {
        match target {
            Target::Native => self.native,
            Target::Amesh => self.amesh,
        }
    }

    const fn same(name: &'static str, fate: Fate) -> Self {
        Self {
            name,
            native: fate,
            amesh: fate,
        }
    }

    /// Served as Envoy does where Amesh's Lua package is loaded.
    pub(crate) const fn amesh_exact(self, target: &'static str) -> Self {
        Self {
            amesh: Fate::Exact { target },
            ..self
        }
    }

    /// Works with a stated difference where Amesh's Lua package is loaded.
    pub(crate) const fn amesh_approximate(self, target: &'static str, rule: &'static Rule) -> Self {
        Self {
            amesh: Fate::Approximate { target, rule },
            ..self
        }
    }

    /// Reported and not carried over where Amesh's Lua package is loaded either, for a reason of its own.
    pub(crate) const fn amesh_unsupported(self, rule: &'static Rule) -> Self {
        Self {
            amesh: Fate::Unsupported { rule },
            ..self
        }
    }
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
    /// What becomes of it on any stock APISIX.
    pub native: Fate,
    /// What becomes of it where Amesh's Lua package is loaded.
    pub amesh: Fate,
}

impl Extension {
    /// What becomes of the extension on that target.
    #[must_use]
    pub const fn fate(&self, target: Target) -> Fate {
        match target {
            Target::Native => self.native,
            Target::Amesh => self.amesh,
        }
    }

    /// The same on every target.
    pub(crate) const fn same(message: &'static str, fate: Fate) -> Self {
        Self {
            message,
            native: fate,
            amesh: fate,
        }
    }
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

/// A field that APISIX serves as Envoy does.
pub(crate) const fn exact(name: &'static str, target: &'static str) -> Field {
    Field::same(name, Fate::Exact { target })
}

/// A field that works with a stated difference.
pub(crate) const fn approximate(name: &'static str, target: &'static str, rule: &'static Rule) -> Field {
    Field::same(name, Fate::Approximate { target, rule })
}

/// A field that is reported and not carried over.
pub(crate) const fn unsupported(name: &'static str, rule: &'static Rule) -> Field {
    Field::same(name, Fate::Unsupported { rule })
}

/// A field that means nothing for this data plane, with the reason.
pub(crate) const fn irrelevant(name: &'static str, reason: &'static str) -> Field {
    Field::same(name, Fate::Irrelevant { reason })
}
