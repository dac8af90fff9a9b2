//! Secrets from the socket of Istio's agent.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use amesh_core::{ResourceType, Update};
use amesh_xds::Replica;
use amesh_xds::session::Options;
use amesh_xds::stream::Config;
use amesh_xds::workload::sds::run;
use amesh_xds::workload::{CERTIFICATE, Message, ROOTS};
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryResponse, Resource as Wrapper};
use envoy_types::pb::google::protobuf::Any;
use prost::{Message as _, Name as _};
use tokio::sync::watch;
use tonic::Status;

use crate::issuer::Issuer;
use crate::mock::{self, Opened, Running};
use crate::{Consumer, content, names, quick, unix};

const HOUR: Duration = Duration::from_secs(3600);
const KIND: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

fn config(socket: &Path) -> Config {
    let mut options = Options::default();
    "sidecar~10.0.0.1~a.b~b.svc.cluster.local".clone_into(&mut options.node.id);
    let mut config = Config::new(vec![unix(socket)], options);
    config.backoff = quick();
    config
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn inline(text: &str) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(text.as_bytes().to_vec())),
        ..DataSource::default()
    }
}

fn pair((chain, key): &(String, String)) -> Type {
    Type::TlsCertificate(TlsCertificate {
        certificate_chain: Some(inline(chain)),
        private_key: Some(inline(key)),
        ..TlsCertificate::default()
    })
}

fn roots(pem: &str) -> Type {
    Type::ValidationContext(CertificateValidationContext {
        trusted_ca: Some(inline(pem)),
        ..CertificateValidationContext::default()
    })
}

/// One secret in a wrapper, as Istio's agent sends it.
fn response(version: &str, name: &str, content: Type) -> DiscoveryResponse {
    let any = |url: String, value| Any { type_url: url, value };
    let secret = Secret {
        name: name.to_owned(),
        r#type: Some(content),
    };
    let wrapper = Wrapper {
        name: name.to_owned(),
        resource: Some(any(KIND.to_owned(), secret.encode_to_vec())),
        ..Wrapper::default()
    };
    DiscoveryResponse {
        version_info: version.to_owned(),
        nonce: version.to_owned(),
        type_url: KIND.to_owned(),
        resources: vec![any(Wrapper::type_url(), wrapper.encode_to_vec())],
        ..DiscoveryResponse::default()
    }
}

/// The stream of a secret, and the name that was asked for on it.
async fn opened(agent: &mut Running<Opened>) -> (String, Opened) {
    let mut stream = agent.next().await;
    let mut request = stream.request().await;
    assert!(request.node.is_some() && request.type_url == KIND && request.response_nonce.is_empty());
    assert_eq!(request.resource_names.len(), 1);
    (request.resource_names.remove(0), stream)
}

#[tokio::test]
async fn each_secret_is_followed_on_a_stream_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let issuer = Issuer::new();
    let (_names, wanted) = watch::channel(set(&[CERTIFICATE, ROOTS]));
    let mut consumer = Consumer::start(|sender| run(config(&socket), wanted, sender));
    // There is no socket yet.
    assert!(consumer.failure().await.contains("No such file"));
    let mut agent = mock::agent(&socket);
    let mut streams = [opened(&mut agent).await, opened(&mut agent).await];
    streams.sort_by(|one, other| one.0.cmp(&other.0));
    let [(first, mut of_roots), (second, mut of_pair)] = streams;
    assert_eq!((first.as_str(), second.as_str()), (ROOTS, CERTIFICATE));

    let one = issuer.issue(HOUR);
    of_pair.answer(response("1", CERTIFICATE, pair(&one))).await;
    let put = consumer.update().await;
    assert_eq!((names(&put), content(&put[0])), (vec![CERTIFICATE], one));
    let ack = of_pair.request().await;
    assert_eq!(
        (ack.version_info.as_str(), ack.response_nonce.as_str(), ack.error_detail),
        ("1", "1", None)
    );
    of_roots.answer(response("1", ROOTS, roots(&issuer.pem()))).await;
    let put = consumer.update().await;
    assert_eq!((names(&put), content(&put[0]).0), (vec![ROOTS], issuer.pem()));
    assert_eq!(of_roots.request().await.version_info, "1");

    // A rotation.
    let two = issuer.issue(HOUR);
    of_pair.answer(response("2", CERTIFICATE, pair(&two))).await;
    assert_eq!(content(&consumer.update().await[0]), two);
    assert_eq!(of_pair.request().await.version_info, "2");
    consumer.close().await;
}

