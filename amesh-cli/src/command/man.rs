//! `amesh man`: the manual.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_mangen::Man as Page;

use crate::command::Cli;
use crate::failure::Failure;
use crate::output;

/// Print the manual page, or write every page into a directory
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The directory, which must exist: amesh.1, amesh-translate.1 and so on go there
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut command = Cli::command();
        command.build();
        let Some(dir) = self.dir else {
            output::to_stdout(|out| page(&command, out))?;
            return Ok(ExitCode::SUCCESS);
        };
        let commands = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        for command in std::iter::once(&command).chain(commands) {
            let name = command.get_display_name().unwrap_or_else(|| command.get_name());
            output::to_file(&dir.join(format!("{name}.1")), |out| page(command, out))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn page(command: &clap::Command, out: &mut dyn Write) -> io::Result<()> {
    // In memory first, because the generator wants a sized writer.
    let mut text = Vec::new();
    let version = concat!("amesh ", env!("CARGO_PKG_VERSION"));
    Page::new(command.clone()).source(version).render(&mut text)?;
    out.write_all(&text)
}
