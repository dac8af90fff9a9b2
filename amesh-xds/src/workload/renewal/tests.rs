//! When a certificate is asked for, and what is told, with a clock that the tests move.

use super::super::Invalid;
use super::super::testing::{Authority, at};
use super::*;
use crate::stream;

const DAY: u64 = 24 * 60 * 60;

/// An authority, and what keeps one of its certificates fresh.
struct Scene {
    authority: Authority,
    renewal: Renewal,
}

impl Scene {
    fn new() -> Self {
        Self {
            authority: Authority::new("root"),
            renewal: Renewal::new(Backoff::default()),
        }
    }

    fn tick(&mut self, seconds: u64) -> Vec<Action> {
        self.renewal.handle(at(seconds), 0.5, Event::Tick)
    }

    fn asks(&mut self, seconds: u64) -> bool {
        matches!(self.tick(seconds).as_slice(), [Action::Ask])
    }

    fn answer(&mut self, seconds: u64, random: f64, answer: Result<(Key, Vec<String>), Error>) -> Message {
        let mut actions = self.renewal.handle(at(seconds), random, Event::Answer(answer));
        match actions.remove(0) {
            Action::Tell(message) if actions.is_empty() => message,
            other => panic!("{other:?} {actions:?}"),
        }
    }

    /// Grants a certificate from a moment on, dated back by two minutes as Istio does.
    fn grant(&self, seconds: u64, lifetime: u64) -> (Key, Vec<String>) {
        let (leaf, key) = self
            .authority
            .issue(at(seconds) - Duration::from_secs(120), at(seconds + lifetime));
        (key, vec![leaf, self.authority.pem()])
    }

    fn granted(&mut self, seconds: u64, random: f64, lifetime: u64) -> Vec<String> {
        let grant = self.grant(seconds, lifetime);
        names(&self.answer(seconds, random, Ok(grant)))
    }