#[tokio::test]
async fn a_bad_secret_is_refused_and_the_stream_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let issuer = Issuer::new();
    let mut agent = mock::agent(&socket);
    let (_names, wanted) = watch::channel(set(&[CERTIFICATE]));
    let mut consumer = Consumer::start(|sender| run(config(&socket), wanted, sender));
    let (_, mut stream) = opened(&mut agent).await;
    let good = issuer.issue(HOUR);
    stream.answer(response("1", CERTIFICATE, pair(&good))).await;
    consumer.update().await;
    assert_eq!(stream.request().await.error_detail, None);

    let mixed = (issuer.issue(HOUR).0, good.1.clone());
    let old = issuer.issue(Duration::ZERO);
    for (version, bad, reason) in [
        ("2", &mixed, "the private key is not that of the certificate"),
        ("3", &old, "the certificate expired at "),
    ] {
        stream.answer(response(version, CERTIFICATE, pair(bad))).await;
        let said = consumer.failure().await;
        assert!(said.starts_with("refused: ") && said.contains(reason), "{said}");
        let nack = stream.request().await;
        let detail = nack.error_detail.expect("a refusal").message;
        assert!(detail.contains(CERTIFICATE) && detail.contains(reason), "{detail}");
        assert_eq!(
            (nack.version_info.as_str(), nack.response_nonce.as_str()),
            ("1", version)
        );
    }

    // A stream that ends is opened again, and what is held already is not told again.
    stream.fail(Status::internal("failed to generate secret")).await;
    let said = consumer.failure().await;
    assert!(said.contains("failed to generate secret"), "{said}");
    let (_, mut stream) = opened(&mut agent).await;
    stream.answer(response("4", CERTIFICATE, pair(&good))).await;
    assert_eq!(stream.request().await.version_info, "4");
    assert!(consumer.is_quiet().await);
}

#[tokio::test]
async fn the_end_of_a_certificate_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let mut agent = mock::agent(&socket);
    let (_, wanted) = watch::channel(set(&[CERTIFICATE]));
    let mut consumer = Consumer::start(|sender| run(config(&socket), wanted, sender));
    let (_, stream) = opened(&mut agent).await;
    let short = Issuer::new().issue(Duration::from_secs(2));
    stream.answer(response("1", CERTIFICATE, pair(&short))).await;
    consumer.update().await;
    let told = consumer.message().await;
    assert!(
        matches!(&told, Message::Expired { name, .. } if name == CERTIFICATE),
        "{told:?}"
    );
    assert!(consumer.is_quiet().await);
}

#[tokio::test]
async fn names_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let mut agent = mock::agent(&socket);
    let (wanted, receiver) = watch::channel(BTreeSet::new());
    let mut consumer = Consumer::start(|sender| run(config(&socket), receiver, sender));
    let mut replica = Replica::new();
    wanted.send(set(&["file-root:system"])).expect("a receiver");
    let (name, mut stream) = opened(&mut agent).await;
    let content = roots(&Issuer::new().pem());
    stream.answer(response("1", &name, content)).await;
    let put = consumer.update().await;
    let (dirty, verdict) = replica.apply(Update {
        put,
        removed: Vec::new(),
    });
    assert_eq!(
        (dirty.changed.len(), verdict),
        (1, amesh_xds::session::Verdict::default())
    );
    assert_eq!(stream.request().await.version_info, "1");

    wanted.send(BTreeSet::new()).expect("a receiver");
    let Message::Update(update) = consumer.message().await else {
        panic!("something else")
    };
    assert_eq!((update.put.len(), update.removed.len()), (0, 1));
    replica.apply(update);
    assert_eq!(replica.snapshot().count(ResourceType::Secret), 0);
    assert!(stream.is_over().await);
}
