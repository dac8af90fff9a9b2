//! `amesh`: translates Istio's configuration, captured or live, for Apache APISIX, and explains what it could not carry
//! over.

mod client;
mod command;
mod failure;
mod input;
mod live;
mod output;
mod progress;
mod render;
mod suggest;

use std::process::ExitCode;

use clap::Parser as _;

use command::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads to its end is no error.
            drop(error.print());
            return if error.use_stderr() {
                failure::USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match cli.run() {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
