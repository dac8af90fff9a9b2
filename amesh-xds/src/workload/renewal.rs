//! When to ask the authority, and what becomes of its answers: a state machine without network, clock and chance.

use std::time::{Duration, SystemTime};

use amesh_core::Update;

use super::certificate::{Certified, Key, Roots};
use super::{CERTIFICATE, Error, Expiry, Message, ROOTS};
use crate::backoff::Backoff;

/// The share of the lifetime that is left when a certificate is renewed, and by how much it varies to either side, so that
/// a mesh that started at once does not come back at once. Both as Istio's agent has them.
const LEFT: f64 = 0.5;
const JITTER: f64 = 0.01;

/// No renewal comes sooner after the last one, however short certificates live.
const SHORTEST: Duration = Duration::from_millis(500);

/// How far the clock may go back without the wait being called off.
const SLACK: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// Time went by.
    Tick,
    /// The request has come to an end: the key that was made for it, and the answer.
    Answer(Result<(Key, Vec<String>), Error>),
}

/// What to do.
#[derive(Debug)]
pub(super) enum Action {
    /// Make a key, and ask for a certificate. There is one request at a time.
    Ask,
    /// Tell the consumer.
    Tell(Message),
}

/// A wait. It ends early when the clock turns out to have been ahead, because its end may never come then.
#[derive(Debug)]
struct Wait {
    since: SystemTime,
    until: SystemTime,
}

impl Wait {
    fn new(now: SystemTime, wait: Duration) -> Self {
        Self {
            since: now,
            until: now + wait,
        }
    }

    fn is_over(&self, now: SystemTime) -> bool {
        now >= self.until || now + SLACK < self.since
    }
}

/// A certificate that is kept fresh.
#[derive(Debug)]
pub(super) struct Renewal {
    backoff: Backoff,
    asking: bool,
    /// Nothing at first: then there is no time to lose.
    wait: Option<Wait>,
    expiry: Expiry,
    roots: Option<Roots>,
}

impl Renewal {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            asking: false,
            wait: None,
            expiry: Expiry::new(CERTIFICATE),
            roots: None,
        }
    }

    /// Takes an event, with the time and a random number of at least 0 and less than 1.
    pub(super) fn handle(&mut self, now: SystemTime, random: f64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Event::Answer(answer) = event {
            self.asking = false;
            let read = answer.and_then(|(key, answer)| {
                Certified::from_answer(&answer, key, now).map_err(|reason| Error::Invalid {
                    subject: "the answer of the certificate authority".to_owned(),
                    reason,
                })
            });
            actions.push(Action::Tell(match read {
                Ok((certified, roots)) => self.accept(now, random, &certified, roots),
                Err(error) => {
                    let retry = self.backoff.next(random);
                    self.wait = Some(Wait::new(now, retry));
                    Message::Failed {
                        error,
                        retry: Some(retry),
                    }
                }
            }));
        }
        actions.extend(self.expiry.tell(now).map(Action::Tell));
        if !self.asking && self.wait.as_ref().is_none_or(|wait| wait.is_over(now)) {
            self.asking = true;
            actions.push(Action::Ask);
        }
        actions
    }

    /// When the next [`Event::Tick`] is due.
    pub(super) fn deadline(&self) -> Option<SystemTime> {
        let ask = self.wait.as_ref().map(|wait| wait.until).filter(|_| !self.asking);
        ask.into_iter().chain(self.expiry.at).min()
    }

    fn accept(&mut self, now: SystemTime, random: f64, certified: &Certified, roots: Roots) -> Message {
        self.backoff.reset();
        // From now on: authorities date certificates back, for clocks that are behind.
        let lifetime = certified.not_after.duration_since(now).unwrap_or_default();
        let left = LEFT + JITTER * (random.clamp(0.0, 1.0) * 2.0 - 1.0);
        self.wait = Some(Wait::new(now, lifetime.mul_f64(1.0 - left).max(SHORTEST)));
        self.expiry.at = Some(certified.not_after);
        let mut put = vec![certified.secret(CERTIFICATE)];
        if self.roots.as_ref() != Some(&roots) {
            put.push(roots.secret(ROOTS));
            self.roots = Some(roots);
        }
        Message::Update(Update {
            put,
            removed: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
