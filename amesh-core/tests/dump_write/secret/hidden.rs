//! Keys where nobody would look for them: in newer fields, under other values, deep down, in what does not decode.

use amesh_core::dump::{Captured, WriteOptions};
use amesh_core::envoy_types::pb::envoy::config::cluster::v3::Cluster;
use amesh_core::envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use amesh_core::envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use amesh_core::envoy_types::pb::envoy::config::core::v3::{DataSource, Pipe, TransportSocket};
use amesh_core::envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, Secret, TlsCertificate, UpstreamTlsContext, secret,
};
use amesh_core::envoy_types::pb::envoy::service::discovery::v3::Resource as Wrapper;
use amesh_core::envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

use super::{KEY, both, bytes, captured, certificate, keeping, redacted, secrets, shows};
use crate::law;

/// A field of number 5000 that holds the key.
fn newer_field() -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::string::encode(5000, &KEY.to_owned(), &mut bytes);
    bytes
}

#[test]
fn a_secret_that_cannot_be_judged_is_left_out_and_said_so() {
    let good = captured(&secrets()[0]);
    let with = |value: Vec<u8>| Captured {
        resource: Any {
            value,
            ..good.resource.clone()
        },
        version: String::new(),
    };
    let newer = with([good.resource.value.clone(), newer_field()].concat());
    let cut = with(good.resource.value[..good.resource.value.len() - 1].to_vec());
    let nameless = captured(&Secret {
        name: String::new(),
        ..secrets()[0].clone()
    });
    let unknown = Captured {
        resource: Any {
            type_url: "type.googleapis.com/envoy.api.v2.auth.Secret".to_owned(),
            ..good.resource.clone()
        },
        version: String::new(),
    };
    for (captured, says) in [
        (
            newer,
            "Secret \"s0\" is left out: secrets may be in fields that are not known here",
        ),
        (cut, "Secret is left out: it cannot be read, and may hold secrets"),
        (nameless, "Secret is left out: it cannot be read, and may hold secrets"),
        (
            unknown,
            "type.googleapis.com/envoy.api.v2.auth.Secret \"s0\" is left out: it cannot be read, and may hold secrets",
        ),
    ] {
        for written in both(&captured, &WriteOptions::default()) {
            assert!(!shows(&written, KEY));
            assert_eq!(written.left_out.len(), 1);
            assert_eq!(written.left_out[0].to_string(), says);
            assert_eq!(law::read(&written).resources, []);
        }
        for written in both(&captured, &keeping()) {
            assert_eq!(written.left_out, []);
            assert!(shows(&written, KEY));
        }
    }
}

/// As in a file that holds both.
#[test]
fn a_key_with_the_certificate_leaves_the_resource_out() {
    let mut secret = secrets().remove(0);
    if let Some(secret::Type::TlsCertificate(certificate)) = &mut secret.r#type {
        certificate.certificate_chain = Some(bytes(KEY));
    }
    for written in both(&captured(&secret), &WriteOptions::default()) {
        assert!(!shows(&written, KEY));
        let left_out: Vec<String> = written.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(
            left_out,
            [r#"Secret "s0" is left out: there is a private key where none belongs"#]
        );
    }
}

#[test]
fn a_newer_field_beside_a_key_leaves_the_resource_out_and_elsewhere_it_stays() {
    let cluster = |tls: Vec<u8>| {
        captured(&Cluster {
            name: "c".to_owned(),
            transport_socket: Some(TransportSocket {
                name: "tls".to_owned(),
                config_type: Some(ConfigType::TypedConfig(Any {
                    type_url: UpstreamTlsContext::type_url(),
                    value: tls,
                })),
            }),
            ..Cluster::default()
        })
    };
    // Field 2 of the common context is the certificate.
    let beside = [certificate().encode_to_vec(), newer_field()].concat();
    let mut common = Vec::new();
    prost::encoding::bytes::encode(2, &beside, &mut common);
    let mut tls = Vec::new();
    prost::encoding::bytes::encode(1, &common, &mut tls);
    for written in both(&cluster(tls), &WriteOptions::default()) {
        assert_eq!(written.left_out.len(), 1);
        assert!(!shows(&written, KEY));
    }
    // One that has nothing to do with keys.
    let mut newer = Vec::new();
    prost::encoding::string::encode(5000, &"no key".to_owned(), &mut newer);
    for written in both(&cluster(newer), &WriteOptions::default()) {
        assert_eq!(written.left_out, []);
        assert!(shows(&written, "no key"));
    }
    // What nobody can read, and has a key in it all the same.
    let mut newer = Vec::new();
    prost::encoding::string::encode(5000, &"-----BEGIN PRIVATE KEY-----".to_owned(), &mut newer);
    for pem in [cluster(b"\xff-----BEGIN PRIVATE KEY-----".to_vec()), cluster(newer)] {
        for written in both(&pem, &WriteOptions::default()) {
            assert_eq!(written.left_out.len(), 1);
        }
    }
}

