//! What was not carried over, and what that does to traffic.
//!
//! A [`Rule`] is the kind of a finding and has a stable name; a [`Finding`] is one occurrence: the rule, the resource,
//! the field, and a detail. Rules are constants in the file of the feature that reports them.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::decode::{ResourceType, Unknown};
pub(crate) use crate::field_path::Path;
use crate::options::Options;
pub use crate::rule::{Outcome, Rule};

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

    /// A place for the findings of a part that is about something else here than where it usually stands.
    pub(crate) fn beside(&self) -> Self {
        Self {
            options: self.options,
            resource: Arc::clone(&self.resource),
            unknown: self.unknown,
            list: RefCell::default(),
        }
    }

    /// Takes over what such a part works with but does not do as Envoy does.
    pub(crate) fn take_approximations(&self, beside: Self) {
        let found = beside.list.into_inner().into_iter();
        self.list
            .borrow_mut()
            .extend(found.filter(|finding| finding.outcome <= Outcome::Approximated));
    }

    /// The options of this translation.
    pub(crate) const fn options(&self) -> &'o Options {
        self.options
    }

    /// Adds a finding.
    pub(crate) fn add(&self, rule: &'static Rule, at: Path<'_>) {
        self.push(rule, at, None);
    }

    /// Adds a finding where the field is set.
    pub(crate) fn add_if(&self, set: bool, rule: &'static Rule, at: Path<'_>) {
        if set {
            self.add(rule, at);
        }
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
