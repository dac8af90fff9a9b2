//! A control plane followed live: what `capture` and `watch` share.

pub(crate) mod capture;
pub(crate) mod mesh;
pub(crate) mod trouble;

use std::future::Future;
use std::io;

use amesh_xds::session::Changes;
use amesh_xds::stream::{self, Config, Message};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::input::plain;

/// Runs a command that waits for other things than its user.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let failed = |error: io::Error| Failure::input(format!("failed to start: {}", plain(&error)));
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?
        .block_on(work)
}

/// A client at work. It ends with this value.
pub(crate) struct Follower {
    messages: mpsc::Receiver<Message>,
    task: JoinHandle<()>,
    /// Nothing is wanted by name but what the resources refer to. Held because the client listens at the other end.
    _changes: mpsc::Sender<Changes>,
}

impl Follower {
    /// Connects, and goes on until the value is dropped.
    pub(crate) fn start(config: Config) -> Self {
        let (sender, messages) = mpsc::channel(1);
        let (changes, receiver) = mpsc::channel(1);
        Self {
            messages,
            task: tokio::spawn(stream::run(config, sender, receiver)),
            _changes: changes,
        }
    }

    /// The next message. The client ends only with this value.
    pub(crate) async fn next(&mut self) -> Message {
        match self.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until somebody asks this process to end: Ctrl-C or, on Unix, SIGTERM.
pub(crate) struct Ending {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Ending {
    /// From now on such a signal is waited for instead of ending the process at once.
    pub(crate) fn new() -> Result<Self, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let failed = |error: io::Error| Failure::input(format!("failed to start: {}", plain(&error)));
            Ok(Self {
                terminate: signal(SignalKind::terminate()).map_err(failed)?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Comes back when it is time to end.
    pub(crate) async fn asked(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        #[cfg(not(unix))]
        drop(tokio::signal::ctrl_c().await);
    }
}
