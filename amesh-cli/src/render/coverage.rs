//! The registry as a table, as JSON and as a page.

pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod table;

use amesh_core::Target;
use amesh_core::coverage::{Fate, Feature, Used, features};

/// The fates in the order of columns.
const FATES: [&str; 4] = ["exact", "approximate", "unsupported", "irrelevant"];

/// The heading of extensions that have no rows for their fields.
const EXTENSIONS: &str = "Extensions as a whole";

/// A feature with the rows to show.
struct Section {
    feature: &'static Feature,
    /// The rows under the full name of their message, or under [`EXTENSIONS`].
    groups: Vec<(&'static str, Vec<Row>)>,
}

/// A row, and how often the dump sets what it is about.
struct Row {
    /// A field of the group's message, or the full name of an extension's message.
    name: &'static str,
    /// What becomes of it on any stock APISIX.
    native: Fate,
    /// What becomes of it where Amesh's Lua package is loaded.
    amesh: Fate,
    times: Option<u64>,
}

impl Row {
    /// What becomes of it with Amesh's Lua package, where that is something else.
    fn differs(&self) -> Option<Fate> {
        (self.amesh != self.native).then_some(self.amesh)
    }
}

/// Where the value goes or why it means nothing, and the rule that is reported.
const fn remark(fate: Fate) -> (Option<&'static str>, Option<&'static str>) {
    match fate {
        Fate::Exact { target } => (Some(target), None),
        Fate::Approximate { target, rule } => (Some(target), Some(rule.name)),
        Fate::Unsupported { rule } => (None, Some(rule.name)),
        Fate::Irrelevant { reason } => (Some(reason), None),
    }
}

/// Every row, or only those that a dump sets; features without any are left out.
fn sections(used: Option<&Used>) -> Vec<Section> {
    features()
        .iter()
        .map(|feature| section(feature, used))
        .filter(|section| !section.groups.is_empty())
        .collect()
}

fn section(feature: &'static Feature, used: Option<&Used>) -> Section {
    let row = |name, [native, amesh]: [Fate; 2], times: &dyn Fn(&Used) -> Option<u64>| {
        let times = match used {
            None => None,
            Some(used) => Some(times(used)?),
        };
        Some(Row {
            name,
            native,
            amesh,
            times,
        })
    };
    let mut groups: Vec<(&str, Vec<Row>)> = Vec::new();
    for message in feature.messages {
        let fields = message.fields.iter();
        let rows = fields.filter_map(|field| {
            row(field.name, [field.native, field.amesh], &|used| {
                used.field(message.name, field.name)
            })
        });
        groups.push((message.name, rows.collect()));
    }
    let extensions = feature.extensions.iter();
    let rows = extensions.filter_map(|it| row(it.message, [it.native, it.amesh], &|used| used.extension(it.message)));
    groups.push((EXTENSIONS, rows.collect()));
    groups.retain(|(_, rows)| !rows.is_empty());
    Section { feature, groups }
}

/// How many rows have each fate on that target.
fn counts<'a>(sections: impl IntoIterator<Item = &'a Section>, target: Target) -> [usize; 4] {
    let mut counts = [0; 4];
    for row in sections
        .into_iter()
        .flat_map(|section| &section.groups)
        .flat_map(|(_, rows)| rows)
    {
        let name = match target {
            Target::Amesh => row.amesh.name(),
            _ => row.native.name(),
        };
        let fate = FATES.iter().position(|fate| *fate == name);
        if let Some(count) = fate.and_then(|fate| counts.get_mut(fate)) {
            *count += 1;
        }
    }
    counts
}
