//! The commands, one file each, and the options that several of them share.

mod capture;
mod completions;
mod coverage;
mod diff;
mod explain;
mod man;
mod translate;
mod watch;

use std::process::ExitCode;

use amesh_core::{Arrival, Options, Outcome, Rule, Target};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::{Failure, STATUSES};
use crate::suggest;

/// Turns what Istio tells Envoy into what Apache APISIX understands, and says what it could not carry over.
#[derive(Debug, Parser)]
#[command(name = "amesh", version, after_help = STATUSES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Translate(translate::Translate),
    Explain(explain::Explain),
    Coverage(coverage::Coverage),
    Diff(diff::Diff),
    Capture(Box<capture::Capture>),
    Watch(Box<watch::Watch>),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Translate(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Coverage(command) => command.run(),
            Command::Diff(command) => command.run(),
            Command::Capture(command) => command.run(),
            Command::Watch(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    }
}

/// How to translate, as the command line says it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Translation")]
struct Translation {
    /// How requests reach APISIX; by default as the listeners suggest
    #[arg(long, value_enum, value_name = "HOW")]
    interception: Option<Interception>,
    /// The APISIX that will serve the objects
    #[arg(long, value_enum, default_value_t = TargetName::Native)]
    target: TargetName,
    /// Serve traffic although this rule fails closed: it goes on without what the rule guards. Repeatable
    #[arg(long, value_name = "RULE")]
    permit: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Interception {
    /// Clients connect to the listener's own port, as with a gateway
    Direct,
    /// iptables redirects connections, as in a sidecar: their original destination counts
    Redirect,
    /// Nothing intercepts: the port in the Host header counts, 80 when there is none
    Host,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TargetName {
    /// Any stock APISIX 3.x
    Native,
    /// An APISIX that has loaded Amesh's Lua package
    Amesh,
}

impl Translation {
    /// The core's options, with every permitted name checked.
    fn options(&self) -> Result<Options, Failure> {
        let mut options = Options::default();
        options.arrival = self.interception.map(|how| match how {
            Interception::Direct => Arrival::Direct,
            Interception::Redirect => Arrival::Redirect,
            Interception::Host => Arrival::Host,
        });
        options.target = match self.target {
            TargetName::Native => Target::Native,
            TargetName::Amesh => Target::Amesh,
        };
        for name in &self.permit {
            options.permitted.insert(permittable(name)?.name.to_owned());
        }
        Ok(options)
    }
}

/// The rule of that name, if permitting it would change anything.
fn permittable(name: &str) -> Result<&'static Rule, Failure> {
    let fails_closed = |rule: &&Rule| rule.outcome == Outcome::FailsClosed;
    let Some(rule) = amesh_core::coverage::rule(name) else {
        let rules = amesh_core::coverage::rules();
        let names = rules.into_iter().filter(fails_closed).map(|rule| rule.name);
        let help = suggest::question(&suggest::nearest(name, names))
            .unwrap_or_else(|| "`amesh explain` lists every rule".to_owned());
        return Err(Failure::usage(format!("there is no rule `{name}` to permit")).help(help));
    };
    if !fails_closed(&rule) {
        let message = format!(
            "rule `{name}` cannot be permitted: it refuses no traffic (its outcome is `{}`)",
            rule.outcome
        );
        return Err(Failure::usage(message).help("only rules that fail closed can be permitted"));
    }
    Ok(rule)
}
