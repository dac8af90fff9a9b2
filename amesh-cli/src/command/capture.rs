//! `amesh capture`: what a control plane sends to a proxy, as a dump.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use amesh_core::ResourceType;
use amesh_core::dump::{self, LeftOut, WriteOptions};
use amesh_core::finding::ResourceName;
use amesh_xds::server::Address;
use amesh_xds::session::Response;
use amesh_xds::stream::{Config, Message};
use clap::Args;
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::failure::{Failure, INCOMPLETE, STATUSES};
use crate::live::capture::Capture as Sent;
use crate::live::mesh::listed;
use crate::live::trouble::{Trouble, Troubles};
use crate::live::{Follower, block_on};
use crate::output;
use crate::progress::Progress;
use crate::render::finding::number;
use crate::render::style::{ERROR, HELP, WARNING};

/// Capture what a control plane sends to a proxy, as a dump that `amesh translate` reads
///
/// Connects to istiod as the proxy that is named, waits until everything has come, and writes it in the shape of Envoy's
/// `/config_dump?include_eds`. What JSON cannot express is written as its bytes, so that nothing is lost; private keys are
/// written as `[redacted]`.
#[derive(Debug, Args)]
#[command(after_help = STATUSES)]
pub(super) struct Capture {
    /// Write the dump to this file, which is replaced in one step
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Write what has come when something is still missing after so many seconds, and exit with status 5
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Write the responses as they came, a line of JSON each, with resources byte for byte
    #[arg(long)]
    raw: bool,
    /// Write private keys and other secrets too
    #[arg(long)]
    keep_secrets: bool,
    /// Print only errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    client: Client,
}

/// How a capture ended.
struct Outcome {
    sent: Sent,
    /// The responses, where they are asked for.
    lines: Vec<u8>,
    /// What is not in those.
    left_out: Vec<LeftOut>,
    server: Option<Address>,
    /// Whether everything has come, or is known not to exist.
    complete: bool,
    absent: Vec<ResourceName>,
    /// Why there was no connection at last.
    trouble: Option<(Address, Trouble)>,
}

impl Capture {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut config = self.client.config()?;
        config.received = true;
        let node = config.session.node.clone();
        if let Some(path) = &self.output {
            output::check(path)?;
        }
        let progress = Progress::start(self.quiet);
        let outcome = block_on(self.receive(config, &progress))?;
        let count: usize = outcome.sent.counts().map(|(_, count)| count).sum();
        let Some(server) = outcome.server.as_ref().filter(|_| outcome.complete || count > 0) else {
            return Err(self.nothing(outcome.trouble));
        };
        progress.phase("writing");
        let counts: Vec<String> = outcome
            .sent
            .counts()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| number(count, noun(kind)))
            .collect();
        let mut warnings: Vec<String> = outcome
            .sent
            .rejected()
            .map(|rejected| format!("Envoy would refuse {rejected}"))
            .collect();
        if !outcome.absent.is_empty() {
            warnings.push(format!("not sent in time: {}", listed(&outcome.absent)));
        }
        let (json, left_out) = if self.raw {
            (outcome.lines, outcome.left_out)
        } else {
            let written = dump::write(Some(&node), &outcome.sent.into_resources(), &self.options());
            (written.json, written.left_out)
        };
        warnings.extend(left_out.iter().map(ToString::to_string));
        if let Some(path) = &self.output {
            output::to_file(path, |out| out.write_all(&json))?;
            drop(progress);
        } else {
            drop(progress);
            output::to_stdout(|out| out.write_all(&json))?;
        }
        for warning in &warnings {
            say(&format!("{WARNING}warning{WARNING:#}: {warning}"));
        }
        if !outcome.complete {
            let seconds = self.timeout;
            say(&format!(
                "{ERROR}error{ERROR:#}: {server} did not send everything within {seconds} s"
            ));
            say(&format!(
                "{HELP}help{HELP:#}: the dump holds what has come; --timeout SECONDS waits longer"
            ));
            return Ok(INCOMPLETE.into());
        }
        if !self.quiet {
            let total = number(count, "resource");
            say(&format!("{total} from {server}: {}", counts.join(", ")));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.keep_secrets = self.keep_secrets;
        options
    }

    /// Receives until everything has come or the time is over.
    async fn receive(&self, config: Config, progress: &Progress) -> Result<Outcome, Failure> {
        let end = Instant::now() + Duration::from_secs(self.timeout);
        let mut follower = Follower::start(config);
        let mut troubles = Troubles::default();
        let mut connected: Option<Address> = None;
        let mut outcome = Outcome {
            sent: Sent::default(),
            lines: Vec::new(),
            left_out: Vec::new(),
            server: None,
            complete: false,
            absent: Vec::new(),
            trouble: None,
        };
        progress.phase("connecting");
        while let Ok(message) = timeout_at(end, follower.next()).await {
            match message {
                Message::Connected(address) => {
                    progress.phase(format!("waiting for {address}"));
                    connected = Some(address);
                }
                Message::Received(response) => {
                    if self.raw {
                        let written = dump::write_response(line(&response), &self.options());
                        outcome.lines.extend(written.json);
                        outcome.left_out.extend(written.left_out);
                    }
                    outcome.sent.receive(response);
                }
                Message::Update(delivery, reply) => {
                    outcome.server.clone_from(&connected);
                    reply.send(outcome.sent.apply(delivery));
                    let count: usize = outcome.sent.counts().map(|(_, count)| count).sum();
                    progress.phase(format!("receiving: {count} resources"));
                }
                Message::Absent(names) => outcome.absent.extend(names),
                Message::Complete => {
                    outcome.complete = true;
                    break;
                }
                Message::Disconnected { address, error, .. } => {
                    let trouble = error.as_ref().map(Trouble::of);
                    if troubles.ended(&address, trouble.as_ref())
                        && let Some(trouble) = &trouble
                    {
                        progress.suspend(|| {
                            let message = &trouble.message;
                            say(&format!(
                                "{WARNING}warning{WARNING:#}: {address}: {message}; trying again"
                            ));
                        });
                    }
                    outcome.trouble = trouble.map(|trouble| (address, trouble));
                    progress.phase("connecting again");
                }
                _ => {}
            }
        }
        Ok(outcome)
    }

    /// Nothing has come at all.
    fn nothing(&self, trouble: Option<(Address, Trouble)>) -> Failure {
        let seconds = self.timeout;
        match trouble {
            Some((address, Trouble { message, help })) => {
                let failure = Failure::incomplete(format!("no answer within {seconds} s: {address}: {message}"));
                match help {
                    Some(help) => failure.help(help),
                    None => failure,
                }
            }
            None => Failure::incomplete(format!("no answer within {seconds} s")),
        }
    }
}

const fn line(response: &Response) -> dump::Response<'_> {
    match response {
        Response::StateOfTheWorld(response) => dump::Response::StateOfTheWorld(response),
        Response::Delta(response) => dump::Response::Delta(response),
    }
}

/// What a user calls a resource of that type.
const fn noun(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Listener => "listener",
        ResourceType::RouteConfiguration => "route configuration",
        ResourceType::Cluster => "cluster",
        ResourceType::ClusterLoadAssignment => "load assignment",
        ResourceType::Secret => "secret",
        ResourceType::TypedExtensionConfig => "extension",
    }
}

/// Prints a line on the error stream. Nobody reading it is no reason to fail.
fn say(line: &str) {
    drop(writeln!(anstream::stderr(), "{line}"));
}
