//! `amesh watch`: a live mesh in APISIX's terms, push by push, and a standalone APISIX kept in step with it.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use amesh_core::Options;
use amesh_xds::server::Address;
use amesh_xds::stream::{Config, Message};
use clap::{Args, ValueEnum};
use tokio::time::{Instant, sleep_until};

use super::Translation;
use crate::client::Client;
use crate::failure::{Failure, STATUSES};
use crate::live::mesh::Mesh;
use crate::live::trouble::{Trouble, Troubles};
use crate::live::{Ending, Follower, block_on};
use crate::output;
use crate::progress::Progress;
use crate::render::event::{Event, Look};
use crate::render::{apisix_yaml, objects};

/// How long to wait before a file that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Follow a live control plane, and show what each push changes in APISIX
///
/// Stays connected to istiod until it is interrupted. Shows which APISIX objects and which findings come, change and go:
/// on a terminal as text, otherwise as one JSON object in a line for each event. With --output it keeps the
/// configuration file of a standalone APISIX in step.
#[derive(Debug, Args)]
#[command(after_help = STATUSES)]
pub(super) struct Watch {
    /// Keep this file in step, which is replaced in one step. It stays as it is until the mesh has come whole
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// The form of that file
    #[arg(long, value_enum, default_value_t = Format::ApisixYaml, requires = "output")]
    format: Format,
    /// The form of what is shown; text on a terminal, otherwise JSON lines
    #[arg(long, value_enum, value_name = "FORM")]
    events: Option<Form>,
    /// Begin with what has come when something is still missing after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: u64,
    /// Show changed objects line by line, and every finding
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    client: Client,
    #[command(flatten)]
    translation: Translation,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// The file of a standalone APISIX
    ApisixYaml,
    /// The same for an APISIX with `config_provider: json`
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs: a JSON object in a line for each event
    Json,
}

impl Watch {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let options = self.translation.options()?;
        let config = self.client.config()?;
        if let Some(path) = &self.output {
            output::check(path)?;
        }
        let json = match self.events {
            Some(form) => form == Form::Json,
            None => !io::stdout().is_terminal(),
        };
        let screen = Screen {
            look: Look {
                json,
                verbose: self.verbose,
            },
            progress: Progress::start(json),
            closed: false,
        };
        block_on(self.follow(config, options, screen))
    }

    async fn follow(&self, config: Config, options: Options, mut screen: Screen) -> Result<ExitCode, Failure> {
        let mut ending = Ending::new()?;
        let mut follower = Follower::start(config);
        let mut mesh = Mesh::new(options);
        let mut troubles = Troubles::default();
        let mut server: Option<Address> = None;
        // When to begin although something is missing; when to write again what could not be written.
        let (mut patience, mut retry): (Option<Instant>, Option<Instant>) = (None, None);
        screen.progress.phase("connecting");
        loop {
            let waiting = [mesh.due(), patience, retry].into_iter().flatten().min();
            tokio::select! {
                () = ending.asked() => break,
                message = follower.next() => match message {
                    Message::Connected(address) => {
                        screen.progress.phase(format!("waiting for {address}"));
                        server = Some(address);
                    }
                    Message::Update(delivery, reply) => {
                        if let Some(server) = &server
                            && troubles.answered(server)
                        {
                            screen.show(&Event::Connected(server))?;
                        }
                        if !delivery.kept.is_empty() {
                            screen.show(&Event::Kept(&delivery.kept))?;
                        }
                        reply.send(mesh.apply(delivery));
                        if !mesh.has_begun() && patience.is_none() {
                            patience = Some(Instant::now() + Duration::from_secs(self.wait));
                        }
                        screen.progress.phase(status(&mesh, server.as_ref()));
                    }
                    Message::Refused(kind, message) => screen.show(&Event::Refused(kind, &message))?,
                    Message::Absent(names) => screen.show(&Event::Absent(&names))?,
                    Message::Complete => {
                        patience = None;
                        mesh.begin();
                    }
                    Message::Disconnected { address, error, retry } => {
                        let trouble = error.as_ref().map(Trouble::of);
                        if troubles.ended(&address, trouble.as_ref()) {
                            screen.show(&Event::Disconnected { server: &address, trouble: trouble.as_ref(), retry })?;
                        }
                        screen.progress.phase(format!("trying {address} again"));
                        server = None;
                    }
                    _ => {}
                },
                () = until(waiting) => {
                    let now = Instant::now();
                    if patience.is_some_and(|patience| patience <= now) {
                        patience = None;
                        mesh.begin();
                    }
                    let push = mesh.due().filter(|due| *due <= now).and_then(|_| mesh.take());
                    if let Some(push) = &push {
                        screen.show(&Event::Push(push))?;
                    }
                    let changed = push.is_some_and(|push| push.first || !push.old.objects.is_empty() || !push.new.objects.is_empty());
                    if changed || retry.is_some_and(|retry| retry <= now) {
                        retry = self.write(&mesh, &mut screen)?;
                    }
                    screen.progress.phase(status(&mesh, server.as_ref()));
                }
            }
            if screen.closed {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if let Some(push) = mesh.take() {
            screen.show(&Event::Push(&push))?;
            self.write(&mesh, &mut screen)?;
        }
        screen.show(&Event::Stopped)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Brings the file in step. Gives when to try again if that failed.
    fn write(&self, mesh: &Mesh, screen: &mut Screen) -> Result<Option<Instant>, Failure> {
        let Some(path) = &self.output else { return Ok(None) };
        let written = output::to_file(path, |out| match self.format {
            Format::ApisixYaml => apisix_yaml::write(mesh.objects(), out),
            Format::Json => objects::write_json(mesh.objects(), out),
        });
        match written {
            Ok(()) => {
                screen.show(&Event::Written(path))?;
                Ok(None)
            }
            Err(failure) => {
                let error = failure.message();
                screen.show(&Event::Unwritten { path, error })?;
                Ok(Some(Instant::now() + RETRY))
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What is going on, for the line that a terminal shows meanwhile.
fn status(mesh: &Mesh, server: Option<&Address>) -> String {
    let Some(server) = server else {
        return "not connected".to_owned();
    };
    if mesh.has_begun() {
        format!("following {server}")
    } else {
        format!("receiving from {server}: {} resources", mesh.resources())
    }
}

/// Where events are shown.
struct Screen {
    look: Look,
    progress: Progress,
    /// Nobody reads any longer.
    closed: bool,
}

impl Screen {
    fn show(&mut self, event: &Event<'_>) -> Result<(), Failure> {
        let look = self.look;
        let now = SystemTime::now();
        let shown = self.progress.suspend(|| {
            if event.is_trouble() && !look.json {
                // Nobody reading the error stream is no reason to end.
                drop(event.write(look, now, &mut anstream::stderr().lock()));
                return Ok(true);
            }
            output::event(|out| event.write(look, now, out))
        })?;
        self.closed |= !shown;
        Ok(())
    }
}
