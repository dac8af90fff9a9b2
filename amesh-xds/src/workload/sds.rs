//! Secrets from a server of SDS, such as Istio's agent or SPIRE at a Unix socket: the workload's certificate and roots, and
//! whatever else a cluster or listener takes from there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use amesh_core::decode::Body;
use amesh_core::finding::ResourceName;
use amesh_core::{ResourceType, Update};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::certificate::judge;
use super::{Error, Expiry, Message, sleep_until, tell};
use crate::session::{Delivery, Service, Verdict};
use crate::stream;

/// Follows the secrets that are wanted, until the consumer closes its channel. A name that is no longer wanted is followed
/// no longer and removed; the sender of `wanted` may be dropped, and the names stay as they are then.
///
/// `config` says where the server is and who asks; what is asked for is set here. Each secret has a stream of its own, as
/// with Envoy: Istio's agent ends a stream when it lacks one of the secrets that are asked for on it.
///
/// A secret is refused, and its last good version stays, when it cannot be read, when its key is not that of its
/// certificate, or when the certificate has expired.
///
/// Needs a tokio runtime with I/O and time.
pub async fn run(
    config: stream::Config,
    mut wanted: watch::Receiver<BTreeSet<String>>,
    consumer: mpsc::Sender<Message>,
) {
    // A set of one task each, which ends with the set.
    let mut followed: BTreeMap<String, JoinSet<()>> = BTreeMap::new();
    loop {
        let names = wanted.borrow_and_update().clone();
        let gone: Vec<String> = followed.keys().filter(|name| !names.contains(*name)).cloned().collect();
        let mut removed = Vec::new();
        for name in gone {
            if let Some(mut task) = followed.remove(&name) {
                // To its end: it might put the secret after it was removed.
                task.shutdown().await;
                removed.push(secret(&name));
            }
        }
        if !removed.is_empty() {
            let put = Vec::new();
            let message = Message::Update(Update { put, removed });
            if tell(&consumer, message).await.is_err() {
                return;
            }
        }
        for name in names {
            followed.entry(name).or_insert_with_key(|name| {
                let mut task = JoinSet::new();
                task.spawn(follow(name.clone(), config.clone(), consumer.clone()));
                task
            });
        }
        tokio::select! {
            () = consumer.closed() => return,
            changed = wanted.changed() => if changed.is_err() {
                return consumer.closed().await;
            },
        }
    }
}

fn secret(name: &str) -> ResourceName {
    ResourceName {
        kind: ResourceType::Secret,
        name: name.to_owned(),
    }
}

/// Follows one secret.
async fn follow(name: String, mut config: stream::Config, consumer: mpsc::Sender<Message>) {
    config.session.service = Service::Secrets;
    config.session.wanted = BTreeSet::from([secret(&name)]);
    let (sender, mut messages) = mpsc::channel(1);
    let (_, changes) = mpsc::channel(1);
    let consume = async {
        let mut expiry = Expiry::new(&name);
        loop {
            let told = tokio::select! {
                message = messages.recv() => match message {
                    Some(stream::Message::Update(delivery, reply)) => {
                        let (update, verdict) = sort(delivery, &mut expiry, SystemTime::now());
                        // Told first: what is acknowledged is in the consumer's hands.
                        if !update.put.is_empty() && tell(&consumer, Message::Update(update)).await.is_err() {
                            return;
                        }
                        reply.send(verdict);
                        None
                    }
                    Some(message) => complaint(message),
                    None => return,
                },
                () = sleep_until(expiry.at) => expiry.tell(SystemTime::now()),
            };
            if let Some(told) = told
                && tell(&consumer, told).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = stream::run(config, sender, changes) => {}
        () = consume => {}
    }
}

/// What the consumer gets of a delivery, and what the server is told.
fn sort(delivery: Delivery, expiry: &mut Expiry, now: SystemTime) -> (Update, Verdict) {
    let mut update = Update::default();
    let mut verdict = Verdict::default();
    for put in delivery.update.put {
        let Body::Secret(message) = &put.body else { continue };
        match judge(message, now) {
            Ok(certified) => {
                expiry.at = certified.map(|certified| certified.not_after);
                update.put.push(put);
            }
            Err(reason) => verdict.rejected.push((secret(&put.name), reason.to_string())),
        }
    }
    (update, verdict)
}

/// What went wrong, if a message says so.
fn complaint(message: stream::Message) -> Option<Message> {
    let (error, retry) = match message {
        stream::Message::Disconnected {
            error: Some(error),
            retry,
            ..
        } => (Error::Connection(error), Some(retry)),
        stream::Message::Refused(_, reason) => (Error::Refused(reason), None),
        stream::Message::Absent(names) => {
            let names: Vec<String> = names.into_iter().map(|name| name.name).collect();
            (Error::Absent(names.join(", ")), None)
        }
        _ => return None,
    };
    Some(Message::Failed { error, retry })
}
