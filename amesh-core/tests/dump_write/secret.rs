//! No key gets into a dump, unless it is to be there.

mod hidden;

use std::collections::HashMap;

use amesh_core::dump::{self, Captured, Response, WriteOptions, Written};
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use amesh_core::envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use amesh_core::envoy_types::pb::envoy::config::core::v3::{DataSource, Pipe, TransportSocket};
use amesh_core::envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::private_key_provider;
use amesh_core::envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, GenericSecret, PrivateKeyProvider, Secret, TlsCertificate, TlsSessionTicketKeys,
    UpstreamTlsContext, secret,
};
use amesh_core::envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use amesh_core::envoy_types::pb::google::protobuf::Any;
use proptest::prelude::*;
use prost::{Message, Name};

use crate::{law, mutated, source};

/// What must not be in a dump.
const KEY: &str = "a PRIVATE KEY";

fn bytes(text: &str) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(text.into())),
        ..DataSource::default()
    }
}

fn text(text: &str) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineString(text.into())),
        ..DataSource::default()
    }
}

fn certificate() -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(bytes("the chain")),
        private_key: Some(bytes(KEY)),
        password: Some(text(KEY)),
        pkcs12: Some(bytes(KEY)),
        private_key_provider: Some(PrivateKeyProvider {
            provider_name: "p".to_owned(),
            config_type: Some(private_key_provider::ConfigType::TypedConfig(Any {
                type_url: Pipe::type_url(),
                value: Pipe {
                    path: KEY.to_owned(),
                    mode: 0,
                }
                .encode_to_vec(),
            })),
            ..PrivateKeyProvider::default()
        }),
        ..TlsCertificate::default()
    }
}

fn secrets() -> Vec<Secret> {
    [
        secret::Type::TlsCertificate(certificate()),
        secret::Type::SessionTicketKeys(TlsSessionTicketKeys {
            keys: vec![bytes(KEY), text(KEY)],
        }),
        secret::Type::GenericSecret(GenericSecret {
            secret: Some(text(KEY)),
            secrets: HashMap::from([("k".to_owned(), bytes(KEY))]),
        }),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, secret)| Secret {
        name: format!("s{index}"),
        r#type: Some(secret),
    })
    .collect()
}

fn captured<M: Message + Name>(message: &M) -> Captured {
    Captured {
        resource: Any {
            type_url: M::type_url(),
            value: message.encode_to_vec(),
        },
        version: String::new(),
    }
}

fn is_in(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether anything in a dump holds that text, in whichever way it is written.
fn shows(written: &Written, text: &str) -> bool {
    fn inside(json: &serde_json::Value, text: &str) -> bool {
        use base64::Engine as _;
        match json {
            serde_json::Value::String(value) => {
                value.contains(text)
                    || base64::prelude::BASE64_STANDARD
                        .decode(value)
                        .is_ok_and(|bytes| is_in(&bytes, text))
            }
            serde_json::Value::Array(items) => items.iter().any(|item| inside(item, text)),
            serde_json::Value::Object(members) => members.values().any(|item| inside(item, text)),
            _ => false,
        }
    }
    inside(&serde_json::from_slice(&written.json).unwrap(), text)
}

fn keeping() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.keep_secrets = true;
    options
}

/// Both forms of a dump of one resource.
fn both(captured: &Captured, options: &WriteOptions) -> [Written; 2] {
    let response = DiscoveryResponse {
        type_url: captured.resource.type_url.clone(),
        resources: vec![captured.resource.clone()],
        ..DiscoveryResponse::default()
    };
    [
        dump::write(None, std::slice::from_ref(captured), options),
        dump::write_response(Response::StateOfTheWorld(&response), options),
    ]
}

/// The placeholders of a dump, by the path of each.
fn redacted(written: &Written) -> Vec<String> {
    let dump = law::read(written);
    assert_eq!(dump.rejected, []);
    assert_eq!(dump.resources.len(), 1);
    dump.findings
        .iter()
        .filter(|finding| finding.rule.name == "dump-private-key-redacted")
        .map(|finding| finding.path.clone())
        .collect()
}

