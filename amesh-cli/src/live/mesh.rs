//! What a live mesh comes to in APISIX, kept in step, and what has changed since it was last shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use amesh_core::apisix::{Key, Kind, Object, Objects};
use amesh_core::finding::ResourceName;
use amesh_core::{Finding, Options, Outcome, Rejected, ResourceType, Translation, Updated, translate};
use amesh_xds::Replica;
use amesh_xds::session::{Delivery, Verdict};
use tokio::time::Instant;

use crate::render::diff::{Difference, Side};
use crate::render::report::Counts;

/// One push of istiod is a response for each type. What comes within this time of each other is shown as one.
const QUIET: Duration = Duration::from_millis(100);

/// A mesh that is never quiet is shown so often.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// The mesh and its translation. Nothing is translated before [`Mesh::begin`].
pub(crate) struct Mesh {
    options: Options,
    replica: Replica,
    translation: Option<Translation>,
    /// The objects before the next update.
    objects: Objects,
    /// The resources that are not used, and why.
    rejected: BTreeMap<(Option<ResourceType>, Option<String>), String>,
    /// How many findings have that outcome, and are permitted or not.
    findings: BTreeMap<(Outcome, bool), usize>,
    pending: Pending,
}

/// What has changed and was not shown yet.
#[derive(Default)]
struct Pending {
    /// The first and the last change.
    since: Option<(Instant, Instant)>,
    first: bool,
    before: BTreeMap<Key, Option<Arc<Object>>>,
    come: BTreeSet<Finding>,
    gone: BTreeSet<Finding>,
    rejected: BTreeSet<String>,
    accepted: BTreeSet<String>,
}

/// What a push of the control plane changed.
pub(crate) struct Push {
    /// Whether it is the first: everything is new.
    pub(crate) first: bool,
    /// What was, of all that differs.
    pub(crate) old: Side,
    /// What is.
    pub(crate) new: Side,
    /// What there is now, changed or not.
    pub(crate) totals: Counts,
}

impl Push {
    /// Whether APISIX has to know.
    pub(crate) fn concerns_objects(&self) -> bool {
        self.first || !self.old.objects.is_empty() || !self.new.objects.is_empty()
    }
}