/// Of a field that is there twice only the later counts, but the bytes hold both.
#[test]
fn a_key_under_another_is_not_shown() {
    let good = captured(&secrets()[0]).resource.value;
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
    let none = Secret {
        name: "s".to_owned(),
        r#type: Some(secret::Type::ValidationContext(CertificateValidationContext::default())),
    };
    for over in [file, none] {
        let mut captured = captured(&over);
        captured.resource.value.splice(0..0, good.iter().copied());
        for written in both(&captured, &WriteOptions::default()) {
            assert!(!shows(&written, KEY));
            assert_eq!(law::read(&written).resources.len(), 1);
        }
    }
    let socket = |config: Any| {
        captured(&Cluster {
            name: "c".to_owned(),
            transport_socket: Some(TransportSocket {
                name: "t".to_owned(),
                config_type: Some(ConfigType::TypedConfig(config)),
            }),
            ..Cluster::default()
        })
    };
    let tls = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificates: vec![certificate()],
            ..CommonTlsContext::default()
        }),
        ..UpstreamTlsContext::default()
    };
    let mut twice = socket(captured(&tls).resource);
    twice
        .resource
        .value
        .extend(socket(captured(&Pipe::default()).resource).resource.value);
    // The same inside an `Any`.
    let mut inside = captured(&tls).resource;
    let mut other = certificate();
    other.private_key = Some(bytes("[redacted]"));
    let mut common = Vec::new();
    prost::encoding::message::encode(2, &other, &mut common);
    prost::encoding::bytes::encode(1, &common, &mut inside.value);
    for captured in [twice, socket(inside)] {
        for written in both(&captured, &WriteOptions::default()) {
            assert!(!shows(&written, KEY), "{}", String::from_utf8_lossy(&written.json));
            assert_eq!(law::read(&written).resources.len(), 1);
        }
    }
    // An `Any` with two contents, of which one is of no type.
    let mut two = captured(&tls).resource.encode_to_vec();
    prost::encoding::bytes::encode(2, &Vec::new(), &mut two);
    let mut named = Vec::new();
    prost::encoding::bytes::encode(3, &two, &mut named);
    let mut cluster = captured(&Cluster {
        name: "c".to_owned(),
        ..Cluster::default()
    });
    prost::encoding::bytes::encode(24, &named, &mut cluster.resource.value);
    for written in both(&cluster, &WriteOptions::default()) {
        assert!(!shows(&written, KEY));
        assert_eq!(written.left_out.len(), 1);
    }
}

#[test]
fn a_wrapped_secret_is_blanked_out_too() {
    let wrapped = captured(&Wrapper {
        name: "s0".to_owned(),
        resource: Some(captured(&secrets()[0]).resource),
        ..Wrapper::default()
    });
    let [_, line] = both(&wrapped, &WriteOptions::default());
    assert_eq!(line.left_out, []);
    assert!(!shows(&line, KEY));
    assert_eq!(redacted(&line).len(), 3);
}

#[test]
fn messages_in_messages_without_end_are_left_out() {
    let mut any = Any {
        type_url: "type.googleapis.com/no.Such".to_owned(),
        value: "[redacted]".into(),
    };
    for _ in 0..300 {
        any = captured(&any).resource;
    }
    let cluster = Cluster {
        name: "c".to_owned(),
        transport_socket: Some(TransportSocket {
            name: "t".to_owned(),
            config_type: Some(ConfigType::TypedConfig(any)),
        }),
        ..Cluster::default()
    };
    for written in both(&captured(&cluster), &WriteOptions::default()) {
        assert_eq!(written.left_out.len(), 1);
    }
    law::holds("deep", &[captured(&cluster)]);
    // Far more than any stack has room for.
    let mut value = cluster.encode_to_vec();
    for _ in 0..3_000 {
        value = captured(&Any {
            type_url: Any::type_url(),
            value,
        })
        .resource
        .value;
    }
    let deep = captured(&Cluster {
        transport_socket: Some(TransportSocket {
            name: "t".to_owned(),
            config_type: Some(ConfigType::TypedConfig(Any {
                type_url: Any::type_url(),
                value,
            })),
        }),
        ..cluster
    });
    for written in both(&deep, &keeping()) {
        assert_eq!(law::read(&written).resources.len(), 1);
    }
    for written in both(&deep, &WriteOptions::default()) {
        assert_eq!(written.left_out.len(), 1);
    }
}
