//! `amesh diff`: what a change of the mesh's configuration changes in APISIX.

use std::process::ExitCode;

use amesh_core::{Finding, Options, Snapshot, translate};
use clap::Args;

use super::Translation;
use crate::failure::{FOUND, Failure, STATUSES};
use crate::input::{Limit, Source};
use crate::output;
use crate::progress::Progress;
use crate::render::diff::{self, Side};

/// Show which APISIX objects and which findings differ between two dumps
#[derive(Debug, Args)]
#[command(after_help = STATUSES)]
pub(super) struct Diff {
    /// The dump before; - for standard input
    #[arg(value_name = "OLD", value_parser = Source::parse)]
    old: Source,
    /// The dump after; - for standard input
    #[arg(value_name = "NEW", value_parser = Source::parse)]
    new: Source,
    /// Print nothing, only exit with the status
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    translation: Translation,
}

impl Diff {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if self.old == Source::Stdin && self.new == Source::Stdin {
            return Err(Failure::usage("only one of the two dumps can come from standard input"));
        }
        let options = self.translation.options()?;
        let progress = Progress::start(self.quiet);
        let old = self.side(&self.old, &options, &progress)?;
        let new = self.side(&self.new, &options, &progress)?;
        progress.phase("comparing");
        let difference = diff::Difference::between(&old, &new);
        drop(progress);
        if difference.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        if !self.quiet {
            output::to_terminal(|out| difference.write(out))?;
        }
        Ok(FOUND.into())
    }

    fn side(&self, source: &Source, options: &Options, progress: &Progress) -> Result<Side, Failure> {
        let dump = self.limit.read(source, progress)?;
        progress.phase("translating");
        let snapshot = Snapshot::from_resources(dump.resources);
        let translation = translate(&snapshot, options);
        let mut findings: Vec<Finding> = dump.findings;
        findings.extend(translation.findings().into_iter().cloned());
        findings.sort();
        Ok(Side {
            objects: translation.objects().clone(),
            findings,
            rejected: dump.rejected.iter().map(ToString::to_string).collect(),
        })
    }
}
