//! Certificates, keys and roots: what is in them, and whether they are any good. No clock: the time is an argument.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amesh_core::Resource;
use amesh_core::decode::Body;
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, RootCertStore};
use x509_parser::prelude::{ASN1Time, FromDer as _, GeneralName, X509Certificate};
use zeroize::Zeroizing;

/// Why a certificate, its key or its roots are not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// There is no certificate where one has to be.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("a certificate cannot be read: {0}")]
    Certificate(String),
    /// The private key cannot be read, or is of a kind that cannot be checked.
    #[error("the private key cannot be read: {0}")]
    Key(String),
    /// The private key belongs to another certificate.
    #[error("the private key is not that of the certificate")]
    Mismatch,
    /// The certificate is no longer valid.
    #[error("the certificate expired at {}", date(*.0))]
    Expired(SystemTime),
    /// The chain does not lead to the root that came with it.
    #[error("the certificate does not lead to its root: {0}")]
    Chain(String),
    /// An answer of the authority has a certificate and no root.
    #[error("the answer has no root")]
    NoRoot,
}

/// A moment, for people.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    time.map_or_else(|| format!("{seconds} s after 1970"), |time| time.to_string())
}

/// A private key as PEM, wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    pub(crate) fn new(pem: Vec<u8>) -> Self {
        Self(Zeroizing::new(pem))
    }

    pub(crate) fn pem(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A certificate with its chain and its own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certified {
    chain: Vec<u8>,
    key: Key,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// The URIs that it is for: a workload's identity in SPIFFE's form.
    pub(crate) uris: Vec<String>,
}

impl Certified {
    /// Reads a chain, the workload's own certificate first, and makes sure that the key is its own.
    pub(crate) fn new(chain: &[u8], key: Key) -> Result<Self, Invalid> {
        let ders = certificates(chain)?;
        let leaf = ders.first().ok_or(Invalid::NoCertificate)?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| Invalid::Certificate(error.to_string()))?;
        let validity = leaf.validity();
        let (not_before, not_after) = (moment(validity.not_before), moment(validity.not_after));
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let uris = names.filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        let uris = uris.collect();
        let der = PrivateKeyDer::from_pem_slice(key.pem()).map_err(|error| Invalid::Key(error.to_string()))?;
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(ders, der, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Invalid::Mismatch,
            rustls::Error::InvalidCertificate(error) => Invalid::Certificate(error.to_string()),
            other => Invalid::Key(other.to_string()),
        })?;
        Ok(Self {
            chain: chain.to_vec(),
            key,
            not_before,
            not_after,
            uris,
        })
    }

    /// What an authority answered: the certificate for that key, then what signed it, the roots in the last entry.
    pub(crate) fn from_answer(answer: &[String], key: Key, now: SystemTime) -> Result<(Self, Roots), Invalid> {
        let (roots, chain) = match answer {
            [] => return Err(Invalid::NoCertificate),
            [_] => return Err(Invalid::NoRoot),
            [chain @ .., roots] => (roots, chain),
        };
        // Each starts on a line of its own.
        let mut chain: String = chain.iter().flat_map(|pem| [pem.trim_end(), "\n"]).collect();
        let roots = Roots::new(roots.as_bytes())?;
        let certified = Self::new(chain.as_bytes(), key.clone())?;
        certified.check(now)?;
        certified.verify(&roots, now)?;
        if roots.is_signed_by_another() {
            // Then those who verify need it to find the root that they know. A real root is of no use to them.
            chain.push_str(&String::from_utf8_lossy(&roots.pem));
            return Ok((Self::new(chain.as_bytes(), key)?, roots));
        }
        Ok((certified, roots))
    }

    /// Whether it has not expired. One that is not valid yet is good: the clock that is behind may be ours, and it is for
    /// others to judge.
    pub(crate) fn check(&self, now: SystemTime) -> Result<(), Invalid> {
        if now >= self.not_after {
            return Err(Invalid::Expired(self.not_after));
        }
        Ok(())
    }

    /// Whether others that know these roots will believe it.
    fn verify(&self, roots: &Roots, now: SystemTime) -> Result<(), Invalid> {
        let refused = |error: &dyn fmt::Display| Invalid::Chain(error.to_string());
        let mut store = RootCertStore::empty();
        for root in certificates(&roots.pem)? {
            store.add(root).map_err(|error| refused(&error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
        let verifier = verifier.build().map_err(|error| refused(&error))?;
        let chain = certificates(&self.chain)?;
        let (leaf, between) = chain.split_first().ok_or(Invalid::NoCertificate)?;
        let now = now.max(self.not_before);
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        match verifier.verify_client_cert(leaf, between, now) {
            // What cannot be checked here may be checked by others.
            Ok(_)
            | Err(rustls::Error::InvalidCertificate(
                CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            )) => Ok(()),
            Err(error) => Err(refused(&error)),
        }
    }

    /// The secret that Envoy would get.
    pub(crate) fn secret(&self, name: &str) -> Resource {
        secret(
            name,
            Type::TlsCertificate(TlsCertificate {
                certificate_chain: Some(inline(self.chain.clone())),
                private_key: Some(inline(self.key.pem().to_vec())),
                ..TlsCertificate::default()
            }),
        )
    }
}

/// Certificates that a mesh trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roots {
    pem: Vec<u8>,
}

impl Roots {
    /// Reads them: there is at least one, and all are legible.
    pub(crate) fn new(pem: &[u8]) -> Result<Self, Invalid> {
        let ders = certificates(pem)?;
        if ders.is_empty() {
            return Err(Invalid::NoCertificate);
        }
        for der in &ders {
            X509Certificate::from_der(der).map_err(|error| Invalid::Certificate(error.to_string()))?;
        }
        Ok(Self { pem: pem.to_vec() })
    }

    /// Whether the first is itself signed by another certificate, which is not here.
    fn is_signed_by_another(&self) -> bool {
        let ders = certificates(&self.pem).unwrap_or_default();
        let first = ders.first().and_then(|der| X509Certificate::from_der(der).ok());
        first.is_some_and(|(_, root)| root.subject() != root.issuer())
    }

    /// The secret that Envoy would get.
    pub(crate) fn secret(&self, name: &str) -> Resource {
        secret(
            name,
            Type::ValidationContext(CertificateValidationContext {
                trusted_ca: Some(inline(self.pem.clone())),
                ..CertificateValidationContext::default()
            }),
        )
    }
}

/// Judges a secret that a server sent, as far as what is in it can be seen here. Gives the certificate in it.
pub(crate) fn judge(secret: &Secret, now: SystemTime) -> Result<Option<Certified>, Invalid> {
    match &secret.r#type {
        Some(Type::TlsCertificate(certificate)) => {
            let chain = certificate.certificate_chain.as_ref().and_then(held);
            let key = certificate.private_key.as_ref().and_then(held);
            let (Some(chain), Some(key)) = (chain, key) else {
                return Ok(None);
            };
            let certified = Certified::new(chain, Key::new(key.to_vec()))?;
            certified.check(now)?;
            Ok(Some(certified))
        }
        Some(Type::ValidationContext(context)) => {
            if let Some(roots) = context.trusted_ca.as_ref().and_then(held) {
                Roots::new(roots)?;
            }
            Ok(None)
        }
        Some(Type::SessionTicketKeys(_) | Type::GenericSecret(_)) | None => Ok(None),
    }
}

/// The bytes that are in the message itself.
fn held(source: &DataSource) -> Option<&[u8]> {
    match &source.specifier {
        Some(Specifier::InlineBytes(bytes)) => Some(bytes),
        Some(Specifier::InlineString(text)) => Some(text.as_bytes()),
        Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_)) | None => None,
    }
}

fn secret(name: &str, body: Type) -> Resource {
    Resource {
        name: name.to_owned(),
        body: Body::Secret(Arc::new(Secret {
            name: name.to_owned(),
            r#type: Some(body),
        })),
        unknown: Vec::new(),
    }
}

fn inline(bytes: Vec<u8>) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(bytes)),
        ..DataSource::default()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let all = CertificateDer::pem_slice_iter(pem);
    all.collect::<Result<_, _>>()
        .map_err(|error| Invalid::Certificate(error.to_string()))
}

fn moment(time: ASN1Time) -> SystemTime {
    // Before 1970 is as long ago as 1970.
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
