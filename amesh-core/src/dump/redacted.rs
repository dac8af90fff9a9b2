//! Private keys that the producer of a dump has blanked out.

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};

/// What Envoy and istiod write in place of a secret.
pub(super) const TEXT: &str = "[redacted]";
/// The same where the field holds bytes, which JSON has in base64.
pub(super) const BASE64: &str = "W3JlZGFjdGVkXQ==";

/// The fields of a secret that were blanked out.
pub(super) fn fields(message: &Secret) -> Vec<&'static str> {
    let mut sources: Vec<(&'static str, Option<&DataSource>)> = Vec::new();
    match &message.r#type {
        Some(secret::Type::TlsCertificate(certificate)) => {
            sources.push(("tls_certificate.private_key", certificate.private_key.as_ref()));
            sources.push(("tls_certificate.password", certificate.password.as_ref()));
            sources.push(("tls_certificate.pkcs12", certificate.pkcs12.as_ref()));
        }
        Some(secret::Type::SessionTicketKeys(keys)) => {
            sources.extend(keys.keys.iter().map(|key| ("session_ticket_keys.keys", Some(key))));
        }
        Some(secret::Type::GenericSecret(generic)) => {
            sources.push(("generic_secret.secret", generic.secret.as_ref()));
            sources.extend(
                generic
                    .secrets
                    .values()
                    .map(|secret| ("generic_secret.secrets", Some(secret))),
            );
        }
        Some(secret::Type::ValidationContext(_)) | None => {}
    }
    let mut fields: Vec<&'static str> = sources
        .into_iter()
        .filter(|(_, source)| source.is_some_and(is_redacted))
        .map(|(field, _)| field)
        .collect();
    fields.dedup();
    fields
}

fn is_redacted(source: &DataSource) -> bool {
    match &source.specifier {
        Some(Specifier::InlineBytes(bytes)) => bytes.as_slice() == TEXT.as_bytes(),
        Some(Specifier::InlineString(text)) => text == TEXT,
        Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_)) | None => false,
    }
}
