//! The workload's own certificate and the roots of its mesh, which Istio's clusters and listeners name `default` and
//! `ROOTCA` and which do not come with them from the control plane.
//!
//! There are three sources, and one is enough: [`sds`] takes secrets from the socket that Istio's agent or SPIRE serves,
//! [`files`] follows the files that the agent writes, and [`authority`] has a certificate signed by Istio's own authority.
//! Each is a future that tells its consumer a [`Message`] at a time, until the consumer closes its channel or the future is
//! dropped.
//!
//! What they hand on are updates like those of the control plane, and a [`Replica`](crate::Replica) takes them as well.
//! Whoever owns the replica receives from both channels and applies one update after the other, so nothing races. Secrets
//! mention no other resources: the verdict that [`Replica::apply`](crate::Replica::apply) gives for them is empty, and there
//! is nobody to tell it.
//!
//! ```
//! use amesh_xds::{Replica, stream, workload};
//! use tokio::sync::mpsc;
//!
//! async fn follow(mut control_plane: mpsc::Receiver<stream::Message>, mut workload: mpsc::Receiver<workload::Message>) {
//!     let mut replica = Replica::new();
//!     loop {
//!         let dirty = tokio::select! {
//!             Some(message) = control_plane.recv() => match message {
//!                 stream::Message::Update(delivery, reply) => {
//!                     let (dirty, verdict) = replica.apply(delivery.update);
//!                     reply.send(verdict);
//!                     dirty
//!                 }
//!                 _ => continue,
//!             },
//!             Some(message) = workload.recv() => match message {
//!                 workload::Message::Update(update) => replica.apply(update).0,
//!                 _ => continue,
//!             },
//!             else => return,
//!         };
//!         println!("{} changed", dirty.changed.len());
//!     }
//! }
//! ```

pub mod authority;
pub mod files;
pub mod sds;

mod certificate;
mod renewal;
#[cfg(test)]
mod testing;

use std::time::{Duration, SystemTime};

use amesh_core::Update;
use tokio::sync::mpsc;

use crate::stream;
pub use certificate::Invalid;

/// The name of the secret with the workload's certificate, its chain and its key.
pub const CERTIFICATE: &str = "default";

/// The name of the secret with the certificates that the mesh trusts.
pub const ROOTS: &str = "ROOTCA";

/// What the consumer is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Message {
    /// Secrets that are new or differ, and secrets that nobody follows any more.
    Update(Update),
    /// Something cannot be had, or is not good enough. What the consumer has stays in place.
    Failed {
        /// Why.
        error: Error,
        /// When the next try is, where it is not when something changes.
        retry: Option<Duration>,
    },
    /// The certificate that the consumer has is no longer valid, and there is no other. It is told once, and the certificate
    /// stays in place: those who are shown it refuse it.
    Expired {
        /// The secret.
        name: String,
        /// Since when.
        since: SystemTime,
    },
}

/// Why there is no certificate, or no newer one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read, there is no connection, or the server refuses.
    #[error(transparent)]
    Connection(#[from] stream::Error),
    /// What came is no good.
    #[error("{subject}: {reason}")]
    Invalid {
        /// Where it came from.
        subject: String,
        /// What is wrong with it.
        reason: Invalid,
    },
    /// A secret of a socket is no good, and its server was told so.
    #[error("refused: {0}")]
    Refused(String),
    /// A server did not send a secret in time. It may still come.
    #[error("secret {0} did not come in time")]
    Absent(String),
    /// The authority was silent.
    #[error("the certificate authority did not answer within {0:?}")]
    Silent(Duration),
    /// The request for a certificate cannot be made.
    #[error("no signing request can be made: {0}")]
    Request(String),
}

/// Logs a message and hands it on. Fails when the consumer is gone.
async fn tell(consumer: &mpsc::Sender<Message>, message: Message) -> Result<(), ()> {
    match &message {
        Message::Update(update) => {
            let names = update.put.iter().map(|put| put.name.as_str()).collect::<Vec<_>>();
            tracing::info!(
                put = names.join(","),
                removed = update.removed.len(),
                "workload secrets"
            );
        }
        Message::Failed { error, retry } => {
            let retry = retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
            tracing::warn!(%error, retry_ms = retry, "no workload secret");
        }
        Message::Expired { name, .. } => tracing::error!(name, "workload certificate expired"),
    }
    consumer.send(message).await.map_err(drop)
}

/// When the certificate that the consumer has ends, and whether that was told.
#[derive(Debug)]
struct Expiry {
    name: String,
    at: Option<SystemTime>,
}

impl Expiry {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            at: None,
        }
    }

    fn tell(&mut self, now: SystemTime) -> Option<Message> {
        let since = self.at.take_if(|at| *at <= now)?;
        Some(Message::Expired {
            name: self.name.clone(),
            since,
        })
    }
}

/// Sleeps until a moment of the clock on the wall, or less: that clock may be set, and goes on while the machine sleeps.
async fn sleep_until(moment: Option<SystemTime>) {
    const LONGEST: Duration = Duration::from_secs(30);
    let left = moment.map(|moment| moment.duration_since(SystemTime::now()).unwrap_or_default());
    tokio::time::sleep(left.map_or(LONGEST, |left| left.min(LONGEST))).await;
}
