//! `amesh coverage`: what becomes of every field of Envoy's API.

use std::process::ExitCode;

use amesh_core::coverage;
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::input::{Limit, Source};
use crate::output;
use crate::progress::Progress;
use crate::render::coverage::{json, markdown, table};

/// Show what becomes of every field of Envoy's API
#[derive(Debug, Args)]
pub(super) struct Coverage {
    /// Only the fields that this dump sets, with how often; - for standard input
    #[arg(long, value_name = "DUMP", value_parser = Source::parse)]
    used_by: Option<Source>,
    /// The form of the table
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// A page of documentation
    Markdown,
}

impl Coverage {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let used = match &self.used_by {
            None => None,
            Some(source) => {
                let progress = Progress::start(false);
                let dump = self.limit.read(source, &progress)?;
                progress.phase("counting fields");
                Some(coverage::used_fields(&dump.resources))
            }
        };
        output::to_terminal(|out| match self.format {
            Format::Table => table::write(used.as_ref(), out),
            Format::Json => json::write(used.as_ref(), out),
            Format::Markdown => markdown::write(used.as_ref(), out),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
