//! The library's own thread: it follows the control plane, and nothing that goes wrong in it ends the process.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use amesh_xds::stream::{self, Config, Message};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::agent::Agent;
use crate::clock::owner;
use crate::publish::{Failure, Publisher};
use crate::settings::Settings;
use crate::shdict::{self, SharedDictionary};
use crate::status::Status;
use crate::wake::Bell;
use crate::zone::Zone as _;

/// How often it is looked whether the dictionary is as it was left.
const AUDIT: Duration = Duration::from_secs(60);

/// How often the status is written, at most.
const STATUS: Duration = Duration::from_secs(1);

/// How long after a failure a publish is tried again, if nothing else gives rise to it.
const RETRY: Duration = Duration::from_secs(5);

/// How long to wait before the work is begun anew after a panic: at first, and at most.
const RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Starts the thread.
pub(crate) fn spawn(
    config: SharedDictionary,
    version: SharedDictionary,
    client: Config,
    settings: Settings,
) -> io::Result<()> {
    let work = move || {
        keep_on(RESTART, || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(follow(config, version, client.clone(), &settings)),
                Err(error) => tracing::error!(%error, "no event loop can be made"),
            }
        });
    };
    shdict::without_signals(|| thread::Builder::new().name("amesh".to_owned()).spawn(work)).map(drop)
}

/// Does the work until it is done; after a panic it is begun anew, later each time.
fn keep_on((first, longest): (Duration, Duration), mut work: impl FnMut()) {
    let mut wait = first;
    loop {
        let began = Instant::now();
        if catch_unwind(AssertUnwindSafe(&mut work)).is_ok() || !shdict::is_open() {
            return;
        }
        if began.elapsed() > longest {
            wait = first;
        }
        tracing::error!(
            retry_s = wait.as_secs(),
            "panicked: what is in the dictionary goes on serving"
        );
        thread::sleep(wait);
        wait = (wait * 2).min(longest);
    }
}

/// Follows the control plane until somebody else does, or nginx ends.
async fn follow(config: SharedDictionary, version: SharedDictionary, client: Config, settings: &Settings) {
    let publisher = match Publisher::adopt(config, version, &owner()) {
        Ok(publisher) => publisher,
        Err(error) => {
            tracing::error!(%error, "the dictionaries cannot be taken over");
            // Without this the one of the process before would say that all is well.
            let status = serde_json::to_vec(&Status::unable(&error)).unwrap_or_default();
            let _ = version.set("status", &status);
            return;
        }
    };
    let bell = settings.wake_socket.as_deref().and_then(|path| {
        let made = Bell::new(path);
        let failed =
            |error| tracing::error!(path = %path.display(), %error, "no wake-up socket: workers look by themselves");
        made.map_err(failed).ok()
    });
    let servers: Vec<String> = client.servers.iter().map(|server| server.address.to_string()).collect();
    tracing::info!(
        release = env!("CARGO_PKG_VERSION"),
        servers = servers.join(","),
        node = client.session.node.id,
        "following"
    );
    let following = Following {
        agent: Agent::new(settings.options.clone(), publisher),
        bell,
    };
    match following.run(client, settings.wait).await {
        Failure::Superseded => tracing::info!("another process has taken over: this one stops"),
        failure => tracing::info!(%failure, "stopped"),
    }
}

struct Following {
    agent: Agent<SharedDictionary>,
    bell: Option<Bell>,
}

impl Following {
    /// Goes on until there is no use in it, and tells why.
    async fn run(mut self, client: Config, wait: Duration) -> Failure {
        let (sender, mut messages) = mpsc::channel(1);
        // Nothing is wanted by name but what the resources refer to.
        let (_changes, receiver) = mpsc::channel(1);
        let client = stream::run(client, sender, receiver);
        tokio::pin!(client);
        let mut patience = Some(tokio::time::Instant::now() + wait);
        let every = |period| {
            let mut every = interval(period);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            every
        };
        let (mut audit, mut status, mut retry) = (every(AUDIT), every(STATUS), every(RETRY));
        loop {
            let done = tokio::select! {
                // The client ends only with its consumer.
                () = &mut client => Ok(()),
                Some(message) = messages.recv() => self.hear(message),
                () = until(patience) => {
                    patience = None;
                    self.agent.lose_patience(wait).and_then(|()| self.publish())
                }
                () = until(self.agent.held_until()) => {
                    self.agent.release();
                    self.publish()
                }
                _ = audit.tick() => self.agent.audit().and_then(|()| self.publish()),
                _ = status.tick() => self.agent.tell(),
                _ = retry.tick(), if self.agent.is_behind() => self.publish(),
                () = take(&mut self.bell) => Ok(()),
            };
            match done {
                Err(failure) if failure.is_final() => return failure,
                // Told where it happened, and tried again.
                Err(_) | Ok(()) => {}
            }
        }
    }

    /// Takes what the client of the control plane has to say.
    fn hear(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Connected(address) => {
                self.agent.status().connected = Some(address.to_string());
                tracing::info!(server = %address, "connected");
            }
            Message::Update(delivery, reply) => {
                self.agent.status().error = None;
                reply.send(self.agent.apply(delivery));
                return self.publish();
            }
            Message::Refused(kind, message) => {
                tracing::warn!(%kind, reason = message, "refused");
                self.agent.status().pushes(kind).error = Some(message);
            }
            Message::Absent(names) => {
                let first = names.first().map(tracing::field::display);
                tracing::warn!(
                    count = names.len(),
                    first,
                    "the control plane does not send what is referred to"
                );
            }
            Message::Complete => {
                self.agent.begin();
                return self.publish();
            }
            Message::Disconnected { error, .. } => {
                let status = self.agent.status();
                status.connected = None;
                status.error = error.map(|error| error.to_string());
                status.disconnects += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Failure> {
        if self.agent.publish()?
            && let Some(bell) = &mut self.bell
        {
            bell.ring();
        }
        Ok(())
    }
}

async fn take(bell: &mut Option<Bell>) {
    match bell {
        Some(bell) => bell.take().await,
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_panic_the_work_is_begun_anew() {
        let mut runs = 0;
        let began = Instant::now();
        keep_on((Duration::from_millis(10), Duration::from_millis(15)), || {
            runs += 1;
            assert!(runs > 3, "this panic is wanted");
        });
        assert_eq!(runs, 4);
        assert!(began.elapsed() >= Duration::from_millis(10 + 15 + 15));
    }
}
