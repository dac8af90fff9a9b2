//! Certificates that istiod's own authority signs.

use std::path::Path;
use std::time::{Duration, SystemTime};

use amesh_core::Resource;
use amesh_core::decode::Body;
use amesh_xds::workload::{self, authority};
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::*;

const ACCOUNT: &str = "default/bookinfo-productpage";
const IDENTITY: &str = "spiffe://cluster.local/ns/default/sa/bookinfo-productpage";

/// The secure port, with its roots and the token of a service account.
pub(crate) fn secure(istiod: &Istiod, token: &Path, account: &str) -> Server {
    std::fs::write(token, account).expect("a file");
    let mut server = Server::new(istiod.secure().parse().expect("an address"));
    let mut tls = Tls::new(istiod.root_cert());
    tls.server_name = Some("istiod.istio-system.svc".to_owned());
    server.tls = Some(tls);
    server.token = Some(token.to_owned());
    server
}

fn start_renewal(config: authority::Config) -> mpsc::Receiver<workload::Message> {
    let (sender, messages) = mpsc::channel(4);
    tokio::spawn(authority::run(config, sender));
    messages
}

async fn update(messages: &mut mpsc::Receiver<workload::Message>) -> Vec<Resource> {
    let message = timeout(Duration::from_secs(20), messages.recv()).await;
    match message.expect("in time").expect("the source runs") {
        workload::Message::Update(update) => update.put,
        other => panic!("{other:?}"),
    }
}

fn pem(source: Option<&DataSource>) -> Vec<u8> {
    match source.and_then(|source| source.specifier.as_ref()) {
        Some(Specifier::InlineBytes(bytes)) => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

/// The chain and the key.
fn pair(secret: &Resource) -> (Vec<u8>, Vec<u8>) {
    let Body::Secret(secret) = &secret.body else {
        panic!("{secret:?}")
    };
    let Some(Type::TlsCertificate(certificate)) = &secret.r#type else {
        panic!("no certificate")
    };
    (
        pem(certificate.certificate_chain.as_ref()),
        pem(certificate.private_key.as_ref()),
    )
}

fn roots(secret: &Resource) -> Vec<u8> {
    let Body::Secret(secret) = &secret.body else {
        panic!("{secret:?}")
    };
    let Some(Type::ValidationContext(context)) = &secret.r#type else {
        panic!("no roots")
    };
    pem(context.trusted_ca.as_ref())
}

fn ders(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .expect("certificates")
}

/// The identity, the serial number, and the seconds that are left.
fn read(chain: &[u8]) -> (String, String, u64) {
    let ders = ders(chain);
    let (_, leaf) = X509Certificate::from_der(&ders[0]).expect("a certificate");
    let names = leaf.subject_alternative_name().expect("one extension").expect("names");
    assert!(names.critical && leaf.subject().iter().count() == 0);
    let [GeneralName::URI(identity)] = names.value.general_names.as_slice() else {
        panic!("{names:?}")
    };
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let until = u64::try_from(leaf.validity().not_after.timestamp()).expect("after 1970");
    let serial = leaf.raw_serial_as_string();
    ((*identity).to_owned(), serial, until.saturating_sub(now))
}

#[tokio::test]
async fn istiods_authority_signs_a_certificate_that_its_roots_vouch_for() {
    let Some(harness) = istiod::harness() else { return };
    let istiod = start(&harness, &scenario("01-bookinfo-default").join("config"));
    let folder = tempfile::tempdir().expect("a folder");
    let server = secure(&istiod, &folder.path().join("token"), ACCOUNT);
    let put = update(&mut start_renewal(authority::Config::new(server, IDENTITY))).await;
    let names: Vec<_> = put.iter().map(|put| put.name.as_str()).collect();
    assert_eq!(names, [workload::CERTIFICATE, workload::ROOTS]);

    let (chain, _) = pair(&put[0]);
    let (identity, _, left) = read(&chain);
    assert_eq!(identity, IDENTITY);
    // A day, and not the two minutes that it is dated back.
    assert!((86_380..=86_400).contains(&left), "{left}");
    let trusted = roots(&put[1]);
    assert_eq!(
        ders(&trusted),
        ders(&std::fs::read(istiod.root_cert()).expect("a file"))
    );
    let mut store = RootCertStore::empty();
    for root in ders(&trusted) {
        store.add(root).expect("a root");
    }
    let provider = rustls::crypto::ring::default_provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(store.into(), provider.into());
    let chain = ders(&chain);
    let (leaf, between) = chain.split_first().expect("a certificate");
    let verified = verifier
        .build()
        .expect("a verifier")
        .verify_client_cert(leaf, between, UnixTime::now());
    verified.expect("a chain to the root");
}

