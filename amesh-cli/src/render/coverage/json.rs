//! The registry for programs.

use std::io::{self, Write};

use amesh_core::Target;
use amesh_core::coverage::{Fate, Used};
use serde_json::{Map, Value, json};

use super::{EXTENSIONS, FATES, Row, counts, remark, sections};

/// Writes one JSON object: counts by fate, and a row for each field. `amesh` has what is different where Amesh's Lua package
/// is loaded.
pub(crate) fn write(used: Option<&Used>, out: &mut dyn Write) -> io::Result<()> {
    let sections = sections(used);
    let totals = |target| -> Map<String, Value> {
        let totals = FATES.into_iter().zip(counts(&sections, target));
        totals.map(|(fate, count)| (fate.to_owned(), count.into())).collect()
    };
    let mut fields: Vec<Value> = Vec::new();
    for section in &sections {
        for (group, rows) in &section.groups {
            fields.extend(rows.iter().map(|row| object(section.feature.name, group, row)));
        }
    }
    let mut value =
        json!({ "counts": totals(Target::Native), "amesh": { "counts": totals(Target::Amesh) }, "fields": fields });
    if let (Some(used), Some(object)) = (used, value.as_object_mut()) {
        let unowned = used.unowned().into_iter();
        let unowned: Vec<Value> = unowned
            .map(|(name, times)| json!({ "name": name, "times": times }))
            .collect();
        object.insert("unowned".to_owned(), unowned.into());
    }
    serde_json::to_writer_pretty(&mut *out, &value)?;
    writeln!(out)
}

/// An extension as a whole has a message and no field.
fn object(feature: &str, group: &str, row: &Row) -> Value {
    let mut object = if group == EXTENSIONS {
        json!({ "feature": feature, "message": row.name })
    } else {
        json!({ "feature": feature, "message": group, "field": row.name })
    };
    let Some(fields) = object.as_object_mut() else {
        return object;
    };
    fields.extend(described(row.native));
    if let Some(fate) = row.differs() {
        fields.insert("amesh".to_owned(), described(fate).into());
    }
    if let Some(times) = row.times {
        fields.insert("times".to_owned(), times.into());
    }
    object
}

/// A fate, where the value goes or why it means nothing, and the rule that is reported.
fn described(fate: Fate) -> Map<String, Value> {
    let (text, rule) = remark(fate);
    let name = if fate.name() == "irrelevant" {
        "reason"
    } else {
        "target"
    };
    let mut fields = Map::new();
    fields.insert("fate".to_owned(), fate.name().into());
    fields.extend(text.map(|text| (name.to_owned(), text.into())));
    fields.extend(rule.map(|rule| ("rule".to_owned(), rule.into())));
    fields
}
