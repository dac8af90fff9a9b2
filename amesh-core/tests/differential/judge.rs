//! Whether two answers to a request are the same, or which findings name what differs.

use std::collections::BTreeSet;

use amesh_core::Finding;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;

use crate::compare::{Answer, Compared, Spot, differences, explained};
use crate::named::Aspect;
use crate::requests::Request;
use crate::tame::Tame;

/// What a request is sent to, and what is told of it.
#[derive(Clone, Copy)]
pub(crate) struct Court<'a> {
    pub(crate) listener: &'a str,
    pub(crate) routes: &'a RouteConfiguration,
    pub(crate) findings: &'a [Finding],
    pub(crate) compared: Compared<'a>,
}

impl Court<'_> {
    /// The rules that name how the answers differ, none where they are equal; or what no rule names. Where nginx reads the
    /// request as another one, Envoy is asked that.
    pub(crate) fn judge(
        &self,
        request: &Request,
        [envoy, apisix]: [&Answer; 2],
        mut ask: impl FnMut(&Request) -> Answer,
    ) -> Result<BTreeSet<&'static str>, BTreeSet<Aspect>> {
        let spot = Spot::new(self.listener, self.routes, request, envoy);
        let found = differences(spot, request, [envoy, apisix], self.compared, false);
        if found.is_empty() {
            return Ok(BTreeSet::new());
        }
        let told = |rule: &&str| {
            let here = |finding: &&Finding| finding.resource.name == self.listener;
            self.findings
                .iter()
                .filter(here)
                .any(|finding| finding.rule.name == *rule)
        };
        let as_it_is = explained(spot, request, [envoy, apisix], &found, self.findings);
        if as_it_is.is_ok() {
            return as_it_is;
        }
        match Tame::new(request, told(&"nginx-path")) {
            Tame::Already => as_it_is,
            Tame::As(tame, rules) if rules.iter().all(told) => {
                let found = differences(spot, request, [envoy, apisix], self.compared, true);
                if found.is_empty() {
                    return Ok(rules.into_iter().collect());
                }
                let envoy = &ask(&tame);
                let spot = Spot::new(self.listener, self.routes, &tame, envoy);
                let found = differences(spot, &tame, [envoy, apisix], self.compared, true);
                explained(spot, &tame, [envoy, apisix], &found, self.findings).map(|mut all| {
                    all.extend(rules);
                    all
                })
            }
            Tame::Refused | Tame::As(..) => Err(found),
        }
    }
}
