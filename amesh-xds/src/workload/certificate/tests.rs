//! What is in certificates, and which of them are refused.

use proptest::prelude::*;

use super::super::testing::{Authority, IDENTITY, at};
use super::*;

fn certified(chain: &str, key: &Key) -> Result<Certified, Invalid> {
    Certified::new(chain.as_bytes(), key.clone())
}

fn answered(answer: &[&str], key: &Key) -> Result<(Certified, Roots), Invalid> {
    let answer: Vec<String> = answer.iter().map(|&pem| pem.to_owned()).collect();
    Certified::from_answer(&answer, key.clone(), at(0))
}

/// The chain and key in a secret.
fn parts(resource: &Resource) -> (String, String) {
    let Body::Secret(secret) = &resource.body else { panic!() };
    let Some(Type::TlsCertificate(certificate)) = &secret.r#type else {
        panic!()
    };
    let text =
        |source: &Option<DataSource>| String::from_utf8(held(source.as_ref().unwrap()).unwrap().to_vec()).unwrap();
    (text(&certificate.certificate_chain), text(&certificate.private_key))
}

#[test]
fn a_certificate_says_when_and_for_whom_it_is() {
    let (chain, key) = Authority::new("root").issue(at(0), at(3600));
    let certified = certified(&chain, &key).unwrap();
    assert_eq!((certified.not_before, certified.not_after), (at(0), at(3600)));
    assert_eq!(certified.uris, [IDENTITY]);
    let secret = certified.secret("default");
    assert_eq!(secret.name, "default");
    assert_eq!(parts(&secret), (chain, String::from_utf8(key.pem().to_vec()).unwrap()));
}

#[test]
fn key_material_is_not_shown() {
    let (chain, key) = Authority::new("root").issue(at(0), at(3600));
    let pem = String::from_utf8(key.pem().to_vec()).unwrap();
    let certified = certified(&chain, &key).unwrap();
    let line = pem.lines().nth(1).unwrap();
    let bytes = format!("{:?}", pem.as_bytes());
    for shown in [
        format!("{key:?}"),
        format!("{certified:?}"),
        format!("{:?}", certified.secret("default")),
    ] {
        assert!(shown.contains("[redacted]"), "{shown}");
        assert!(
            !shown.contains(line) && !shown.contains(bytes.trim_matches(['[', ']'])),
            "{shown}"
        );
    }
}

#[test]
fn another_key_is_refused() {
    let authority = Authority::new("root");
    let (chain, _) = authority.issue(at(0), at(3600));
    let (_, key) = authority.issue(at(0), at(3600));
    assert_eq!(certified(&chain, &key), Err(Invalid::Mismatch));
}

#[test]
fn what_is_half_there_is_refused() {
    let (chain, key) = Authority::new("root").issue(at(0), at(3600));
    let half = &chain[..chain.len() / 2];
    assert!(matches!(certified(half, &key), Err(Invalid::Certificate(_))));
    assert_eq!(certified("", &key), Err(Invalid::NoCertificate));
    let broken = Key::new(key.pem()[..key.pem().len() / 2].to_vec());
    assert!(matches!(certified(&chain, &broken), Err(Invalid::Key(_))));
    assert!(matches!(certified(&chain, &Key::new(Vec::new())), Err(Invalid::Key(_))));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(certified(garbage, &key), Err(Invalid::Certificate(_))));
    assert!(matches!(Roots::new(garbage.as_bytes()), Err(Invalid::Certificate(_))));
    assert_eq!(Roots::new(b"nothing"), Err(Invalid::NoCertificate));
}

#[test]
fn it_ends_at_its_end_and_is_good_before_its_beginning() {
    let (chain, key) = Authority::new("root").issue(at(100), at(200));
    let certified = certified(&chain, &key).unwrap();
    assert_eq!(certified.check(at(0)), Ok(()));
    assert_eq!(certified.check(at(199)), Ok(()));
    assert_eq!(certified.check(at(200)), Err(Invalid::Expired(at(200))));
    assert_eq!(
        Invalid::Expired(at(0)).to_string(),
        "the certificate expired at Jan 15 08:00:00 2027 +00:00"
    );
}

#[test]
fn an_answer_has_the_certificate_first_and_the_root_last() {
    let root = Authority::new("root");
    let between = root.below("between");
    let (leaf, key) = between.issue(at(0), at(3600));
    let (certified, roots) = answered(&[leaf.trim_end(), &between.pem(), &root.pem()], &key).unwrap();
    // Each on a line of its own, and the root is nothing to send.
    assert_eq!(
        parts(&certified.secret("default")).0,
        format!("{leaf}{}", between.pem())
    );
    assert_eq!(roots.pem, root.pem().into_bytes());
    assert_eq!(roots.secret("ROOTCA").name, "ROOTCA");
}

