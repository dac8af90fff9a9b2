//! What a session knows of one resource type.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use amesh_core::ResourceType;

use super::{Protocol, Request, is_wildcard, request};

/// One type: what is wanted and held of it, and what the stream knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) kind: ResourceType,
    /// `None` stands for everything.
    wanted: Option<BTreeSet<String>>,
    pub(super) held: Held,
    /// The version of the last response that was accepted whole.
    pub(super) version: String,
    /// Whether a response was ever judged.
    pub(super) answered: bool,
    /// What the last response was refused for.
    pub(super) last_refusal: Option<String>,

    /// Whether a request went out on this stream.
    pub(super) asked: bool,
    /// The newest nonce of this stream.
    pub(super) nonce: String,
    /// The names that the control plane was told on this stream.
    told: BTreeSet<String>,
    /// The names whose being wanted may differ from what was told.
    changed: BTreeSet<String>,
    /// The names that were told, taken back and told again on this stream, as long as they are not answered.
    again: BTreeSet<String>,
    /// The names that were told and taken back on this stream.
    taken_back: BTreeSet<String>,
    /// The names that were told and not answered yet, with the time when they count as absent.
    pub(super) awaited: BTreeMap<String, Duration>,
}

impl State {
    pub(super) fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            wanted: (!is_wildcard(kind)).then(BTreeSet::new),
            held: Held::default(),
            version: String::new(),
            answered: false,
            last_refusal: None,
            asked: false,
            nonce: String::new(),
            told: BTreeSet::new(),
            changed: BTreeSet::new(),
            again: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            awaited: BTreeMap::new(),
        }
    }

    /// Whether a resource of that name is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(name))
    }

    pub(super) fn want(&mut self, name: String) {
        if let Some(wanted) = &mut self.wanted
            && wanted.insert(name.clone())
        {
            self.changed.insert(name);
        }
    }

    pub(super) fn unwant(&mut self, name: String) {
        if let Some(wanted) = &mut self.wanted
            && wanted.remove(&name)
        {
            self.held.remove(&name);
            self.awaited.remove(&name);
            self.changed.insert(name);
        }
    }

    /// Whether the control plane has yet to be told something.
    pub(super) fn is_behind(&self) -> bool {
        !self.changed.is_empty()
    }

    /// A new stream knows nothing: nonces die with the old one, versions do not, unless the server is another.
    pub(super) fn reconnect(&mut self, same_server: bool) {
        self.asked = false;
        self.nonce.clear();
        self.told.clear();
        self.again.clear();
        self.taken_back.clear();
        self.awaited.clear();
        self.changed = self.wanted.clone().unwrap_or_default();
        if !same_server {
            self.version.clear();
            self.held.forget_versions();
        }
    }

    /// The requests that tell the control plane what it does not know yet, if there is anything.
    pub(super) fn ask(&mut self, protocol: Protocol, until: Duration) -> Vec<Request> {
        if self.wanted.is_none() && self.asked {
            return Vec::new();
        }
        let (new, gone) = self.tell(until);
        if self.wanted.is_some() && new.is_empty() && gone.is_empty() {
            return Vec::new();
        }
        let first = !self.asked;
        self.asked = true;
        match protocol {
            Protocol::StateOfTheWorld => self.full(self.nonce.clone()),
            Protocol::Delta => {
                // All that is held, so that the server can say what of it is gone.
                let versions = if first { self.held.versions() } else { HashMap::new() };
                vec![request::delta(self.kind, new, gone, versions)]
            }
        }
    }

    /// The answer to a response. An acknowledgement of state of the world also tells what is wanted by now; a refusal does
    /// not, because istiod looks at nothing else in it.
    pub(super) fn answer(
        &mut self,
        protocol: Protocol,
        nonce: String,
        refusal: Option<String>,
        until: Duration,
    ) -> Vec<Request> {
        match (protocol, refusal) {
            (Protocol::StateOfTheWorld, None) => {
                self.tell(until);
                self.full(nonce)
            }
            (Protocol::StateOfTheWorld, Some(refusal)) => vec![self.one(&BTreeSet::new(), nonce, Some(refusal))],
            (Protocol::Delta, refusal) => vec![request::delta_answer(self.kind, nonce, refusal)],
        }
    }

    /// Requests of state of the world with all that is wanted.
    ///
    /// A server drops a request that crosses a response of its own. So it may not know that a name was taken back, and not
    /// answer when it is told again, while what it sent in between was not wanted and is gone. As long as such a name is not
    /// answered, every request comes after one without it.
    fn full(&mut self, nonce: String) -> Vec<Request> {
        self.again.retain(|name| self.awaited.contains_key(name));
        let without = (!self.again.is_empty()).then(|| self.one(&self.again, nonce.clone(), None));
        let with = self.one(&BTreeSet::new(), nonce, None);
        without.into_iter().chain([with]).collect()
    }

    fn one(&self, without: &BTreeSet<String>, nonce: String, refusal: Option<String>) -> Request {
        let names = self.wanted.iter().flatten().filter(|name| !without.contains(*name));
        request::state_of_the_world(
            self.kind,
            self.version.clone(),
            names.cloned().collect(),
            nonce,
            refusal,
        )
    }

    /// Takes what is wanted as told, and gives the differences.
    fn tell(&mut self, until: Duration) -> (Vec<String>, Vec<String>) {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        let Some(wanted) = &self.wanted else {
            return (new, gone);
        };
        for name in std::mem::take(&mut self.changed) {
            if wanted.contains(&name) {
                if self.told.insert(name.clone()) {
                    // What is held already is not awaited: a server may leave it out.
                    if !self.held.has(&name) {
                        self.awaited.insert(name.clone(), until);
                    }
                    if self.taken_back.remove(&name) {
                        self.again.insert(name.clone());
                    }
                    new.push(name);
                }
            } else if self.told.remove(&name) {
                self.taken_back.insert(name.clone());
                gone.push(name);
            }
        }
        (new, gone)
    }
}

/// A resource that may be remembered as held.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) name: String,
    /// Of the resource in delta, of the response in state of the world.
    pub(super) version: Arc<str>,
    /// Of its bytes; `None` keeps the one that is known.
    pub(super) digest: Option<u128>,
}

/// The resources that the consumer holds, by name: their versions, and what their bytes were.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_name: BTreeMap<String, (Arc<str>, u128)>,
    by_digest: HashMap<u128, String>,
}

impl Held {
    pub(super) fn insert(&mut self, accepted: Accepted) {
        let known = self.by_name.get(&accepted.name).map(|(_, digest)| *digest);
        let Some(digest) = accepted.digest.or(known) else {
            return;
        };
        if let Some(known) = known.filter(|known| *known != digest) {
            self.by_digest.remove(&known);
        }
        self.by_digest.insert(digest, accepted.name.clone());
        self.by_name.insert(accepted.name, (accepted.version, digest));
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some((_, digest)) = self.by_name.remove(name) {
            self.by_digest.remove(&digest);
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The name of the resource that has these very bytes.
    pub(super) fn same(&self, digest: u128) -> Option<&str> {
        self.by_digest.get(&digest).map(String::as_str)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_name
            .iter()
            .map(|(name, (version, _))| (name.as_str(), &**version))
    }

    fn versions(&self) -> HashMap<String, String> {
        self.iter()
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .collect()
    }

    fn forget_versions(&mut self) {
        for (version, _) in self.by_name.values_mut() {
            *version = "".into();
        }
    }
}
