//! The registry for programs.

use std::io::{self, Write};

use amesh_core::coverage::Used;
use serde_json::{Map, Value, json};

use super::{EXTENSIONS, FATES, Row, counts, sections};

/// Writes one JSON object: counts by fate, and a row for each field.
pub(crate) fn write(used: Option<&Used>, out: &mut dyn Write) -> io::Result<()> {
    let sections = sections(used);
    let totals = FATES.into_iter().zip(counts(&sections));
    let totals: Map<String, Value> = totals.map(|(fate, count)| (fate.to_owned(), count.into())).collect();
    let mut fields: Vec<Value> = Vec::new();
    for section in &sections {
        for (group, rows) in &section.groups {
            fields.extend(rows.iter().map(|row| object(section.feature.name, group, row)));
        }
    }
    let mut value = json!({ "counts": totals, "fields": fields });
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
    let fate = row.fate;
    let (text, rule) = row.remark();
    let mut object = if group == EXTENSIONS {
        json!({ "feature": feature, "message": row.name, "fate": fate.name() })
    } else {
        json!({ "feature": feature, "message": group, "field": row.name, "fate": fate.name() })
    };
    let Some(fields) = object.as_object_mut() else {
        return object;
    };
    if let Some(text) = text {
        let name = if fate.name() == "irrelevant" {
            "reason"
        } else {
            "target"
        };
        fields.insert(name.to_owned(), text.into());
    }
    if let Some(rule) = rule {
        fields.insert("rule".to_owned(), rule.into());
    }
    if let Some(times) = row.times {
        fields.insert("times".to_owned(), times.into());
    }
    object
}
