//! Certificates in files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use amesh_xds::workload::files::{Config, run};

use crate::issuer::Issuer;
use crate::{Consumer, content, names};

const HOUR: Duration = Duration::from_secs(3600);

fn config(folder: &Path) -> Config {
    let mut config = Config::new(folder);
    config.interval = Duration::from_millis(20);
    config.settle = Duration::from_millis(40);
    config
}

#[tokio::test]
async fn files_that_come_late_are_found_and_an_unchanged_one_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let issuer = Issuer::new();
    let mut consumer = Consumer::start(|sender| run(config(folder.path()), sender));
    let said = [consumer.failure().await, consumer.failure().await].join("\n");
    assert!(
        said.contains("cert-chain.pem: No such file") && said.contains("root-cert.pem: No such file"),
        "{said}"
    );
    let (chain, key) = issuer.issue(HOUR);
    fs::write(file("root-cert.pem"), issuer.pem()).expect("a file");
    assert_eq!(names(&consumer.update().await), ["ROOTCA"]);
    fs::write(file("key.pem"), &key).expect("a file");
    fs::write(file("cert-chain.pem"), &chain).expect("a file");
    let put = consumer.update().await;
    assert_eq!((names(&put), content(&put[0])), (vec!["default"], (chain, key)));
    assert!(consumer.is_quiet().await);
    consumer.close().await;
}

#[tokio::test]
async fn a_rotation_never_shows_a_half_written_pair() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let issuer = Issuer::new();
    fs::write(file("root-cert.pem"), issuer.pem()).expect("a file");
    let mut consumer = Consumer::start(|sender| run(config(folder.path()), sender));
    let mut pairs = BTreeMap::new();
    for _ in 0..5 {
        let (chain, key) = issuer.issue(HOUR);
        pairs.insert(chain.clone(), key.clone());
        // In place, byte by byte as it were, with time to look in between.
        for (name, text) in [("key.pem", &key), ("cert-chain.pem", &chain)] {
            for part in [0, text.len() / 2, text.len()] {
                fs::write(file(name), &text[..part]).expect("a file");
                tokio::time::sleep(Duration::from_millis(70)).await;
            }
        }
        let mut put = consumer.update().await;
        put.retain(|put| put.name == "default");
        while put.is_empty() {
            put = consumer.update().await;
        }
        let (shown, with) = content(&put[0]);
        assert_eq!(pairs.get(&shown), Some(&with));
        assert_eq!(shown, chain);
    }
}

#[tokio::test]
async fn a_mounted_secret_changes_all_at_once() {
    // As Kubernetes does: files are links through a link to a folder, which is replaced in one step.
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let issuer = Issuer::new();
    let version = |name: &str, (chain, key): &(String, String)| {
        fs::create_dir(file(name)).expect("a folder");
        fs::write(file(name).join("cert-chain.pem"), chain).expect("a file");
        fs::write(file(name).join("key.pem"), key).expect("a file");
        fs::write(file(name).join("root-cert.pem"), issuer.pem()).expect("a file");
        std::os::unix::fs::symlink(name, file("..new")).expect("a link");
        fs::rename(file("..new"), file("..data")).expect("a link");
    };
    let (first, second) = (issuer.issue(HOUR), issuer.issue(HOUR));
    version("1", &first);
    for name in ["cert-chain.pem", "key.pem", "root-cert.pem"] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), file(name)).expect("a link");
    }
    let mut consumer = Consumer::start(|sender| run(config(folder.path()), sender));
    let put = consumer.update().await;
    assert_eq!((names(&put), content(&put[0])), (vec!["default", "ROOTCA"], first));
    version("2", &second);
    let put = consumer.update().await;
    assert_eq!((names(&put), content(&put[0])), (vec!["default"], second));
}

#[tokio::test]
async fn keys_in_the_forms_of_istios_agent_are_read_and_matched() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let rsa = (include_str!("keys/rsa-chain.pem"), include_str!("keys/rsa-key.pem"));
    let ec = (include_str!("keys/ec-chain.pem"), include_str!("keys/ec-key.pem"));
    assert!(rsa.1.contains("BEGIN RSA PRIVATE KEY") && ec.1.contains("BEGIN EC PRIVATE KEY"));
    let write = |(chain, key): (&str, &str)| {
        fs::write(file("cert-chain.pem"), chain).expect("a file");
        fs::write(file("key.pem"), key).expect("a file");
    };
    fs::write(file("root-cert.pem"), Issuer::new().pem()).expect("a file");
    write(rsa);
    let mut consumer = Consumer::start(|sender| run(config(folder.path()), sender));
    let put = consumer.update().await;
    assert_eq!(content(&put[0]), (rsa.0.to_owned(), rsa.1.to_owned()));
    for mixed in [(rsa.0, ec.1), (ec.0, rsa.1)] {
        write(mixed);
        let said = consumer.failure().await;
        assert!(
            said.ends_with("the private key is not that of the certificate"),
            "{said}"
        );
        // Right in between, so that the same complaint is made again.
        write(ec);
        if mixed.0 == rsa.0 {
            assert_eq!(content(&consumer.update().await[0]), (ec.0.to_owned(), ec.1.to_owned()));
        }
    }
}
