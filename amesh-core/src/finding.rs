//! What was not carried over, and what that does to traffic.
//!
//! A [`Rule`] is the kind of a finding and has a stable name; a [`Finding`] is one occurrence: the rule, the resource,
//! the field, and a detail. Rules are constants in the file of the feature that reports them.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::decode::{ResourceType, Unknown};
use crate::options::Options;

/// What happens to traffic because of a finding, from harmless to refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Requests are answered as Envoy would; something beside them (a log, a statistic) is missing.
    Ignored,
    /// The setting works, with the difference that the rule states.
    Approximated,
    /// Part of the configuration is missing: requests are served without it, or are not served at all.
    LeftOut,
    /// Requests that the setting concerns are refused, because serving them without it could be unsafe.
    FailsClosed,
}

impl Outcome {
    /// Every outcome, from harmless to refused.
    pub const ALL: [Self; 4] = [Self::Ignored, Self::Approximated, Self::LeftOut, Self::FailsClosed];

    /// The outcome's name in options and output: `ignored`, `approximated`, `left-out`, `fails-closed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Approximated => "approximated",
            Self::LeftOut => "left-out",
            Self::FailsClosed => "fails-closed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A kind of finding. The name is its identity: kebab-case, unique, never reused for another cause.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The cause, as `route-case-insensitive-path` would be.
    pub name: &'static str,
    /// What happens to traffic.
    pub outcome: Outcome,
    /// One sentence without a full stop: what differs.
    pub summary: &'static str,
    /// What Envoy does, what APISIX does, and what follows: a paragraph or two for `amesh explain`.
    pub explanation: &'static str,
    /// What the operator can do about it.
    pub advice: &'static str,
}

impl Rule {
    /// A rule, in the order in which it reads.
    pub(crate) const fn new(
        name: &'static str,
        outcome: Outcome,
        summary: &'static str,
        explanation: &'static str,
        advice: &'static str,
    ) -> Self {
        Self {
            name,
            outcome,
            summary,
            explanation,
            advice,
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// A resource by type and name, as findings refer to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ResourceName {
    /// The type of the resource.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Its name, as Envoy knows it.
    pub name: String,
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.name)
    }
}

/// One thing that was not carried over as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of the finding.
    pub rule: &'static Rule,
    /// What happens to traffic: the rule's outcome.
    pub outcome: Outcome,
    /// The resource that holds the field.
    pub resource: Arc<ResourceName>,
    /// The field, from the resource down: `virtual_hosts[2].routes[0].match.headers[1]`.
    pub path: String,
    /// What the rule's summary cannot know: a value, a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The operator permitted this rule by name: traffic goes on without what the rule guards.
    pub permitted: bool,
}

impl Finding {
    fn key(&self) -> (&ResourceName, &str, &'static str, Option<&str>) {
        (&self.resource, &self.path, self.rule.name, self.detail.as_deref())
    }
}

impl PartialOrd for Finding {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Finding {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A place inside a resource: a list on the stack that becomes text only when a finding is added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The resource itself.
    pub(crate) const fn root() -> Self {
        Self {
            parent: None,
            step: Step::Root,
        }
    }

    /// A field of the message at this place, by its protobuf name.
    pub(crate) const fn field(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Field(name),
        }
    }

    /// An entry of the list at this place.
    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    /// An entry of the map at this place.
    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    fn render(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.render(out);
        }
        match self.step {
            Step::Root => {}
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            // Writing to a string cannot fail.
            Step::Index(index) => drop(write!(out, "[{index}]")),
            Step::Key(key) => drop(write!(out, "[{key:?}]")),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.render(&mut text);
        f.write_str(&text)
    }
}

/// Collects the findings of one resource while it is translated.
#[derive(Debug)]
pub(crate) struct Findings<'o> {
    options: &'o Options,
    resource: Arc<ResourceName>,
    unknown: &'o [Unknown],
    list: RefCell<Vec<Finding>>,
}

impl<'o> Findings<'o> {
    pub(crate) fn new(options: &'o Options, resource: ResourceName, unknown: &'o [Unknown]) -> Self {
        Self {
            options,
            resource: Arc::new(resource),
            unknown,
            list: RefCell::default(),
        }
    }

    /// The resource that is being translated.
    pub(crate) fn resource(&self) -> &ResourceName {
        &self.resource
    }

    /// What the resource holds that is newer than Amesh's types.
    pub(crate) const fn unknown(&self) -> &'o [Unknown] {
        self.unknown
    }

    /// Whether something newer than Amesh's types stands below a place.
    pub(crate) fn has_unknown_below(&self, at: Path<'_>) -> bool {
        !self.unknown.is_empty() && {
            let prefix = format!("{at}.");
            self.unknown.iter().any(|unknown| unknown.path.starts_with(&prefix))
        }
    }

    /// The options of this translation.
    pub(crate) const fn options(&self) -> &'o Options {
        self.options
    }

    /// Adds a finding.
    pub(crate) fn add(&self, rule: &'static Rule, at: Path<'_>) {
        self.push(rule, at, None);
    }

    /// Adds a finding with what the rule's summary cannot know.
    pub(crate) fn add_with(&self, rule: &'static Rule, at: Path<'_>, detail: impl Into<String>) {
        self.push(rule, at, Some(detail.into()));
    }

    /// Adds the finding of a rule that fails closed, and tells whether the operator permitted it by name.
    pub(crate) fn permits(&self, rule: &'static Rule, at: Path<'_>, detail: Option<String>) -> bool {
        self.push(rule, at, detail);
        self.options.permits(rule)
    }

    /// Adds a finding at a place that is known as text.
    pub(crate) fn add_at(&self, rule: &'static Rule, path: String, detail: Option<String>) {
        self.list.borrow_mut().push(Finding {
            rule,
            outcome: rule.outcome,
            resource: Arc::clone(&self.resource),
            path,
            detail,
            permitted: self.options.permits(rule),
        });
    }

    fn push(&self, rule: &'static Rule, at: Path<'_>, detail: Option<String>) {
        let mut path = String::with_capacity(64);
        at.render(&mut path);
        self.add_at(rule, path, detail);
    }

    /// What was found, in the order of resource and path.
    pub(crate) fn into_sorted(self) -> Vec<Finding> {
        let mut list = self.list.into_inner();
        list.sort();
        list.dedup();
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_protobuf_field_names() {
        let root = Path::root();
        let hosts = root.field("virtual_hosts");
        let host = hosts.index(2);
        let config = host.field("typed_per_filter_config");
        assert_eq!(
            config.key("envoy.filters.http.cors").to_string(),
            r#"virtual_hosts[2].typed_per_filter_config["envoy.filters.http.cors"]"#
        );
    }
}