#[test]
fn every_kind_of_secret_is_blanked_out_and_the_reader_says_so() {
    let paths: [&[&str]; 3] = [
        &[
            "tls_certificate.password",
            "tls_certificate.pkcs12",
            "tls_certificate.private_key",
        ],
        &["session_ticket_keys.keys"],
        &["generic_secret.secret", "generic_secret.secrets"],
    ];
    for (secret, paths) in secrets().iter().zip(paths) {
        let captured = captured(secret);
        for written in both(&captured, &WriteOptions::default()) {
            assert_eq!(written.left_out, []);
            assert!(!shows(&written, KEY), "{}", String::from_utf8_lossy(&written.json));
            assert_eq!(redacted(&written), paths);
        }
        for written in both(&captured, &keeping()) {
            assert!(shows(&written, KEY));
            assert_eq!(redacted(&written), [""; 0]);
        }
    }
}

#[test]
fn a_secret_looks_as_envoy_prints_it() {
    let secret = Secret {
        name: "default".to_owned(),
        r#type: Some(secret::Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(bytes("the chain")),
            private_key: Some(bytes(KEY)),
            ..TlsCertificate::default()
        })),
    };
    let mut captured = captured(&secret);
    captured.version = "7".to_owned();
    let written = dump::write(None, &[captured], &WriteOptions::default());
    let json: serde_json::Value = serde_json::from_slice(&written.json).unwrap();
    let sections = json["configs"].as_array().unwrap();
    assert_eq!(
        *sections.last().unwrap(),
        serde_json::json!({
            "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump",
            "dynamic_active_secrets": [{
                "name": "default",
                "version_info": "7",
                "secret": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                    "name": "default",
                    "tls_certificate": {
                        "certificate_chain": {"inline_bytes": "dGhlIGNoYWlu"},
                        "private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}
                    }
                }
            }]
        })
    );
}

#[test]
fn a_key_inside_another_resource_is_blanked_out() {
    let tls = UpstreamTlsContext {
        sni: "the sni".to_owned(),
        common_tls_context: Some(CommonTlsContext {
            tls_certificates: vec![certificate()],
            ..CommonTlsContext::default()
        }),
        ..UpstreamTlsContext::default()
    };
    let cluster = Cluster {
        name: "c".to_owned(),
        transport_socket: Some(TransportSocket {
            name: "tls".to_owned(),
            config_type: Some(ConfigType::TypedConfig(captured(&tls).resource)),
        }),
        ..Cluster::default()
    };
    for written in both(&captured(&cluster), &WriteOptions::default()) {
        assert_eq!(written.left_out, []);
        assert!(!shows(&written, KEY));
        assert!(shows(&written, "the sni") && shows(&written, "the chain"));
        let at = "transport_socket.typed_config.common_tls_context.tls_certificates[0]";
        let paths = ["password", "pkcs12", "private_key"].map(|field| format!("{at}.{field}"));
        assert_eq!(redacted(&written), paths);
    }
}

/// Envoy hides where a key is, too.
#[test]
fn the_file_of_a_key_is_blanked_out() {
    let file = Secret {
        name: "s".to_owned(),
        r#type: Some(secret::Type::TlsCertificate(TlsCertificate {
            private_key: Some(DataSource {
                specifier: Some(Specifier::Filename("/etc/key.pem".to_owned())),
                ..DataSource::default()
            }),
            ..TlsCertificate::default()
        })),
    };
    for written in both(&captured(&file), &WriteOptions::default()) {
        assert!(!shows(&written, "/etc/key.pem"));
        assert_eq!(redacted(&written), ["tls_certificate.private_key"]);
    }
}

/// Without secrets a dump is the same for whoever keeps them.
#[test]
fn what_has_no_secrets_is_the_same_with_and_without_them() {
    for source in source::all() {
        let without = dump::write(source.node.as_ref(), &source.resources, &WriteOptions::default());
        assert_eq!(without.left_out, [], "{}", source.name);
        // Every recording has its keys blanked out already.
        assert_eq!(
            without,
            dump::write(source.node.as_ref(), &source.resources, &keeping()),
            "{}",
            source.name
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes of a secret, a key of a PEM file does not come through.
    #[test]
    fn no_bytes_show_a_key(captured in mutated::from(|| secrets().iter().map(|secret| captured(secret).resource).collect())) {
        for written in both(&captured, &WriteOptions::default()) {
            prop_assert!(!shows(&written, KEY), "{}", String::from_utf8_lossy(&written.json));
            prop_assert!(!written.left_out.iter().any(|left_out| left_out.to_string().contains(KEY)));
        }
    }
}
