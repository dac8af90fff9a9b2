//! Who signs certificates in these tests.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    SanType,
};

pub(crate) const IDENTITY: &str = "spiffe://cluster.local/ns/default/sa/reviews";

pub(crate) struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key.
    pub(crate) fn issue(&self, lifetime: Duration) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(IDENTITY.try_into().expect("a name"))];
        params.not_after = (SystemTime::now() + lifetime).into();
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// What Istio's authority answers.
    pub(crate) fn sign(&self, csr: &str, lifetime: Duration) -> Vec<String> {
        let mut request = CertificateSigningRequestParams::from_pem(csr).expect("a request");
        request.params.not_before = (SystemTime::now() - Duration::from_secs(120)).into();
        request.params.not_after = (SystemTime::now() + lifetime).into();
        let certificate = request.signed_by(&self.0).expect("a certificate");
        vec![certificate.pem(), self.pem()]
    }
}
