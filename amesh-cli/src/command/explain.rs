//! `amesh explain`: what a rule means, and what becomes of a field.

use std::process::ExitCode;

use amesh_core::coverage;
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::render::explain::{self, Row};
use crate::{output, suggest};

/// Explain a rule or a field of Envoy's API
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A rule (`istio-mutual-tls`), a field (`RouteAction.timeout`) or a message (`RouteAction`), in full or its last parts;
    /// without it, every rule is listed
    #[arg(value_name = "RULE|FIELD")]
    name: Option<String>,
    /// The form of the list of rules
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "name")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A line for each rule
    Text,
    /// A page that explains every rule
    Markdown,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.name {
            None => output::to_terminal(|out| match self.format {
                Format::Text => explain::list(out),
                Format::Markdown => explain::page(out),
            })?,
            Some(name) => {
                let name = name.trim();
                if let Some(rule) = coverage::rule(name) {
                    output::to_terminal(|out| explain::rule(rule, out))?;
                } else {
                    let rows = named(name);
                    if rows.is_empty() {
                        return Err(unknown(name));
                    }
                    output::to_terminal(|out| explain::fields(&rows, out))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rows() -> impl Iterator<Item = Row> {
    coverage::features().iter().flat_map(|feature| {
        let fields = feature.messages.iter().flat_map(move |message| {
            let fields = message.fields.iter();
            fields.map(move |field| {
                (
                    *feature,
                    format!("{}.{}", message.name, field.name),
                    [field.native, field.amesh],
                )
            })
        });
        let extensions = feature.extensions.iter();
        fields.chain(extensions.map(move |it| (*feature, it.message.to_owned(), [it.native, it.amesh])))
    })
}

/// The rows whose name ends in this one; if there are none, those of the message whose name does.
fn named(name: &str) -> Vec<Row> {
    let ends = |full: &str| full == name || full.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    let exactly: Vec<Row> = rows().filter(|(_, full, _)| ends(full)).collect();
    if !exactly.is_empty() {
        return exactly;
    }
    let message = |full: &str| full.rsplit_once('.').is_some_and(|(message, _)| ends(message));
    rows().filter(|(_, full, _)| message(full)).collect()
}

fn unknown(name: &str) -> Failure {
    let rules = coverage::rules();
    let mut known: Vec<String> = rules.iter().map(|rule| rule.name.to_owned()).collect();
    for (_, full, _) in rows() {
        // As near as possible to what was asked: with as many parts.
        let skip = full.split('.').count().saturating_sub(name.split('.').count());
        known.push(full.split('.').skip(skip).collect::<Vec<_>>().join("."));
    }
    let near = suggest::nearest(name, known.iter().map(String::as_str));
    let help = suggest::question(&near)
        .unwrap_or_else(|| "`amesh explain` lists every rule, `amesh coverage` every field".to_owned());
    Failure::usage(format!("there is no rule and no field `{name}`")).help(help)
}
