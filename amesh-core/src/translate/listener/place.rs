//! The conditions under which a request belongs to a listener.

use std::net::IpAddr;

use super::Surroundings;
use super::address::{Binding, conditions, host_names};
use crate::apisix::{Expr, Operator, Value};
use crate::options::Arrival;
use crate::translate::scope::Scope;

/// Where the requests of a listener arrive, one scope for each of its addresses.
pub(super) fn places(bindings: &[Binding], handed_over: bool, around: &Surroundings<'_>) -> Vec<Scope> {
    let place = |binding: &Binding| {
        let Binding { address, port } = *binding;
        // A listener that has a port of its own is reached there, redirected or not.
        let arrival = match around.arrival {
            Arrival::Redirect if !handed_over => Arrival::Direct,
            other => other,
        };
        let specific: Vec<IpAddr> = if address.is_some() {
            Vec::new()
        } else {
            (around.specific)(port)
        };
        let names = |address| host_names(address, &(around.route_names)(address, port), port);
        let own_names = address.map(names).unwrap_or_default();
        let specific_names: Vec<String> = specific.iter().copied().flat_map(names).collect();
        let mut all = conditions(arrival, *binding, &specific, &own_names, &specific_names);
        if around.arrival == Arrival::Redirect && handed_over && !around.neighbours.redirecting.is_empty() {
            // Inbound connections are redirected too, to another port.
            let ports: Vec<String> = around.neighbours.redirecting.iter().map(ToString::to_string).collect();
            all.insert(0, one_of("server_port", ports));
        }
        Scope(all)
    };
    bindings.iter().map(place).collect()
}

fn one_of(variable: &'static str, mut values: Vec<String>) -> Expr {
    if values.len() == 1 {
        Expr::equal(variable, values.remove(0))
    } else {
        Expr::compare(variable, Operator::In, Value::List(values))
    }
}