impl Mesh {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            replica: Replica::new(),
            translation: None,
            objects: Objects::new(),
            rejected: BTreeMap::new(),
            findings: BTreeMap::new(),
            pending: Pending::default(),
        }
    }

    /// The objects of the mesh as it is now.
    pub(crate) const fn objects(&self) -> &Objects {
        &self.objects
    }

    /// How many resources have come.
    pub(crate) fn resources(&self) -> usize {
        let kinds = ResourceType::ALL.into_iter();
        kinds.map(|kind| self.replica.snapshot().count(kind)).sum()
    }

    /// Whether the mesh is translated.
    pub(crate) const fn has_begun(&self) -> bool {
        self.translation.is_some()
    }

    /// Takes what the control plane sent.
    pub(crate) fn apply(&mut self, delivery: Delivery) -> Verdict {
        self.judge(&delivery);
        let (dirty, verdict) = self.replica.apply(delivery.update);
        if let Some(translation) = &mut self.translation {
            let updated = translation.update(self.replica.snapshot(), &dirty);
            self.note(updated);
        }
        verdict
    }

    /// From now on the mesh is translated: it is whole, or as whole as it gets.
    pub(crate) fn begin(&mut self) {
        if self.translation.is_some() {
            return;
        }
        let translation = translate(self.replica.snapshot(), &self.options);
        let mut updated = Updated::default();
        updated.changes = amesh_core::plan(&Objects::new(), translation.objects());
        updated.come = translation.findings().into_iter().cloned().collect();
        self.translation = Some(translation);
        self.pending.first = true;
        self.note(updated);
        // Even if there is nothing in it, that is to be shown.
        self.pending.touch();
    }

    /// Remembers which resources are not used.
    fn judge(&mut self, delivery: &Delivery) {
        let before = std::mem::take(&mut self.rejected);
        for (key, text) in before {
            let (kind, name) = &key;
            let judged = delivery.full || name.as_ref().is_none_or(|name| delivery.answered.contains(name));
            if judged && *kind == Some(delivery.kind) {
                self.pending.accept(text);
            } else {
                self.rejected.insert(key, text);
            }
        }
        for refused in &delivery.rejected {
            let Rejected { kind, name, .. } = refused;
            let text = refused.to_string();
            if let Some(other) = self.rejected.insert((*kind, name.clone()), text.clone()) {
                self.pending.accept(other);
            }
            self.pending.reject(text);
        }
    }

    /// Notes what an update changed.
    fn note(&mut self, updated: Updated) {
        if updated.is_empty() {
            return;
        }
        for finding in &updated.come {
            *self.findings.entry((finding.outcome, finding.permitted)).or_default() += 1;
        }
        for finding in &updated.gone {
            if let Some(count) = self.findings.get_mut(&(finding.outcome, finding.permitted)) {
                *count = count.saturating_sub(1);
            }
        }
        for change in &updated.changes.changes {
            let before = || self.objects.get(change.key()).cloned();
            self.pending.before.entry(change.key().clone()).or_insert_with(before);
        }
        updated.changes.apply_to(&mut self.objects);
        for finding in updated.gone {
            if !self.pending.come.remove(&finding) {
                self.pending.gone.insert(finding);
            }
        }
        for finding in updated.come {
            if !self.pending.gone.remove(&finding) {
                self.pending.come.insert(finding);
            }
        }
        self.pending.touch();
    }

    /// When [`Mesh::take`] is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.has_begun().then_some(())?;
        let (first, last) = self.pending.since?;
        Some((last + QUIET).min(first + IMPATIENCE))
    }

    /// What has changed since the last time; `None` if nothing has.
    pub(crate) fn take(&mut self) -> Option<Push> {
        self.has_begun().then_some(())?;
        let pending = std::mem::take(&mut self.pending);
        pending.since?;
        let (mut old, mut new) = (Objects::new(), Objects::new());
        for (key, before) in pending.before {
            if let Some(object) = self.objects.get(&key) {
                new.insert(key.clone(), Arc::clone(object));
            }
            if let Some(object) = before {
                old.insert(key, object);
            }
        }
        // What changed and changed back is no news.
        old.retain(|key, object| {
            let same = new.get(key) == Some(object);
            if same {
                new.remove(key);
            }
            !same
        });
        let push = Push {
            first: pending.first,
            old: Side {
                objects: old,
                findings: pending.gone.into_iter().collect(),
                rejected: pending.accepted,
            },
            new: Side {
                objects: new,
                findings: pending.come.into_iter().collect(),
                rejected: pending.rejected,
            },
            totals: self.totals(),
        };
        let news = !Difference::between(&push.old, &push.new).is_empty();
        (push.first || news).then_some(push)
    }

    fn totals(&self) -> Counts {
        let objects = |kind| self.objects.keys().filter(|key| key.kind == kind).count();
        let findings = |outcome, permitted| self.findings.get(&(outcome, permitted)).copied().unwrap_or_default();
        Counts {
            resources: self.resources(),
            rejected: self.rejected.len(),
            routes: objects(Kind::Routes),
            upstreams: objects(Kind::Upstreams),
            fails_closed: findings(Outcome::FailsClosed, false),
            permitted: findings(Outcome::FailsClosed, true),
            left_out: findings(Outcome::LeftOut, false),
            approximated: findings(Outcome::Approximated, false),
            ignored: findings(Outcome::Ignored, false),
        }
    }
}

impl Pending {
    fn touch(&mut self) {
        let now = Instant::now();
        let (first, _) = self.since.unwrap_or((now, now));
        self.since = Some((first, now));
    }

    fn reject(&mut self, text: String) {
        self.touch();
        if !self.accepted.remove(&text) {
            self.rejected.insert(text);
        }
    }

    fn accept(&mut self, text: String) {
        self.touch();
        if !self.rejected.remove(&text) {
            self.accepted.insert(text);
        }
    }
}

/// Resources in a line: the first few, and how many more.
pub(crate) fn listed(names: &[ResourceName]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push(format!("{more} more"));
    }
    text.join(", ")
}
