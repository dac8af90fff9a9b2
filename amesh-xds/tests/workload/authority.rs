//! Certificates from Istio's authority.

use std::path::Path;
use std::time::Duration;

use amesh_xds::workload::authority::{Config, run};
use tempfile::TempDir;
use tonic::Status;

use crate::issuer::{IDENTITY, Issuer};
use crate::{Consumer, content, mock, names, quick, unix};

const HOUR: Duration = Duration::from_secs(3600);

fn config(folder: &Path) -> Config {
    let mut server = unix(&folder.join("ca"));
    server.token = Some(folder.join("token"));
    let mut config = Config::new(server, IDENTITY);
    config.backoff = quick();
    config
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "first\n").expect("a file");
    folder
}

#[tokio::test]
async fn a_certificate_is_had_and_renewed_with_the_token_of_the_moment() {
    let folder = folder();
    let issuer = Issuer::new();
    let mut authority = mock::authority(&folder.path().join("ca"));
    let mut config = config(folder.path());
    config.cluster = Some("Kubernetes".to_owned());
    let mut consumer = Consumer::start(|sender| run(config, sender));

    let asked = authority.next().await;
    assert_eq!(asked.token.as_deref(), Some("Bearer first"));
    assert_eq!(asked.cluster.as_deref(), Some("Kubernetes"));
    assert_eq!(asked.seconds, 24 * 60 * 60);
    let first = issuer.sign(&asked.csr, Duration::from_secs(2));
    let csr = asked.csr.clone();
    asked.answer(Ok(first.clone()));
    let put = consumer.update().await;
    assert_eq!(names(&put), ["default", "ROOTCA"]);
    assert_eq!(content(&put[0]).0, first[0]);
    assert_eq!(content(&put[1]), (issuer.pem(), String::new()));

    // Half of two seconds later, with another token, for another key.
    std::fs::write(folder.path().join("token"), "second").expect("a file");
    let asked = authority.next().await;
    assert_eq!(asked.token.as_deref(), Some("Bearer second"));
    assert_ne!(asked.csr, csr);
    let second = issuer.sign(&asked.csr, HOUR);
    asked.answer(Ok(second.clone()));
    let renewed = consumer.update().await;
    assert_eq!(names(&renewed), ["default"]);
    assert_eq!(content(&renewed[0]).0, second[0]);
    assert_ne!(content(&renewed[0]).1, content(&put[0]).1);
    assert!(consumer.is_quiet().await);
    consumer.close().await;
}

#[tokio::test]
async fn whatever_goes_wrong_is_said_and_tried_again() {
    let folder = folder();
    let issuer = Issuer::new();
    let socket = folder.path().join("ca");
    std::fs::remove_file(folder.path().join("token")).expect("the file");
    let mut consumer = Consumer::start(|sender| run(config(folder.path()), sender));
    consumer.failure_of("token: No such file").await;
    std::fs::write(folder.path().join("token"), "t").expect("a file");
    // There is no socket yet.
    consumer.failure_of("No such file").await;

    let mut authority = mock::authority(&socket);
    let asked = authority.next().await;
    asked.answer(Err(Status::unauthenticated("token expired")));
    consumer.failure_of("Unauthenticated: token expired").await;
    let asked = authority.next().await;
    asked.answer(Ok(vec!["<html>".to_owned(), "</html>".to_owned()]));
    consumer
        .failure_of("the answer of the certificate authority: there is no certificate in it")
        .await;
    let asked = authority.next().await;
    asked.answer(Ok(vec![issuer.issue(HOUR).0, issuer.pem()]));
    consumer
        .failure_of("the private key is not that of the certificate")
        .await;

    // An authority that goes away in the middle of a request.
    let asked = authority.next().await;
    drop((asked, authority));
    consumer.failure().await;
    let mut authority = mock::authority(&socket);
    let asked = authority.next().await;
    let answer = issuer.sign(&asked.csr, HOUR);
    asked.answer(Ok(answer));
    assert_eq!(names(&consumer.update().await), ["default", "ROOTCA"]);
}

#[tokio::test]
async fn a_silent_authority_is_not_waited_for_without_end() {
    let folder = folder();
    let mut authority = mock::authority(&folder.path().join("ca"));
    let mut config = config(folder.path());
    config.timeout = Duration::from_millis(300);
    let mut consumer = Consumer::start(|sender| run(config, sender));
    let silent = authority.next().await;
    let said = consumer.failure().await;
    assert_eq!(said, "the certificate authority did not answer within 300ms");
    drop(silent);
    // And who closes the channel in the meantime waits for nothing.
    let _silent = authority.next().await;
    consumer.close().await;
}
