//! Certificates in files that someone else keeps fresh: Istio's agent, which writes them where `OUTPUT_CERTS` says, or
//! whoever mounts `/var/run/secrets/workload-spiffe-credentials`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use amesh_core::{Resource, Update};
use tokio::sync::mpsc;

use super::certificate::{Certified, Invalid, Key, Roots};
use super::{CERTIFICATE, Error, Expiry, Message, ROOTS, tell};
use crate::stream;

/// How often files are read until there was a certificate: the agent writes it a moment after it has started.
const EAGER: Duration = Duration::from_millis(500);

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The certificate and its chain, as PEM.
    pub chain: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// The certificates that the mesh trusts, as PEM.
    pub roots: PathBuf,
    /// How often the files are read; every 5 s.
    pub interval: Duration,
    /// How long files must have stayed the same before they are used; 100 ms, as Istio's agent waits.
    pub settle: Duration,
}

impl Config {
    /// `cert-chain.pem`, `key.pem` and `root-cert.pem` in a folder, as Istio names them everywhere.
    #[must_use]
    pub fn new(folder: impl AsRef<Path>) -> Self {
        let file = |name| folder.as_ref().join(name);
        Self {
            chain: file("cert-chain.pem"),
            key: file("key.pem"),
            roots: file("root-cert.pem"),
            interval: Duration::from_secs(5),
            settle: Duration::from_millis(100),
        }
    }
}

/// Hands on what is in the files, as the secrets [`CERTIFICATE`] and [`ROOTS`], and again when it changed, until the
/// consumer closes its channel. Needs a tokio runtime with time.
pub async fn run(config: Config, consumer: mpsc::Sender<Message>) {
    let mut watch = Watch::new(&config);
    loop {
        let (messages, settled) = watch.handle(SystemTime::now(), read_pair(&config), read(&config.roots));
        for message in messages {
            if tell(&consumer, message).await.is_err() {
                return;
            }
        }
        let wait = match (settled, watch.has_both()) {
            (false, _) => config.settle,
            (true, false) => config.interval.min(EAGER),
            (true, true) => config.interval,
        };
        tokio::select! {
            () = consumer.closed() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

type Pair = (Vec<u8>, Key);

fn read_pair(config: &Config) -> Result<Pair, Error> {
    Ok((read(&config.chain)?, Key::new(read(&config.key)?)))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| {
        let path = path.to_owned();
        stream::Error::File { path, error }.into()
    })
}

/// What was read before, and what of it is in use.
#[derive(Debug)]
struct Watch {
    pair: Watched<Pair>,
    roots: Watched<Vec<u8>>,
    expiry: Expiry,
}

impl Watch {
    fn new(config: &Config) -> Self {
        Self {
            pair: Watched::new(&config.chain),
            roots: Watched::new(&config.roots),
            expiry: Expiry::new(CERTIFICATE),
        }
    }

    fn has_both(&self) -> bool {
        self.pair.used.is_some() && self.roots.used.is_some()
    }

    /// Takes what was read. Gives what to tell the consumer, and whether there is time for the next look.
    fn handle(
        &mut self,
        now: SystemTime,
        pair: Result<Pair, Error>,
        roots: Result<Vec<u8>, Error>,
    ) -> (Vec<Message>, bool) {
        let mut messages = Vec::new();
        let mut put = Vec::new();
        let expiry = &mut self.expiry;
        let pair = self.pair.handle(pair, |(chain, key)| {
            let certified = Certified::new(chain, key.clone())?;
            certified.check(now)?;
            expiry.at = Some(certified.not_after);
            Ok(certified.secret(CERTIFICATE))
        });
        let roots = self.roots.handle(roots, |pem| Ok(Roots::new(pem)?.secret(ROOTS)));
        let mut settled = true;
        for step in [pair, roots] {
            match step {
                Step::Same => {}
                Step::Unsettled => settled = false,
                Step::Changed(resource) => put.push(resource),
                Step::Bad(error) => messages.push(Message::Failed { error, retry: None }),
            }
        }
        if !put.is_empty() {
            let removed = Vec::new();
            messages.push(Message::Update(Update { put, removed }));
        }
        messages.extend(self.expiry.tell(now));
        (messages, settled)
    }
}

/// What a look at files led to.
#[derive(Debug)]
enum Step {
    /// There is nothing new, or nothing that was not told.
    Same,
    /// They are changing: look again soon.
    Unsettled,
    Changed(Resource),
    Bad(Error),
}

/// Files that belong together.
#[derive(Debug)]
struct Watched<T> {
    subject: String,
    used: Option<T>,
    /// What was read last, where it is not what is used.
    last: Option<T>,
    /// What was complained of last, so that it is told once.
    told: Option<String>,
}

impl<T: PartialEq> Watched<T> {
    fn new(path: &Path) -> Self {
        Self {
            subject: path.display().to_string(),
            used: None,
            last: None,
            told: None,
        }
    }

    /// Files are used when they were read the same twice: one that is being written is not, and neither is a certificate
    /// whose key has yet to be written.
    fn handle(&mut self, read: Result<T, Error>, judge: impl FnOnce(&T) -> Result<Resource, Invalid>) -> Step {
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.last = None;
                return self.complain(error);
            }
        };
        if self.used.as_ref() == Some(&read) {
            self.last = None;
            self.told = None;
            return Step::Same;
        }
        if self.last.as_ref() != Some(&read) {
            self.last = Some(read);
            return Step::Unsettled;
        }
        match judge(&read) {
            Ok(resource) => {
                self.used = self.last.take();
                self.told = None;
                Step::Changed(resource)
            }
            Err(reason) => self.complain(Error::Invalid {
                subject: self.subject.clone(),
                reason,
            }),
        }
    }

    fn complain(&mut self, error: Error) -> Step {
        let text = error.to_string();
        if self.told.as_ref() == Some(&text) {
            return Step::Same;
        }
        self.told = Some(text);
        Step::Bad(error)
    }
}

#[cfg(test)]
mod tests;
