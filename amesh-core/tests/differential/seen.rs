//! What a workload saw of a request, as it tells in its answer.

use std::collections::BTreeMap;

/// The header of an answer that comes from a workload.
pub(crate) const ECHO: &str = "x-echo";

/// What a workload saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What tells workloads apart; of several clusters that share one, their names with `|` between them.
    pub(crate) cluster: String,
    pub(crate) method: String,
    pub(crate) target: String,
    /// The values of each header, names in lower case.
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl Seen {
    /// Reads what a workload wrote.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut lines = text.lines();
        let cluster = lines.next()?.to_owned();
        let (method, target) = lines.next()?.split_once(' ')?;
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let values = headers.entry(name.to_ascii_lowercase()).or_default();
            values.push(value.trim().to_owned());
        }
        Some(Self {
            cluster,
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
        })
    }
}
