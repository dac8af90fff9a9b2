//! The condition that a request arrived where a route configuration applies: the listener, and for TLS the server name.

use crate::apisix::Expr;

/// Where a request arrived: conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope(pub(crate) Vec<Expr>);

impl Scope {
    /// The conditions that a request arrived in one of several places. Nothing when any place will do.
    pub(crate) fn any_of(scopes: &[Self]) -> Vec<Expr> {
        match scopes {
            [Self(conditions)] => conditions.clone(),
            _ if scopes.iter().any(|Self(conditions)| conditions.is_empty()) => Vec::new(),
            _ => vec![Expr::any(
                scopes
                    .iter()
                    .map(|Self(conditions)| Expr::all(conditions.clone()))
                    .collect(),
            )],
        }
    }
}
