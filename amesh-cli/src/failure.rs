//! Why a command could not do its work, and the status with which it exits.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use crate::render::style;

/// `translate` found something at or above `--deny`; `diff` found a difference.
pub(crate) const FOUND: u8 = 1;
/// The command line makes no sense. The same as clap's own.
pub(crate) const USAGE: u8 = 2;
/// The input cannot be read or is not configuration.
pub(crate) const INPUT: u8 = 3;
/// The output cannot be written.
pub(crate) const OUTPUT: u8 = 4;

/// The control plane did not answer, or did not send everything.
pub(crate) const INCOMPLETE: u8 = 5;

/// The table of exit statuses, as `--help` and the manual show it.
pub(crate) const STATUSES: &str = "\
Exit status:
  0  done (diff: nothing differs; watch: interrupted)
  1  translate: a finding is at or above --deny; diff: something differs
  2  the command line is wrong, or a name is unknown
  3  the input cannot be read, or is not what was asked for
  4  the output cannot be written
  5  capture: the control plane did not answer, or did not send everything in time";

/// A failure as the user sees it: `error: ...`, then what may help.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// The input is wrong.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(INPUT, message)
    }

    /// The output cannot be written.
    pub(crate) fn output(message: impl Into<String>) -> Self {
        Self::new(OUTPUT, message)
    }

    /// The control plane did not answer.
    pub(crate) fn incomplete(message: impl Into<String>) -> Self {
        Self::new(INCOMPLETE, message)
    }

    fn new(status: u8, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            help: None,
        }
    }

    /// What went wrong, in a line.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Adds what may help.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Prints the failure and gives the status to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        // When even the error stream is closed, the status is all that is left to say.
        drop(write!(anstream::stderr(), "{self}"));
        self.status.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (error, help) = (style::ERROR, style::HELP);
        writeln!(f, "{error}error{error:#}: {}", self.message)?;
        if let Some(text) = &self.help {
            writeln!(f, "{help}help{help:#}: {text}")?;
        }
        Ok(())
    }
}
