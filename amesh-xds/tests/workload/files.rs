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
