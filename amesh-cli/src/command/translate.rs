//! `amesh translate`: a captured dump in, APISIX configuration out, findings beside it.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use amesh_core::{Finding, Outcome, Snapshot, translate};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use super::Translation;
use crate::failure::{FOUND, Failure, STATUSES};
use crate::input::{Limit, Source};
use crate::output;
use crate::progress::Progress;
use crate::render::report::Report;
use crate::render::{apisix_yaml, finding, objects, sarif};

/// Translate a captured dump into APISIX configuration
///
/// Reads what Istio sent to a proxy (Envoy's `/config_dump`, the files of `istioctl proxy-config ... -o json`, discovery
/// responses, a bootstrap file), as JSON or YAML. Writes APISIX configuration to standard output, and a finding for
/// everything that is not carried over to the error stream.
#[derive(Debug, Args)]
#[command(after_help = STATUSES)]
pub(super) struct Translate {
    /// The dump; - for standard input
    #[arg(value_name = "FILE", value_parser = Source::parse)]
    input: Option<Source>,
    /// Write the configuration to this file, which is replaced in one step
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// The form of the configuration
    #[arg(long, value_enum, default_value_t = Format::ApisixYaml)]
    format: Format,
    /// The form of the findings
    #[arg(long, value_enum, default_value_t = Form::Text)]
    findings: Form,
    /// Exit with status 1 if a finding is at or above this outcome; permitted ones do not count, a rejected resource
    /// counts as left-out
    #[arg(long, value_name = "OUTCOME", value_parser = outcome())]
    deny: Option<Outcome>,
    /// Print no findings, only errors
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Show every place of a finding
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    translation: Translation,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// The file of a standalone APISIX
    ApisixYaml,
    /// The same for an APISIX with `config_provider: json`
    Json,
    /// One JSON object: the text of each object under its key, as in the shared dictionary
    Shdict,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code hosts and editors: SARIF 2.1.0
    Sarif,
}

fn outcome() -> impl clap::builder::TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(Outcome::ALL.map(Outcome::name)).map(|name| {
        let named = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
        // clap has let through nothing but these names.
        named.unwrap_or(Outcome::Ignored)
    })
}

impl Translate {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let input = match &self.input {
            Some(input) => input,
            None if io::stdin().is_terminal() => {
                return Err(Failure::usage("no dump to translate").help("name a FILE, or - for standard input"));
            }
            None => &Source::Stdin,
        };
        let options = self.translation.options()?;
        let progress = Progress::start(self.quiet);
        let dump = self.limit.read(input, &progress)?;
        progress.phase("translating");
        let resources = dump.resources.len();
        let snapshot = Snapshot::from_resources(dump.resources);
        let translation = translate(&snapshot, &options);
        let objects = translation.objects();
        let write = |out: &mut dyn Write| match self.format {
            Format::ApisixYaml => apisix_yaml::write(objects, out),
            Format::Json => objects::write_json(objects, out),
            Format::Shdict => objects::write_shdict(objects, out),
        };
        if let Some(path) = &self.output {
            progress.phase("writing");
            output::to_file(path, write)?;
            drop(progress);
        } else {
            // The terminal may be the same one.
            drop(progress);
            output::to_stdout(write)?;
        }
        let mut findings: Vec<&Finding> = dump.findings.iter().chain(translation.findings()).collect();
        findings.sort();
        let report = Report {
            input,
            resources,
            objects,
            rejected: &dump.rejected,
            findings,
        };
        if !self.quiet {
            self.say(&report);
        }
        let denied = self.deny.is_some_and(|outcome| report.reaches(outcome));
        Ok(if denied { FOUND.into() } else { ExitCode::SUCCESS })
    }

    /// Prints the findings. Nobody reading the error stream is no reason to fail.
    fn say(&self, report: &Report<'_>) {
        let mut out = io::BufWriter::new(anstream::stderr());
        let said = match self.findings {
            Form::Text => finding::write_text(report, self.verbose, &mut out),
            Form::Json => finding::write_json(report, &mut out),
            Form::Sarif => sarif::write(report, &mut out),
        };
        drop(said.and_then(|()| out.flush()));
    }
}
