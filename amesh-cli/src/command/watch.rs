//! `amesh watch`: a live mesh in APISIX's terms, push by push, and a standalone APISIX kept in step with it.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

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
    /// Keep this file in step. It is replaced in one step, once a second at most, and not before the mesh has come whole
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
        let watching = Watching {
            watch: &self,
            screen: Screen {
                look: Look {
                    json,
                    verbose: self.verbose,
                },
                progress: Progress::start(json),
                closed: false,
            },
            mesh: Mesh::new(options),
            troubles: Troubles::default(),
            server: None,
            patience: None,
            write: None,
        };
        block_on(watching.follow(config))
    }
}

/// A mesh that is followed.
struct Watching<'w> {
    watch: &'w Watch,
    screen: Screen,
    mesh: Mesh,
    troubles: Troubles,
    /// To whom there is a connection.
    server: Option<Address>,
    /// When to begin although something is missing.
    patience: Option<Instant>,
    /// When to bring the file in step.
    write: Option<Instant>,
}

impl Watching<'_> {
    /// Goes on until somebody wants it to end, or nobody reads any longer.
    async fn follow(mut self, config: Config) -> Result<ExitCode, Failure> {
        let mut ending = Ending::new()?;
        let mut follower = Follower::start(config);
        self.screen.progress.phase("connecting");
        while !self.screen.closed {
            let waiting = [self.mesh.due(), self.patience, self.write];
            tokio::select! {
                () = ending.asked() => return self.end().await,
                message = follower.next() => self.hear(message)?,
                () = until(waiting.into_iter().flatten().min()) => self.act()?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Takes what the client of the control plane has to say.
    fn hear(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Connected(address) => {
                self.screen.progress.phase(format!("waiting for {address}"));
                self.server = Some(address);
            }
            Message::Update(delivery, reply) => {
                if let Some(server) = &self.server
                    && self.troubles.answered(server)
                {
                    self.screen.show(&Event::Connected(server))?;
                }
                if !delivery.kept.is_empty() {
                    self.screen.show(&Event::Kept(&delivery.kept))?;
                }
                reply.send(self.mesh.apply(delivery));
                if !self.mesh.has_begun() && self.patience.is_none() {
                    self.patience = Some(Instant::now() + Duration::from_secs(self.watch.wait));
                }
                self.screen.progress.phase(self.status());
            }
            Message::Refused(kind, message) => self.screen.show(&Event::Refused(kind, &message))?,
            Message::Absent(names) => self.screen.show(&Event::Absent(&names))?,
            Message::Complete => {
                self.patience = None;
                self.mesh.begin();
            }
            Message::Disconnected { address, error, retry } => {
                let trouble = error.as_ref().map(Trouble::of);
                if self.troubles.ended(&address, trouble.as_ref()) {
                    self.screen.show(&Event::Disconnected {
                        server: &address,
                        trouble: trouble.as_ref(),
                        retry,
                    })?;
                }
                self.screen.progress.phase(format!("trying {address} again"));
                self.server = None;
            }
            _ => {}
        }
        Ok(())
    }

    /// Does what is due.
    fn act(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.patience.is_some_and(|patience| patience <= now) {
            self.patience = None;
            self.mesh.begin();
        }
        if self.mesh.due().is_some_and(|due| due <= now) {
            self.show()?;
        }
        if self.write.is_some_and(|moment| moment <= now) {
            self.bring_in_step()?;
        }
        self.screen.progress.phase(self.status());
        Ok(())
    }

    /// Shows what changed, and sees to it that the file will be in step.
    fn show(&mut self) -> Result<(), Failure> {
        let Some(push) = self.mesh.take() else { return Ok(()) };
        self.screen.show(&Event::Push(&push))?;
        if self.write.is_none() && push.concerns_objects() {
            self.write = self.watch.output.as_deref().map(turn);
        }
        Ok(())
    }

    fn bring_in_step(&mut self) -> Result<(), Failure> {
        self.write = None;
        let Some(path) = &self.watch.output else { return Ok(()) };
        let written = output::to_file(path, |out| match self.watch.format {
            Format::ApisixYaml => apisix_yaml::write(self.mesh.objects(), out),
            Format::Json => objects::write_json(self.mesh.objects(), out),
        });
        match written {
            Ok(()) => self.screen.show(&Event::Written(path)),
            Err(failure) => {
                self.write = Some(Instant::now() + RETRY);
                let error = failure.message();
                self.screen.show(&Event::Unwritten { path, error })
            }
        }
    }

    /// Leaves the file in step.
    async fn end(mut self) -> Result<ExitCode, Failure> {
        self.show()?;
        if let Some(moment) = self.write {
            // No longer than for the next second to begin: what could not be written before is tried once more.
            sleep_until(moment.min(Instant::now() + Duration::from_millis(1100))).await;
            self.bring_in_step()?;
        }
        self.screen.show(&Event::Stopped)?;
        Ok(ExitCode::SUCCESS)
    }

    /// What is going on, for the line that a terminal shows meanwhile.
    fn status(&self) -> String {
        match &self.server {
            None => "not connected".to_owned(),
            Some(server) if self.mesh.has_begun() => format!("following {server}"),
            Some(server) => format!("receiving from {server}: {} resources", self.mesh.resources()),
        }
    }
}

/// When a file may be replaced: APISIX looks at the second in which it was written, and takes two versions of one second
/// for the same.
fn turn(path: &Path) -> Instant {
    let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = since_epoch(SystemTime::now());
    let written = fs::metadata(path).and_then(|file| file.modified()).map(since_epoch);
    match written {
        Ok(written) if written.as_secs() == now.as_secs() => {
            // The clock of files is a little behind.
            let next = Duration::from_secs(now.as_secs() + 1) + Duration::from_millis(20);
            Instant::now() + next.saturating_sub(now)
        }
        _ => Instant::now(),
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
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