#[test]
fn a_last_certificate_that_another_signed_is_sent_along() {
    let between = Authority::new("root").below("between");
    let (leaf, key) = between.issue(at(0), at(3600));
    let (certified, _) = answered(&[&leaf, &between.pem()], &key).unwrap();
    assert_eq!(
        parts(&certified.secret("default")).0,
        format!("{leaf}{}", between.pem())
    );
}

#[test]
fn an_answer_that_others_would_not_believe_is_refused() {
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    let (leaf, key) = root.issue(at(0), at(3600));
    assert_eq!(answered(&[], &key), Err(Invalid::NoCertificate));
    assert_eq!(answered(&[&leaf], &key), Err(Invalid::NoRoot));
    assert!(matches!(answered(&[&leaf, &other.pem()], &key), Err(Invalid::Chain(_))));
    assert!(matches!(
        answered(&["<html>", "</html>"], &key),
        Err(Invalid::NoCertificate)
    ));
    let (_, another) = root.issue(at(0), at(3600));
    assert_eq!(answered(&[&leaf, &root.pem()], &another), Err(Invalid::Mismatch));
    let (old, key) = Authority::new("root").issue(at(0) - Duration::from_secs(60), at(0));
    assert_eq!(answered(&[&old, &root.pem()], &key), Err(Invalid::Expired(at(0))));
    // The clock that is behind may be ours.
    let (new, key) = root.issue(at(60), at(3600));
    assert!(answered(&[&new, &root.pem()], &key).is_ok());
}

#[test]
fn a_secret_of_a_server_is_judged_as_far_as_it_can_be_seen() {
    let root = Authority::new("root");
    let (chain, key) = root.issue(at(0), at(3600));
    let body = |resource: &Resource| match &resource.body {
        Body::Secret(secret) => Secret::clone(secret),
        _ => panic!(),
    };
    let good = body(&certified(&chain, &key).unwrap().secret("default"));
    assert_eq!(judge(&good, at(1)).unwrap().unwrap().not_after, at(3600));
    assert_eq!(judge(&good, at(3600)), Err(Invalid::Expired(at(3600))));
    let roots = body(&Roots::new(root.pem().as_bytes()).unwrap().secret("ROOTCA"));
    assert_eq!(judge(&roots, at(1)), Ok(None));
    let empty = CertificateValidationContext {
        trusted_ca: Some(inline(Vec::new())),
        ..CertificateValidationContext::default()
    };
    let bad = body(&secret("ROOTCA", Type::ValidationContext(empty)));
    assert_eq!(judge(&bad, at(1)), Err(Invalid::NoCertificate));
    // A key in a file, or in a hardware module, is for whoever uses it to judge.
    let elsewhere = TlsCertificate {
        certificate_chain: Some(inline(chain.into_bytes())),
        ..TlsCertificate::default()
    };
    let unseen = body(&secret("default", Type::TlsCertificate(elsewhere)));
    assert_eq!(judge(&unseen, at(1)), Ok(None));
}

/// PEM with one bit changed in what it encodes.
fn changed(pem: &str, place: prop::sample::Index, bit: u8) -> String {
    let mut der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
    let place = place.index(der.len());
    der[place] ^= 1 << bit;
    encoded("CERTIFICATE", der)
}

fn encoded(kind: &str, der: Vec<u8>) -> String {
    pem::encode(&pem::Pem::new(kind, der))
}

proptest! {
    #[test]
    fn no_changed_bit_gets_past(place: prop::sample::Index, bit in 0_u8..8) {
        let root = Authority::new("root");
        let (leaf, key) = root.issue(at(0), at(3600));
        prop_assert!(answered(&[&leaf, &root.pem()], &key).is_ok());
        prop_assert!(answered(&[&changed(&leaf, place, bit), &root.pem()], &key).is_err());
    }

    #[test]
    fn no_bytes_are_too_strange(certificate: Vec<u8>, text: String, key: Vec<u8>) {
        let root = Authority::new("root").pem();
        let (leaf, good) = Authority::new("root").issue(at(0), at(3600));
        let strange = encoded("CERTIFICATE", certificate);
        prop_assert!(answered(&[&strange, &root], &good).is_err());
        prop_assert!(answered(&[&leaf, &strange], &good).is_err());
        prop_assert!(answered(&[&text, &root], &good).is_err());
        let strange = Key::new(encoded("PRIVATE KEY", key.clone()).into_bytes());
        prop_assert!(certified(&leaf, &strange).is_err());
        prop_assert!(certified(&leaf, &Key::new(key)).is_err());
    }
}
