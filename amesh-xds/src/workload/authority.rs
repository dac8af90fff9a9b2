//! A certificate from Istio's certificate authority: a key that is made here, a request that is signed there, and a new one
//! of both when half of the time is over.

use std::pin::Pin;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use tokio::sync::mpsc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use super::certificate::Key;
use super::renewal::{Action, Event, Renewal};
use super::{Error, Message, sleep_until, tell};
use crate::backoff::Backoff;
use crate::server::Server;
use crate::stream::connect::{self, Patience};

/// What to ask for, and of whom.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The authority: istiod's secure port, `istiod.istio-system.svc:15012`. The roots to trust it, the token and a
    /// certificate to show are read from their files for every request.
    pub server: Server,
    /// Who asks: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`. Istio's authority does not look at it and believes the
    /// token.
    pub identity: String,
    /// The cluster that the token is from, where the authority serves several.
    pub cluster: Option<String>,
    /// How long the certificate shall be valid; 24 h, as Istio's agent asks. The authority has the last word.
    pub lifetime: Duration,
    /// How long to wait when a request failed.
    pub backoff: Backoff,
    /// How long to wait for a connection, and as long for the answer; 10 s.
    pub timeout: Duration,
}

impl Config {
    /// With what Istio's agent does where nothing else is said.
    #[must_use]
    pub fn new(server: Server, identity: impl Into<String>) -> Self {
        Self {
            server,
            identity: identity.into(),
            cluster: None,
            lifetime: Duration::from_secs(24 * 60 * 60),
            backoff: Backoff::default(),
            timeout: Duration::from_secs(10),
        }
    }
}

type Answer = Result<(Key, Vec<String>), Error>;

/// Keeps the secrets [`CERTIFICATE`](super::CERTIFICATE) and [`ROOTS`](super::ROOTS) fresh, until the consumer closes its
/// channel. Needs a tokio runtime with I/O and time.
pub async fn run(config: Config, consumer: mpsc::Sender<Message>) {
    let mut renewal = Renewal::new(config.backoff.clone());
    let mut request: Option<Pin<Box<dyn Future<Output = Answer> + Send>>> = None;
    let mut event = Event::Tick;
    loop {
        for action in renewal.handle(SystemTime::now(), fastrand::f64(), event) {
            match action {
                Action::Ask => request = Some(Box::pin(ask(config.clone()))),
                Action::Tell(message) => {
                    if tell(&consumer, message).await.is_err() {
                        return;
                    }
                }
            }
        }
        event = tokio::select! {
            () = consumer.closed() => return,
            answer = answer(&mut request) => Event::Answer(answer),
            () = sleep_until(renewal.deadline()) => Event::Tick,
        };
    }
}

async fn answer(request: &mut Option<Pin<Box<dyn Future<Output = Answer> + Send>>>) -> Answer {
    match request {
        Some(waiting) => {
            let answer = waiting.await;
            *request = None;
            answer
        }
        None => std::future::pending().await,
    }
}

/// One request, on a connection of its own: there is one in twelve hours.
async fn ask(config: Config) -> Answer {
    let (key, csr) = signing_request(&config.identity)?;
    let patience = Patience {
        connect: config.timeout,
        keepalive: config.timeout,
        keepalive_timeout: config.timeout,
    };
    let connection = connect::connect(&config.server, patience).await?;
    let mut client = tonic::client::Grpc::new(connection);
    let mut request = tonic::Request::new(CertificateRequest {
        csr,
        validity_duration: i64::try_from(config.lifetime.as_secs()).unwrap_or(i64::MAX),
    });
    if let Some(cluster) = &config.cluster {
        let cluster: MetadataValue<Ascii> = cluster
            .parse()
            .map_err(|_| Error::Request(format!("{cluster:?} cannot be sent in a header")))?;
        request.metadata_mut().insert("clusterid", cluster);
    }
    let call = async {
        let ready = client.ready().await;
        ready.map_err(|error| connect::Error::Connect(connect::causes(&error)))?;
        let path = PathAndQuery::from_static("/istio.v1.auth.IstioCertificateService/CreateCertificate");
        let codec = tonic_prost::ProstCodec::<CertificateRequest, CertificateResponse>::default();
        let answer = client.unary(request, path, codec).await;
        answer.map_err(|status| connect::failed(&status))
    };
    let answer = tokio::time::timeout(config.timeout, call).await;
    let answer = answer.map_err(|_| Error::Silent(config.timeout))??;
    Ok((key, answer.into_inner().cert_chain))
}

/// A new key, and a request for a certificate with it.
fn signing_request(identity: &str) -> Result<(Key, String), Error> {
    let failed = |error: rcgen::Error| Error::Request(error.to_string());
    let pair = Zeroizing::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?);
    let mut params = CertificateParams::default();
    // As in the certificate: the name alone says who it is.
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.try_into().map_err(failed)?)];
    let csr = params
        .serialize_request(&*pair)
        .and_then(|csr| csr.pem())
        .map_err(failed)?;
    Ok((Key::new(pair.serialize_pem().into_bytes()), csr))
}

/// `istio.v1.auth.IstioCertificateRequest`, as far as it is used here.
#[derive(Clone, PartialEq, prost::Message)]
struct CertificateRequest {
    /// The signing request as PEM.
    #[prost(string, tag = "1")]
    csr: String,
    /// In seconds.
    #[prost(int64, tag = "3")]
    validity_duration: i64,
}

/// `istio.v1.auth.IstioCertificateResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct CertificateResponse {
    /// As PEM: the certificate, what signed it, and the roots in the last entry.
    #[prost(string, repeated, tag = "1")]
    cert_chain: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509CertificationRequest, parse_x509_pem};

    #[test]
    fn a_signing_request_has_the_identity_and_is_signed_with_a_new_p256_key() {
        let identity = "spiffe://cluster.local/ns/default/sa/reviews";
        let (key, csr) = signing_request(identity).unwrap();
        let (_, pem) = parse_x509_pem(csr.as_bytes()).unwrap();
        let (_, csr) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        let names: Vec<_> = csr
            .requested_extensions()
            .unwrap()
            .filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(names, [&GeneralName::URI(identity)]);
        let info = &csr.certification_request_info;
        assert_eq!(info.subject.iter().count(), 0);
        let pair = KeyPair::from_pem(std::str::from_utf8(key.pem()).unwrap()).unwrap();
        assert!(pair.is_compatible(&PKCS_ECDSA_P256_SHA256));
        assert_eq!(
            info.subject_pki.subject_public_key.data.as_ref(),
            rcgen::PublicKeyData::der_bytes(&pair)
        );
        assert_ne!(signing_request(identity).unwrap().0, key);
    }

    #[test]
    fn an_identity_that_no_certificate_can_have_is_said() {
        let error = signing_request("spiffe://cluster.local/ns/ü/sa/x").unwrap_err();
        assert!(matches!(error, Error::Request(_)), "{error}");
    }
}
