//! How to translate.

use std::collections::BTreeSet;

use crate::rule::{Outcome, Rule};

/// What the APISIX that will serve the objects allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Target {
    /// Any stock APISIX 3.x.
    #[default]
    Native,
    /// An APISIX that has loaded Amesh's Lua package. The same objects serve it so far.
    Amesh,
}

/// How requests reach APISIX, which decides how the listeners of Envoy are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// Clients connect to the listener's own port, as they do with a gateway.
    Direct,
    /// Connections are redirected by iptables, as in a sidecar: their original destination counts.
    Redirect,
    /// Nothing is intercepted: the port in the Host header counts, 80 when there is none. A name in the header stands
    /// for the address that a name server would give for it.
    Host,
}

/// How to translate.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// What the APISIX that will serve the objects allows.
    pub target: Target,
    /// How requests reach APISIX. `None`: as the listeners suggest, [`Arrival::Redirect`] where one of them takes
    /// redirected connections and [`Arrival::Direct`] otherwise.
    pub arrival: Option<Arrival>,
    /// Names of rules that would fail closed and that the operator permits: traffic goes on without what they guard.
    pub permitted: BTreeSet<String>,
}

impl Options {
    /// Whether the operator permitted that rule. Only rules that fail closed can be permitted.
    pub(crate) fn permits(&self, rule: &Rule) -> bool {
        rule.outcome == Outcome::FailsClosed && self.permitted.contains(rule.name)
    }
}
