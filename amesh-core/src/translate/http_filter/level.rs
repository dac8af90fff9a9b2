//! Which level's configuration of a filter counts.
//!
//! The connection manager, the route configuration, the virtual host, the route and the member of a weighted cluster can
//! each configure a filter, by its name in the connection manager. The most specific one counts, whole; only CORS policies
//! are put together field by field.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::cors::Policy;
use super::fault::Fault;
use crate::finding::{Findings, Outcome, Path, Rule};

/// Listeners that share a route configuration disagree about a filter.
pub(crate) static DIFFER: Rule = Rule::new(
    "http-filter-differs",
    Outcome::LeftOut,
    "listeners that share a route configuration configure a filter differently",
    "Each connection manager has a configuration of its own for the filter, for requests that no route configures it for. \
     APISIX has one list of routes for all of them, so none of these configurations is carried over.",
    "configure the filter for the routes",
);

/// A member of a weighted cluster has a configuration of its own.
pub(crate) static MEMBER: Rule = Rule::new(
    "http-filter-of-member",
    Outcome::LeftOut,
    "a filter is configured for one of the clusters that share a route's requests",
    "Envoy draws the cluster before its filters run, and a member of a weighted cluster can configure them for its own \
     requests. APISIX draws it later, so the filter does nothing to any of the route's requests.",
    "configure the filter for the route, or the same for all members",
);

/// What a level says about one filter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Config {
    /// Off for the requests that the level concerns.
    Off,
    /// A connection manager has the filter, without anything of its own.
    On,
    Fault(Box<Fault>),
    /// The connection manager's has no policy.
    Cors(Option<Box<Policy>>),
}

impl Config {
    /// Whether a filter does anything to requests that nothing more specific configures it for.
    fn does_something(&self) -> bool {
        match self {
            Self::Off | Self::On | Self::Cors(None) => false,
            Self::Fault(_) | Self::Cors(Some(_)) => true,
        }
    }
}

/// What a level says about filters that are carried over, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Configs(BTreeMap<String, Config>);

impl Configs {
    pub(super) fn insert(&mut self, name: &str, config: Config) {
        self.0.insert(name.to_owned(), config);
    }

    /// What the members of a weighted cluster, by their places in the list, say together. The filter of a name that they
    /// do not say the same about is off.
    pub(crate) fn of_members(members: &[(usize, Self)], at: Path<'_>, findings: &Findings) -> Self {
        let mut together = Self::default();
        for (index, Self(configs)) in members {
            for (name, config) in configs {
                let same = members.iter().all(|(_, other)| other.0.get(name) == Some(config));
                if !same {
                    let at_member = at.index(*index);
                    findings.add(&MEMBER, at_member.field("typed_per_filter_config").key(name));
                }
                let config = if same { config.clone() } else { Config::Off };
                together.0.insert(name.clone(), config);
            }
        }
        together
    }

    /// What connection managers that share a route configuration say together.
    pub(crate) fn shared<'a>(managers: impl IntoIterator<Item = &'a Self>, at: Path<'_>, findings: &Findings) -> Self {
        let mut managers = managers.into_iter();
        let Some(first) = managers.next() else {
            return Self::default();
        };
        let mut shared = first.clone();
        for other in managers.filter(|other| *other != first) {
            for (name, config) in &other.0 {
                match shared.0.entry(name.clone()) {
                    Entry::Occupied(entry) if entry.get() == config => {}
                    Entry::Occupied(mut entry) => {
                        findings.add_with(&DIFFER, at, name.clone());
                        entry.insert(Config::On);
                    }
                    // Where the filter is missing it does nothing, which is what most say of it.
                    Entry::Vacant(entry) => {
                        if config.does_something() {
                            findings.add_with(&DIFFER, at, name.clone());
                        }
                        entry.insert(Config::On);
                    }
                }
            }
            for (name, config) in &mut shared.0 {
                if config.does_something() && !other.0.contains_key(name) {
                    findings.add_with(&DIFFER, at, name.clone());
                    *config = Config::On;
                }
            }
        }
        shared
    }
}

/// A level with those above it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level<'a> {
    configs: Option<&'a Configs>,
    above: Option<&'a Level<'a>>,
}

impl<'a> Level<'a> {
    /// The connection manager's; `None` where it is not known and taken to have every filter.
    pub(crate) const fn manager(configs: Option<&'a Configs>) -> Self {
        Self { configs, above: None }
    }

    /// A more specific level.
    pub(crate) const fn below(&'a self, configs: &'a Configs) -> Self {
        Self {
            configs: Some(configs),
            above: Some(self),
        }
    }

    /// Whether the connection manager has a filter of that name.
    pub(super) fn has_filter(&self, name: &str) -> bool {
        match self.above {
            Some(above) => above.has_filter(name),
            None => self.configs.is_none_or(|configs| configs.0.contains_key(name)),
        }
    }

    /// The levels, the most specific one first.
    fn upwards(&self) -> impl Iterator<Item = &'a Configs> {
        let mut next = Some(*self);
        std::iter::from_fn(move || {
            let level = next?;
            next = level.above.copied();
            Some(level.configs)
        })
        .flatten()
    }

    /// What counts, by the filters' names.
    fn effective(&self) -> BTreeMap<&'a str, &'a Config> {
        let mut effective = BTreeMap::new();
        for (name, config) in self.upwards().flat_map(|configs| &configs.0) {
            effective.entry(name.as_str()).or_insert(config);
        }
        effective
    }

    /// The fault that is injected into requests.
    pub(crate) fn fault(&self) -> Option<&'a Fault> {
        self.effective().into_values().find_map(|config| match config {
            Config::Fault(fault) => Some(&**fault),
            Config::Off | Config::On | Config::Cors(_) => None,
        })
    }

    /// The CORS policy of a route that forwards requests. `older` are those in the fields that the filter's own
    /// configuration replaced, the most specific one first.
    pub(crate) fn cors(&self, older: &[&Policy]) -> Option<Policy> {
        let effective = self.effective();
        let mut filter = effective
            .iter()
            .filter_map(|(name, config)| matches!(config, Config::Cors(_)).then_some(*name));
        let policies: Vec<&Policy> = match filter.next() {
            Some(name) => {
                let own = self.upwards().filter_map(|configs| match configs.0.get(name) {
                    Some(Config::Cors(Some(policy))) => Some(&**policy),
                    _ => None,
                });
                own.collect()
            }
            // Only a connection manager that has the filter reads the other policies.
            None if self.knows_manager() || effective.values().any(|config| **config == Config::Off) => return None,
            None => Vec::new(),
        };
        let policies = if policies.is_empty() { older } else { &policies };
        (!policies.is_empty()).then(|| Policy::together(policies))
    }

    fn knows_manager(&self) -> bool {
        self.above.map_or(self.configs.is_some(), Self::knows_manager)
    }
}