#[tokio::test]
async fn one_replica_holds_what_istiod_sends_and_what_its_authority_signs() {
    let Some(harness) = istiod::harness() else { return };
    let istiod = start(&harness, &scenario("01-bookinfo-default").join("config"));
    let folder = tempfile::tempdir().expect("a folder");
    let server = secure(&istiod, &folder.path().join("token"), ACCOUNT);
    let mut messages = start_renewal(authority::Config::new(server.clone(), IDENTITY));
    let (options, _) = recording("01-bookinfo-default");
    let mut follower = Follower::start(server, options);
    follower.complete().await;

    // Istio's clusters and listeners take these two from the agent, and nothing else.
    let taken = follower.replica.secrets_from("sds-grpc");
    assert_eq!(
        taken.iter().collect::<Vec<_>>(),
        [workload::ROOTS, workload::CERTIFICATE]
    );
    let (put, removed) = (update(&mut messages).await, Vec::new());
    let (dirty, verdict) = follower.replica.apply(amesh_core::Update { put, removed });
    assert_eq!(dirty.changed.len(), 2);
    assert_eq!(verdict, amesh_xds::session::Verdict::default());
    for name in taken {
        let kind = ResourceType::Secret;
        assert!(follower.replica.snapshot().get(&ResourceName { kind, name }).is_some());
    }
    // And what istiod pushes afterwards leaves them alone.
    istiod.remove("bookinfo.yaml").expect("the file");
    follower
        .until(|_, dirty| dirty.changed.iter().any(|name| name.kind == ResourceType::Cluster))
        .await;
    assert_eq!(follower.replica.snapshot().count(ResourceType::Secret), 2);
}

#[tokio::test]
async fn a_certificate_is_shown_to_istiod_and_the_next_one_after_its_rotation() {
    let Some(harness) = istiod::harness() else { return };
    let istiod = start(&harness, &scenario("01-bookinfo-default").join("config"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let mut config = authority::Config::new(secure(&istiod, &file("token"), ACCOUNT), IDENTITY);
    config.lifetime = Duration::from_secs(6);
    let mut messages = start_renewal(config);

    // Connected with nothing but the certificate: who has neither token nor certificate is refused.
    let mut by_certificate = secure(&istiod, &file("token"), ACCOUNT);
    by_certificate.token = None;
    let (options, _) = recording("01-bookinfo-default");
    let mut stranger = Follower::start(by_certificate.clone(), options.clone());
    stranger.patient = true;
    let mut refused = String::new();
    stranger
        .until(|message, _| match message {
            Message::Disconnected { error: Some(error), .. } => {
                refused = error.to_string();
                true
            }
            _ => false,
        })
        .await;
    assert!(refused.contains("authentication"), "{refused}");

    if let Some(tls) = &mut by_certificate.tls {
        tls.identity = Some((file("cert-chain.pem"), file("key.pem")));
    }
    let mut serials = Vec::new();
    for _ in 0..2 {
        let put = update(&mut messages).await;
        let (chain, key) = pair(&put[0]);
        let (identity, serial, left) = read(&chain);
        assert_eq!(identity, IDENTITY);
        assert!(left <= 6, "{left}");
        serials.push(serial);
        std::fs::write(file("cert-chain.pem"), chain).expect("a file");
        std::fs::write(file("key.pem"), key).expect("a file");
        let mut follower = Follower::start(by_certificate.clone(), options.clone());
        follower.complete().await;
        assert!(follower.replica.snapshot().count(ResourceType::Cluster) > 10);
    }
    assert_ne!(serials[0], serials[1]);
}

#[tokio::test]
async fn an_istiod_that_comes_back_with_a_new_authority_is_believed_with_its_new_roots() {
    let Some(harness) = istiod::harness() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let scenario = scenario("01-bookinfo-default").join("config");
    let istiod = start(&harness, &scenario);
    std::fs::copy(istiod.root_cert(), file("root-cert.pem")).expect("a file");
    let mut server = secure(&istiod, &file("token"), ACCOUNT);
    if let Some(tls) = &mut server.tls {
        tls.roots = file("root-cert.pem");
    }
    let mut config = authority::Config::new(server, IDENTITY);
    config.lifetime = Duration::from_secs(4);
    let mut messages = start_renewal(config);
    let first = update(&mut messages).await;
    let address = istiod.secure().to_owned();
    drop(istiod);

    let failed = |message: Option<workload::Message>| match message {
        Some(workload::Message::Failed { error, .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let said = failed(
        timeout(Duration::from_secs(20), messages.recv())
            .await
            .expect("in time"),
    );
    assert!(said.contains("refused"), "{said}");
    let istiod = Istiod::start(&harness, &scenario, &["--log", "error", "--secure-listen", &address]);
    // Its roots are others, and it is not believed until the file says so. Meanwhile the certificate ends.
    let (mut untrusted, mut expired) = (false, false);
    let put = async {
        while !(untrusted && expired) {
            match messages.recv().await {
                Some(workload::Message::Expired { .. }) => expired = true,
                other => {
                    let said = failed(other);
                    untrusted |= said.contains("UnknownIssuer") || said.contains("BadSignature");
                }
            }
        }
        std::fs::copy(istiod.root_cert(), file("root-cert.pem")).expect("a file");
        loop {
            match messages.recv().await {
                Some(workload::Message::Update(update)) => return update.put,
                Some(workload::Message::Failed { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let put = timeout(Duration::from_secs(60), put).await.expect("in time");
    assert_eq!(put.len(), 2);
    assert_ne!(roots(&put[1]), roots(&first[1]));
}
