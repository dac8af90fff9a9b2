//! The mesh, its translation, and the dictionary that is kept in step with it.

use std::time::Duration;

use amesh_core::{Options, ResourceType, Translation, Updated, translate};
use amesh_xds::Replica;
use amesh_xds::session::{Delivery, Verdict};

use crate::clock::now;
use crate::hold::Hold;
use crate::log;
use crate::publish::{Failure, Publisher};
use crate::status::{Publish, Status};
use crate::zone::Zone;

/// How full a dictionary is when that is told, in percent: sooner and louder.
const FULL: [usize; 2] = [70, 85];

/// Everything between the control plane and the dictionary.
pub(crate) struct Agent<Z: Zone> {
    options: Options,
    replica: Replica,
    translation: Option<Translation>,
    publisher: Publisher<Z>,
    hold: Hold,
    status: Status,
    /// The status differs from the one in the dictionary.
    untold: bool,
    /// The highest level of [`FULL`] that was told.
    warned: usize,
}

impl<Z: Zone> Agent<Z> {
    pub(crate) fn new(options: Options, publisher: Publisher<Z>) -> Self {
        Self {
            options,
            replica: Replica::new(),
            translation: None,
            publisher,
            hold: Hold::default(),
            status: Status::new(),
            untold: true,
            warned: 0,
        }
    }

    /// Whether the dictionary follows the mesh by now.
    pub(crate) const fn has_begun(&self) -> bool {
        self.translation.is_some()
    }

    /// The status, to be changed.
    pub(crate) const fn status(&mut self) -> &mut Status {
        self.untold = true;
        &mut self.status
    }

    /// Takes what the control plane sent. Whether it was published is for [`Agent::publish`] to say.
    pub(crate) fn apply(&mut self, delivery: Delivery) -> Verdict {
        let (kind, accepted) = (delivery.kind, delivery.rejected.is_empty());
        let version = delivery.version.clone();
        let (dirty, verdict) = self.replica.apply(delivery.update);
        if let Some(translation) = &mut self.translation {
            self.hold
                .apply(self.replica.snapshot(), &dirty, tokio::time::Instant::now());
            let updated = translation.update(self.replica.snapshot(), &dirty);
            self.publisher.want(&updated.changes);
            self.note(&updated);
        }
        let counts = ResourceType::ALL.map(|kind| (kind, self.replica.snapshot().count(kind)));
        self.status().hold(counts);
        let pushes = self.status().pushes(kind);
        pushes.version = version;
        pushes.last = now();
        if accepted {
            pushes.acknowledged += 1;
            pushes.error = None;
        } else {
            pushes.refused += 1;
        }
        verdict
    }

    /// From now on the dictionary follows the mesh: it is whole, or as whole as it gets.
    pub(crate) fn begin(&mut self) {
        if self.translation.is_some() {
            return;
        }
        let translation = translate(self.replica.snapshot(), &self.options);
        let mut updated = Updated::default();
        updated.come = translation.findings().into_iter().cloned().collect();
        self.publisher.want_only(translation.objects());
        self.translation = Some(translation);
        self.status().begun = true;
        self.note(&updated);
    }

    /// The time for the first configuration is over. An APISIX that has none begins with what has come; one that has goes on
    /// with what it has.
    pub(crate) fn lose_patience(&mut self, wait: Duration) -> Result<(), Failure> {
        if self.has_begun() {
            return Ok(());
        }
        let wait_s = wait.as_secs();
        if self.publisher.announced()?.is_some() {
            tracing::warn!(
                wait_s,
                "the configuration is not whole yet: what was there before goes on serving"
            );
        } else {
            tracing::warn!(
                wait_s,
                "the configuration is not whole yet: beginning with what has come"
            );
            self.begin();
        }
        Ok(())
    }

    fn note(&mut self, updated: &Updated) {
        log::findings(updated);
        self.status().count(updated);
    }

    /// The moment until which [`Agent::publish`] waits for what the control plane is about to send.
    pub(crate) const fn held_until(&self) -> Option<tokio::time::Instant> {
        self.hold.until()
    }

    /// Waits no longer.
    pub(crate) fn release(&mut self) {
        tracing::debug!("what is referred to has not come: the publish is held up no longer");
        self.hold.end();
    }

    /// Brings the dictionary in step, and tells whether there is something new in it.
    pub(crate) fn publish(&mut self) -> Result<bool, Failure> {
        if !self.has_begun() || self.hold.until().is_some() {
            return Ok(false);
        }
        let began = std::time::Instant::now();
        let published = self.publisher.publish(now());
        match published {
            Ok(None) => {
                self.recovered();
                if self.status.objects.is_empty() {
                    let version = self.publisher.announced()?;
                    tracing::info!(version, "everything is in the dictionary already");
                    self.measure();
                }
                Ok(false)
            }
            Ok(Some(published)) => {
                self.recovered();
                self.measure();
                tracing::info!(
                    version = published.version,
                    changed = published.changed,
                    everything = published.everything,
                    objects = self.status.objects.values().sum::<usize>(),
                    micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
                    "published"
                );
                let count = self.status.published.as_ref().map_or(0, |last| last.count) + 1;
                self.status().published = Some(Publish {
                    version: published.version,
                    at: now(),
                    changed: published.changed,
                    count,
                });
                Ok(true)
            }
            Err(failure) => {
                let text = failure.to_string();
                if self.status.failure.as_ref() != Some(&text) && !failure.is_final() {
                    let percent = self.publisher.fill().map(|fill| fill.percent);
                    tracing::error!(
                        error = text,
                        percent,
                        "nothing is published: the configuration before goes on serving"
                    );
                }
                let fill = self.publisher.fill();
                let status = self.status();
                status.failure = Some(text);
                status.dictionary = fill;
                Err(failure)
            }
        }
    }

    fn recovered(&mut self) {
        if self.status.failure.is_some() {
            tracing::info!("the dictionary is in step again");
            self.status().failure = None;
        }
    }

    /// Notes what is in the dictionary, and tells when it fills up.
    fn measure(&mut self) {
        let (objects, fill) = (self.publisher.counts(), self.publisher.fill());
        let status = self.status();
        status.objects = objects;
        status.dictionary = fill;
        let Some(fill) = fill else { return };
        let level = FULL.iter().filter(|level| fill.percent >= **level).count();
        if level > self.warned {
            let (percent, used, capacity) = (fill.percent, fill.used, fill.capacity);
            if level == FULL.len() {
                tracing::error!(percent, used, capacity, "the dictionary is almost full: make it larger");
            } else {
                tracing::warn!(percent, used, capacity, "the dictionary is filling up: make it larger");
            }
        }
        self.warned = level;
    }

    /// Whether the dictionary is not as it is wanted.
    pub(crate) fn is_behind(&self) -> bool {
        self.has_begun() && self.publisher.is_behind()
    }

    /// Looks whether the dictionary is as it was left, and repairs it with the next publish.
    pub(crate) fn audit(&mut self) -> Result<(), Failure> {
        if !self.has_begun() {
            return Ok(());
        }
        let astray = self.publisher.audit()?;
        if astray > 0 {
            tracing::warn!(keys = astray, "keys are not in the dictionary as they were written");
        }
        Ok(())
    }

    /// Writes the status into the dictionary, if it differs from the one there.
    pub(crate) fn tell(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.untold) {
            return Ok(());
        }
        let text = serde_json::to_string(&self.status).unwrap_or_default();
        match self.publisher.tell(&text) {
            Err(failure) if failure.is_final() => Err(failure),
            Err(failure) => {
                tracing::debug!(%failure, "the status is not written");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
