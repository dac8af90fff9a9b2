//! What a run came to, by feature.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::named::Aspect;

/// Requests of a feature to a target.
#[derive(Debug, Default, Clone)]
pub(crate) struct Score {
    pub(crate) sent: usize,
    pub(crate) equal: usize,
    /// Requests by the rules that name how their answers differ.
    pub(crate) named: BTreeMap<BTreeSet<&'static str>, usize>,
    /// What is named by none: by how they differ, each with all about it.
    pub(crate) unnamed: BTreeMap<BTreeSet<Aspect>, Vec<String>>,
}

impl Score {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.equal += other.equal;
        for (rules, count) in &other.named {
            *self.named.entry(rules.clone()).or_default() += count;
        }
        for (aspects, texts) in &other.unnamed {
            self.unnamed
                .entry(aspects.clone())
                .or_default()
                .extend(texts.iter().cloned());
        }
    }

    fn numbers(&self) -> [usize; 4] {
        [
            self.sent,
            self.equal,
            self.named.values().sum(),
            self.unnamed.values().map(Vec::len).sum(),
        ]
    }
}

/// Scores by feature and target.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    pub(crate) of: BTreeMap<(String, &'static str), Score>,
    /// Cases that were not asked, and why.
    pub(crate) not_asked: Vec<String>,
}

impl Scores {
    /// The table, the differences that are named, and those that are not: a few of each kind in each feature.
    pub(crate) fn report(&self, examples: usize) -> String {
        let mut out = String::new();
        for line in &self.not_asked {
            let _ = writeln!(out, "not asked: {line}");
        }
        for ((feature, target), score) in &self.of {
            for (aspects, texts) in &score.unnamed {
                let _ = writeln!(out, "\nUNNAMED {feature} {target}: {aspects:?}, {} times", texts.len());
                for text in texts.iter().take(examples) {
                    let _ = writeln!(out, "{text}");
                }
            }
        }
        let mut totals: BTreeMap<&str, Score> = BTreeMap::new();
        let _ = writeln!(
            out,
            "\n{:44} {:8} {:>7} {:>7} {:>7} {:>8}",
            "feature", "target", "sent", "equal", "named", "unnamed"
        );
        let mut line = |feature: &str, target: &str, score: &Score| {
            let [sent, equal, named, unnamed] = score.numbers();
            let _ = writeln!(
                out,
                "{feature:44} {target:8} {sent:>7} {equal:>7} {named:>7} {unnamed:>8}"
            );
        };
        for ((feature, target), score) in &self.of {
            line(feature, target, score);
            totals.entry(target).or_default().add(score);
        }
        for (target, score) in &totals {
            line("total", target, score);
        }
        for (target, score) in &totals {
            let _ = writeln!(out, "\n{target}: requests by the rules that name their differences");
            for (rules, count) in &score.named {
                let rules: Vec<&str> = rules.iter().copied().collect();
                let _ = writeln!(out, "{count:>7} {}", rules.join(" + "));
            }
        }
        out
    }

    pub(crate) fn unnamed(&self) -> usize {
        self.of.values().map(|score| score.numbers()[3]).sum()
    }
}
