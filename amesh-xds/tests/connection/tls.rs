//! The client over TLS.

use std::path::{Path, PathBuf};

use amesh_xds::server::{Server, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, ServerTlsConfig};

use crate::mock::{Running, serve_with};
use crate::{Consumer, clusters, config, server};

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).expect("a file");
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

async fn serve(authority: &Authority, name: &str, clients: Option<&Authority>) -> (String, Running) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (chain, key) = authority.issue(name);
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(chain, key));
    if let Some(clients) = clients {
        tls = tls.client_ca_root(tonic::transport::Certificate::from_pem(clients.0.pem()));
    }
    let builder = tonic::transport::Server::builder()
        .tls_config(tls)
        .expect("a configuration");
    let incoming = TcpListenerStream::new(listener);
    let running = serve_with(move |service| builder.serve_with_incoming(service, incoming));
    (address, running)
}

fn secured(address: &str, roots: PathBuf) -> Server {
    let mut server = server(address);
    let mut tls = Tls::new(roots);
    tls.server_name = Some("istiod.istio-system.svc".to_owned());
    server.tls = Some(tls);
    server
}

#[tokio::test]
async fn xds_68_an_untrusted_certificate_is_said_and_rotated_roots_are_read_again() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("root-cert.pem");
    other.write(&roots);
    let (address, mut mock) = serve(&trusted, "istiod.istio-system.svc", None).await;
    let mut consumer = Consumer::start(config(vec![secured(&address, roots.clone())]));
    let (error, _) = consumer.disconnected().await;
    let error = error.expect("a reason").to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    trusted.write(&roots);
    let mut stream = mock.sotw.recv().await.expect("a stream");
    let _ = stream.request().await;
    stream.answer(clusters("1", &["c"])).await;
    assert_eq!(consumer.update().await.len(), 1);
}

#[tokio::test]
async fn xds_68_a_certificate_for_another_name_and_a_missing_file_are_said() {
    let authority = Authority::new("root");
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("root-cert.pem");
    let (address, _mock) = serve(&authority, "somebody.else", None).await;
    let mut consumer = Consumer::start(config(vec![secured(&address, roots.clone())]));
    let error = consumer.disconnected().await.0.expect("a reason").to_string();
    assert!(error.contains("root-cert.pem"), "{error}");
    authority.write(&roots);
    let mut last = String::new();
    for _ in 0..50 {
        last = consumer.disconnected().await.0.expect("a reason").to_string();
        if !last.contains("root-cert.pem") {
            break;
        }
    }
    assert!(last.contains("not valid for name"), "{last}");
}

#[tokio::test]
async fn a_certificate_of_ours_is_shown() {
    let authority = Authority::new("root");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    authority.write(&file("root.pem"));
    let (chain, key) = authority.issue("app");
    std::fs::write(file("chain.pem"), chain).expect("a file");
    std::fs::write(file("key.pem"), key).expect("a file");
    let (address, mut mock) = serve(&authority, "istiod.istio-system.svc", Some(&authority)).await;
    let mut with_identity = secured(&address, file("root.pem"));
    if let Some(tls) = &mut with_identity.tls {
        tls.identity = Some((file("chain.pem"), file("key.pem")));
    }
    let _consumer = Consumer::start(config(vec![with_identity]));
    assert!(mock.sotw.recv().await.is_some());
    // And without it there is no way in.
    let mut stranger = Consumer::start(config(vec![secured(&address, file("root.pem"))]));
    assert!(stranger.disconnected().await.0.is_some());
}