    fn fail(&mut self, seconds: u64, random: f64) -> Option<Duration> {
        let away = Error::Silent(Duration::from_secs(10));
        match self.answer(seconds, random, Err(away)) {
            Message::Failed { retry, .. } => retry,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, seconds: u64, answer: (Key, Vec<String>)) -> Invalid {
        match self.answer(seconds, 0.5, Ok(answer)) {
            Message::Failed {
                error: Error::Invalid { reason, .. },
                retry: Some(_),
            } => reason,
            other => panic!("{other:?}"),
        }
    }
}

fn names(message: &Message) -> Vec<String> {
    match message {
        Message::Update(update) => update.put.iter().map(|put| put.name.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_certificate_is_asked_for_at_once_and_brings_the_roots() {
    let mut scene = Scene::new();
    assert_eq!(scene.renewal.deadline(), None);
    assert!(scene.asks(0));
    // One request at a time.
    assert!(scene.tick(5).is_empty());
    assert_eq!(scene.granted(6, 0.5, DAY), ["default", "ROOTCA"]);
}

#[test]
fn it_is_renewed_when_half_of_what_was_granted_is_left() {
    let mut scene = Scene::new();
    assert!(scene.asks(0));
    // Not half of what the certificate says, which begins two minutes earlier.
    scene.granted(0, 0.5, DAY);
    assert_eq!(scene.renewal.deadline(), Some(at(DAY / 2)));
    assert!(!scene.asks(DAY / 2 - 1));
    assert!(scene.asks(DAY / 2));
    // The roots are the same, so there is no need to tell them again.
    assert_eq!(scene.granted(DAY / 2, 0.5, DAY), ["default"]);
    assert_eq!(scene.renewal.deadline(), Some(at(DAY)));
}

#[test]
fn the_moment_varies_by_one_hundredth_of_the_lifetime_to_either_side() {
    let deadline = |random| {
        let mut scene = Scene::new();
        scene.tick(0);
        scene.granted(0, random, DAY);
        scene
            .renewal
            .deadline()
            .unwrap()
            .duration_since(at(0))
            .unwrap()
            .as_secs_f64()
            / 86_400.0
    };
    assert!((deadline(0.0) - 0.51).abs() < 1e-6);
    assert!((deadline(1.0) - 0.49).abs() < 1e-6);
    for step in 0..20 {
        let share = deadline(f64::from(step) / 20.0);
        assert!((0.49..=0.51).contains(&share), "{share}");
    }
}

#[test]
fn a_certificate_that_lives_a_moment_does_not_storm_the_authority() {
    let mut scene = Scene::new();
    scene.tick(0);
    let (key, answer) = scene.grant(0, 1);
    let now = at(0) + Duration::from_millis(900);
    scene.renewal.handle(now, 0.5, Event::Answer(Ok((key, answer))));
    let next = now + SHORTEST;
    assert!(scene.renewal.wait.as_ref().is_some_and(|wait| wait.until == next));
}

#[test]
fn while_the_authority_is_away_the_last_certificate_is_kept_and_its_end_is_told_once() {
    let mut scene = Scene::new();
    scene.tick(0);
    scene.granted(0, 0.5, 100);
    assert!(scene.asks(50));
    // Waits as of any other server: 0.5 s, doubled with every failure.
    assert_eq!(scene.fail(50, 1.0), Some(Duration::from_millis(500)));
    assert!(scene.asks(51));
    assert_eq!(scene.fail(51, 1.0), Some(Duration::from_secs(1)));
    assert!(scene.asks(52));
    // The request hangs while the certificate ends.
    assert_eq!(scene.renewal.deadline(), Some(at(100)));
    let actions = scene.tick(100);
    let [Action::Tell(Message::Expired { name, since })] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!((name.as_str(), *since), ("default", at(100)));
    assert!(scene.tick(101).is_empty());
    assert_eq!(scene.fail(101, 1.0), Some(Duration::from_secs(2)));
    // It comes back.
    assert!(scene.asks(103));
    assert_eq!(scene.granted(103, 0.5, 100), ["default"]);
    // An answer resets the wait, and the new certificate's end is told too.
    assert!(scene.asks(153));
    assert_eq!(scene.fail(153, 1.0), Some(Duration::from_millis(500)));
    let actions = scene.tick(203);
    assert!(
        matches!(actions.as_slice(), [Action::Tell(Message::Expired { .. }), Action::Ask]),
        "{actions:?}"
    );
}

#[test]
fn a_bad_answer_counts_as_a_failure_and_leaves_the_last_certificate_in_place() {
    let mut scene = Scene::new();
    scene.tick(0);
    scene.granted(0, 0.5, 100);
    assert!(scene.asks(50));
    let (key, good) = scene.grant(50, 100);
    let garbage = vec!["<html>".to_owned(), "proxy error".to_owned()];
    assert_eq!(scene.refused(50, (key, garbage)), Invalid::NoCertificate);
    assert!(scene.asks(60));
    // For the key of another request.
    let (other, _) = scene.grant(60, 100);
    assert_eq!(scene.refused(60, (other, good)), Invalid::Mismatch);
    assert!(scene.asks(70));
    let (key, old) = scene.grant(0, 70);
    assert_eq!(scene.refused(70, (key, old)), Invalid::Expired(at(70)));
    // Still the first one's.
    assert_eq!(scene.renewal.expiry.at, Some(at(100)));
    assert!(scene.asks(80));
    assert_eq!(scene.granted(80, 0.5, 100), ["default"]);
}

#[test]
fn a_missing_token_is_said_and_looked_for_again() {
    let mut scene = Scene::new();
    scene.tick(0);
    let missing = stream::Error::File {
        path: "/var/run/secrets/tokens/istio-token".into(),
        error: std::io::ErrorKind::NotFound.into(),
    };
    let told = scene.answer(0, 0.5, Err(missing.into()));
    let Message::Failed { error, retry } = told else {
        panic!("{told:?}")
    };
    assert!(
        error.to_string().starts_with("/var/run/secrets/tokens/istio-token: "),
        "{error}"
    );
    assert_eq!(retry, Some(Duration::from_millis(250)));
    assert_eq!(scene.renewal.deadline(), Some(at(0) + Duration::from_millis(250)));
    assert!(scene.asks(1));
    assert_eq!(scene.granted(1, 0.5, DAY), ["default", "ROOTCA"]);
}

#[test]
fn new_roots_are_told() {
    let mut scene = Scene::new();
    scene.tick(0);
    scene.granted(0, 0.5, 100);
    scene.authority = Authority::new("root");
    assert!(scene.asks(50));
    assert_eq!(scene.granted(50, 0.5, 100), ["default", "ROOTCA"]);
}

#[test]
fn a_clock_that_jumps_stalls_nothing() {
    // The machine slept past the renewal and past the end.
    let mut scene = Scene::new();
    scene.tick(0);
    scene.granted(0, 0.5, 100);
    let actions = scene.tick(10_000);
    assert!(
        matches!(actions.as_slice(), [Action::Tell(Message::Expired { .. }), Action::Ask]),
        "{actions:?}"
    );
    // The clock was ahead by a day when the request failed. It is set right, and the wait does not last a day.
    assert_eq!(scene.fail(10_000 + DAY, 1.0), Some(Duration::from_millis(500)));
    assert!(scene.asks(10_000));
    // A clock that is slowed down is nothing.
    scene.granted(10_000, 0.5, 100);
    assert!(!scene.asks(10_000 - 59));
}
