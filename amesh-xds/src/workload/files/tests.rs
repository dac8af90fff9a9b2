//! What is made of files that were read, with a clock that the tests move.

use super::super::testing::{Authority, at};
use super::*;
use std::io::ErrorKind;

/// Files, and what follows them.
struct Scene {
    authority: Authority,
    watch: Watch,
    chain: String,
    key: Key,
    roots: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let authority = Authority::new("root");
        let (chain, key) = authority.issue(at(0), at(100));
        Self {
            watch: Watch::new(&Config::new("/certs")),
            roots: authority.pem().into_bytes(),
            authority,
            chain,
            key,
        }
    }

    fn look(&mut self, seconds: u64) -> (Vec<String>, bool) {
        let pair = (self.chain.clone().into_bytes(), self.key.clone());
        let (messages, settled) = self.watch.handle(at(seconds), Ok(pair), Ok(self.roots.clone()));
        (messages.iter().map(shown).collect(), settled)
    }

    /// Two looks, as there are when something changed.
    fn looks(&mut self, seconds: u64) -> Vec<String> {
        assert_eq!(self.look(seconds), (Vec::new(), false));
        let (messages, settled) = self.look(seconds);
        assert!(settled);
        messages
    }

    fn rotate(&mut self, until: u64) -> (String, Key) {
        self.authority.issue(at(0), at(until))
    }
}

fn shown(message: &Message) -> String {
    match message {
        Message::Update(update) => {
            let names: Vec<_> = update.put.iter().map(|put| put.name.as_str()).collect();
            names.join(" ")
        }
        Message::Failed { error, .. } => error.to_string(),
        Message::Expired { name, .. } => format!("{name} expired"),
    }
}

#[test]
fn files_are_used_when_they_were_read_the_same_twice() {
    let mut scene = Scene::new();
    assert!(!scene.watch.has_both());
    assert_eq!(scene.looks(0), ["default ROOTCA"]);
    assert!(scene.watch.has_both());
    assert_eq!(scene.look(1), (Vec::new(), true));
}

#[test]
fn only_what_changed_is_told() {
    let mut scene = Scene::new();
    scene.looks(0);
    (scene.chain, scene.key) = scene.rotate(200);
    assert_eq!(scene.looks(1), ["default"]);
    scene.roots.extend(Authority::new("new root").pem().into_bytes());
    assert_eq!(scene.looks(2), ["ROOTCA"]);
}

#[test]
fn a_pair_that_is_half_written_is_never_used() {
    let mut scene = Scene::new();
    scene.looks(0);
    let (chain, key) = scene.rotate(200);
    // Istio's agent writes the key first.
    scene.key = key;
    assert_eq!(scene.look(1), (Vec::new(), false));
    // Then half of the chain is there,
    scene.chain = chain[..chain.len() / 2].to_owned();
    assert_eq!(scene.look(1), (Vec::new(), false));
    // and then all of it.
    scene.chain = chain;
    assert_eq!(scene.looks(1), ["default"]);
}

#[test]
fn a_chain_that_is_cut_between_two_certificates_is_waited_for() {
    let mut scene = Scene::new();
    let below = scene.authority.below("between");
    let (leaf, key) = below.issue(at(0), at(100));
    (scene.chain, scene.key) = (leaf.clone(), key);
    assert_eq!(scene.look(0), (Vec::new(), false));
    scene.chain = format!("{leaf}{}", below.pem());
    let (messages, settled) = scene.look(0);
    assert_eq!((messages, settled), (vec!["ROOTCA".to_owned()], false));
    assert_eq!(scene.look(0), (vec!["default".to_owned()], true));
}

#[test]
fn a_pair_that_stays_wrong_is_said_once_and_the_last_good_one_stays() {
    let mut scene = Scene::new();
    scene.looks(0);
    let good = scene.key.clone();
    (_, scene.key) = scene.rotate(200);
    assert_eq!(
        scene.looks(1),
        ["/certs/cert-chain.pem: the private key is not that of the certificate"]
    );
    assert_eq!(scene.look(2), (Vec::new(), true));
    // Put right: it is what is in use already.
    scene.key = good;
    assert_eq!(scene.look(3), (Vec::new(), true));
}

#[test]
fn missing_files_are_said_once_and_do_not_hold_up_the_others() {
    let mut scene = Scene::new();
    let missing = || {
        let path = PathBuf::from("/certs/key.pem");
        let error = ErrorKind::NotFound.into();
        Err(stream::Error::File { path, error }.into())
    };
    let (messages, settled) = scene.watch.handle(at(0), missing(), Ok(scene.roots.clone()));
    let messages: Vec<_> = messages.iter().map(shown).collect();
    assert_eq!(
        (messages.as_slice(), settled),
        (["/certs/key.pem: entity not found".to_owned()].as_slice(), false)
    );
    let (messages, _) = scene.watch.handle(at(0), missing(), Ok(scene.roots.clone()));
    assert_eq!(messages.iter().map(shown).collect::<Vec<_>>(), ["ROOTCA"]);
    assert!(!scene.watch.has_both());
    assert_eq!(scene.looks(1), ["default"]);
    // Gone again: what is held stays.
    let (messages, _) = scene.watch.handle(at(2), missing(), Ok(scene.roots.clone()));
    assert_eq!(messages.len(), 1);
    assert_eq!(scene.look(3), (Vec::new(), true));
}

#[test]
fn the_end_of_a_certificate_is_told_once_and_an_expired_one_is_not_used() {
    let mut scene = Scene::new();
    scene.looks(0);
    assert_eq!(scene.look(99), (Vec::new(), true));
    assert_eq!(scene.look(100), (vec!["default expired".to_owned()], true));
    assert_eq!(scene.look(101), (Vec::new(), true));
    (scene.chain, scene.key) = scene.rotate(101);
    let told = scene.looks(102);
    assert!(
        told.len() == 1 && told[0].contains("the certificate expired at"),
        "{told:?}"
    );
    (scene.chain, scene.key) = scene.rotate(200);
    assert_eq!(scene.looks(103), ["default"]);
}
