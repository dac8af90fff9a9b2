//! The difference between two translations: objects line by line, findings that come and go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io::{self, Write};

use amesh_core::apisix::{Key, Object, Objects};
use amesh_core::finding::ResourceName;
use amesh_core::{Finding, Outcome};
use similar::{ChangeTag, TextDiff};

use super::apisix_yaml;
use super::style::{ADDED, CHANGED, PLACE, REMOVED, STRONG};

/// Objects that are shown unless the user asks for all.
const SHOWN: usize = 12;

/// One of the two translations.
pub(crate) struct Side {
    pub(crate) objects: Objects,
    /// Sorted.
    pub(crate) findings: Vec<Finding>,
    pub(crate) rejected: BTreeSet<String>,
}

/// What differs.
pub(crate) struct Difference<'a> {
    pub(super) objects: Vec<(&'a Key, Option<&'a Object>, Option<&'a Object>)>,
    pub(super) gone: Vec<&'a Finding>,
    pub(super) come: Vec<&'a Finding>,
    pub(super) accepted: Vec<&'a str>,
    pub(super) rejected: Vec<&'a str>,
}

impl<'a> Difference<'a> {
    pub(crate) fn between(old: &'a Side, new: &'a Side) -> Self {
        let keys: BTreeSet<&Key> = old.objects.keys().chain(new.objects.keys()).collect();
        let objects = keys.into_iter().map(|key| {
            let side = |side: &'a Side| side.objects.get(key).map(AsRef::as_ref);
            (key, side(old), side(new))
        });
        Self {
            objects: objects.filter(|(_, before, after)| before != after).collect(),
            gone: missing(&old.findings, &new.findings),
            come: missing(&new.findings, &old.findings),
            accepted: old.rejected.difference(&new.rejected).map(String::as_str).collect(),
            rejected: new.rejected.difference(&old.rejected).map(String::as_str).collect(),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.objects.is_empty()
            && self.gone.is_empty()
            && self.come.is_empty()
            && self.accepted.is_empty()
            && self.rejected.is_empty()
    }

    /// Writes every difference, and a line of counts.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_whole(out)?;
        writeln!(out, "\n{STRONG}{}{STRONG:#}", self.counts())
    }

    /// Writes every difference, objects line by line.
    pub(super) fn write_whole(&self, out: &mut dyn Write) -> io::Result<()> {
        for (key, before, after) in &self.objects {
            object(key, *before, *after, true, out)?;
        }
        for finding in &self.gone {
            marked('-', "no longer: ", &text(finding), out)?;
        }
        for finding in &self.come {
            marked('+', "", &text(finding), out)?;
        }
        self.write_rejected(out)
    }

    /// Writes the first objects by their keys, and how many findings of each rule come and go.
    pub(super) fn write_brief(&self, out: &mut dyn Write) -> io::Result<()> {
        for (key, before, after) in self.objects.iter().take(SHOWN) {
            object(key, *before, *after, false, out)?;
        }
        if let Some(more) = self.objects.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            writeln!(out, "  {PLACE}... and {more} more objects; -v shows all{PLACE:#}")?;
        }
        for (mark, word, findings) in [('-', "no longer: ", &self.gone), ('+', "", &self.come)] {
            for (finding, more) in by_rule(findings) {
                let text = text(finding);
                match more {
                    0 => marked(mark, word, &text, out)?,
                    more => marked(mark, word, &format!("{text} ... and {more} more"), out)?,
                }
            }
        }
        self.write_rejected(out)
    }

    /// How much differs, in a line.
    pub(super) fn counts(&self) -> String {
        let added = self.objects.iter().filter(|(_, before, _)| before.is_none()).count();
        let removed = self.objects.iter().filter(|(_, _, after)| after.is_none()).count();
        format!(
            "Objects: {added} added, {} changed, {removed} removed. Findings: {} come, {} gone.",
            self.objects.len() - added - removed,
            self.come.len(),
            self.gone.len(),
        )
    }

    fn write_rejected(&self, out: &mut dyn Write) -> io::Result<()> {
        for rejected in &self.accepted {
            marked('-', "no longer rejected: ", rejected, out)?;
        }
        for rejected in &self.rejected {
            marked('+', "rejected: ", rejected, out)?;
        }
        Ok(())
    }
}

/// The first finding of each rule, the gravest rule first, and how many more there are of it.
fn by_rule<'a>(findings: &[&'a Finding]) -> Vec<(&'a Finding, usize)> {
    let mut rules: BTreeMap<(Reverse<Outcome>, &str), (&Finding, usize)> = BTreeMap::new();
    for finding in findings {
        let rule = (Reverse(finding.outcome), finding.rule.name);
        rules
            .entry(rule)
            .and_modify(|(_, more)| *more += 1)
            .or_insert((finding, 0));
    }
    rules.into_values().collect()
}

/// Those of the first list that have no counterpart in the second. Both are sorted.
///
/// A counterpart is the same finding, or one that differs in nothing but the numbers in its path: a route that is
/// inserted moves all routes behind it, and changes none of them.
fn missing<'a>(list: &'a [Finding], from: &'a [Finding]) -> Vec<&'a Finding> {
    let alone = |list: &'a [Finding], from: &[Finding]| {
        let alone = list.iter().filter(|finding| from.binary_search(finding).is_err());
        alone.collect::<Vec<&'a Finding>>()
    };
    let mut counterparts: BTreeMap<Shape<'_>, usize> = BTreeMap::new();
    for finding in alone(from, list) {
        *counterparts.entry(shape(finding)).or_default() += 1;
    }
    let mut missing = alone(list, from);
    missing.retain(|finding| match counterparts.get_mut(&shape(finding)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
    missing
}

type Shape<'a> = (&'a str, &'a ResourceName, String, Option<&'a str>, bool);

/// The finding with the numbers taken out of its path.
fn shape(finding: &Finding) -> Shape<'_> {
    let path = finding.path.replace(|character: char| character.is_ascii_digit(), "");
    let detail = finding.detail.as_deref();
    (finding.rule.name, &finding.resource, path, detail, finding.permitted)
}

fn text(finding: &Finding) -> String {
    let mut text = format!("{}[{}] {}", finding.outcome, finding.rule.name, finding.resource);
    if !finding.path.is_empty() {
        text.push_str(" at ");
        text.push_str(&finding.path);
    }
    if let Some(detail) = &finding.detail {
        text.push_str(": ");
        text.push_str(detail);
    }
    text
}

fn marked(mark: char, word: &str, text: &dyn Display, out: &mut dyn Write) -> io::Result<()> {
    let color = if mark == '+' { ADDED } else { REMOVED };
    writeln!(out, "{color}{mark} {word}{text}{color:#}")
}

fn object(
    key: &Key,
    before: Option<&Object>,
    after: Option<&Object>,
    lines: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (word, color) = match (before, after) {
        (None, _) => ("added", ADDED),
        (_, None) => ("removed", REMOVED),
        _ => ("changed", CHANGED),
    };
    writeln!(out, "{color}{word}{color:#} {STRONG}{key}{STRONG:#}")?;
    if !lines {
        return Ok(());
    }
    let lines = |side: Option<&Object>| side.map_or_else(|| Ok(String::new()), apisix_yaml::object);
    let (old, new) = (lines(before)?, lines(after)?);
    let diff = TextDiff::from_lines(&old, &new);
    for (index, hunk) in diff.unified_diff().context_radius(2).iter_hunks().enumerate() {
        if index > 0 {
            writeln!(out, "  {PLACE}...{PLACE:#}")?;
        }
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            match change.tag() {
                ChangeTag::Equal => writeln!(out, "    {line}")?,
                ChangeTag::Delete => writeln!(out, "  {REMOVED}- {line}{REMOVED:#}")?,
                ChangeTag::Insert => writeln!(out, "  {ADDED}+ {line}{ADDED:#}")?,
            }
        }
    }
    Ok(())
}
