//! The law on bytes that no control plane of today sends: newer fields at any depth, unknown types, garbage.

use std::sync::LazyLock;

use amesh_core::dump::{self, Captured, Response, WriteOptions};
use amesh_core::envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryResponse, DiscoveryResponse, Resource as Wrapper,
};
use amesh_core::envoy_types::pb::google::protobuf::Any;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use prost::bytes::Buf as _;
use prost::encoding::{decode_varint, encode_varint};

use crate::{law, source};

/// Resources of every type, each once.
static RESOURCES: LazyLock<Vec<Any>> = LazyLock::new(|| {
    let mut resources: Vec<Any> = source::all()
        .into_iter()
        .filter(|source| {
            [
                "15-ingress-tls",
                "22-envoyfilter",
                "01-bookinfo",
                "listener/",
                "cluster/",
            ]
            .iter()
            .any(|part| source.name.contains(part))
        })
        .flat_map(|source| source.resources)
        .map(|captured| captured.resource)
        .filter(|any| any.value.len() < 20_000)
        .collect();
    resources.sort_by(|one, other| (&one.type_url, &one.value).cmp(&(&other.type_url, &other.value)));
    resources.dedup();
    assert!(resources.len() > 100, "{}", resources.len());
    resources
});

/// Some responses, a line each.
static LINES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let lines = RESOURCES.chunks(40).take(4).map(|resources| {
        let response = DiscoveryResponse {
            type_url: resources.first().map(|any| any.type_url.clone()).unwrap_or_default(),
            resources: resources.to_vec(),
            ..DiscoveryResponse::default()
        };
        dump::write_response(Response::StateOfTheWorld(&response), &WriteOptions::default()).json
    });
    lines.flatten().collect()
});

/// What happens to a message.
#[derive(Debug, Clone)]
enum Mutation {
    /// A field is added, of a number and with bytes of any kind.
    Add(u32, Vec<u8>),
    /// A number is added, in any field.
    Number(u32, u64),
    /// A part is put in place of all.
    Replace(Vec<u8>),
    /// A byte is another.
    Flip(Index, u8),
    /// The end is missing.
    Cut(Index),
    /// An `Any` of a type and with bytes of any kind is added.
    Any(u32, String, Vec<u8>),
    /// A group, which is what nothing uses any more.
    Group(u32),
    /// Itself, in itself, many times over.
    Nest(u32, u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..12);
    let number = || prop_oneof![1_u32..40, Just(5000_u32)];
    let type_name = prop_oneof![
        Just("no.Such"),
        Just("x/no.Such"),
        Just("type.googleapis.com/envoy.config.core.v3.Pipe"),
        Just("type.googleapis.com/envoy.config.core.v3.HeaderValue"),
        Just("type.googleapis.com/google.protobuf.Struct"),
        Just("type.googleapis.com/google.protobuf.Any"),
        Just("type.googleapis.com/google.protobuf.Duration"),
        Just("type.googleapis.com/google.protobuf.BytesValue"),
        Just("type.googleapis.com/amesh.v1.RawAny"),
        Just("type.googleapis.com/amesh.v1.RawJson"),
        Just(""),
    ];
    prop_oneof![
        (number(), bytes()).prop_map(|(number, bytes)| Mutation::Add(number, bytes)),
        (number(), any::<u64>()).prop_map(|(number, value)| Mutation::Number(number, value)),
        (number(), 0_u64..100).prop_map(|(number, value)| Mutation::Number(number, value)),
        bytes().prop_map(Mutation::Replace),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        any::<Index>().prop_map(Mutation::Cut),
        (number(), type_name, bytes()).prop_map(|(number, name, bytes)| Mutation::Any(number, name.to_owned(), bytes)),
        number().prop_map(Mutation::Group),
        (number(), 1_u8..150).prop_map(|(number, times)| Mutation::Nest(number, times)),
    ]
}

fn key(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    encode_varint(u64::from(number << 3 | wire_type), out);
}

fn field(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    key(number, 2, out);
    encode_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn apply(mutation: &Mutation, bytes: &mut Vec<u8>) {
    match mutation {
        Mutation::Add(number, value) => field(*number, value, bytes),
        Mutation::Number(number, value) => {
            key(*number, 0, bytes);
            encode_varint(*value, bytes);
        }
        Mutation::Replace(value) => bytes.clone_from(value),
        Mutation::Flip(at, value) => {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
        }
        Mutation::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Mutation::Any(number, type_url, value) => {
            let any = Any {
                type_url: type_url.clone(),
                value: value.clone(),
            };
            field(*number, &any.encode_to_vec(), bytes);
        }
        Mutation::Group(number) => {
            key(*number, 3, bytes);
            key(*number, 4, bytes);
        }
        Mutation::Nest(number, times) => {
            for _ in 0..*times {
                let inner = std::mem::take(bytes);
                field(*number, &inner, bytes);
            }
        }
    }
}

/// The parts of a message that may be messages: where each begins and ends. `None` when it is no message.
fn parts(bytes: &[u8]) -> Option<Vec<(usize, usize, usize)>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let start = bytes.len() - rest.len();
        let key = decode_varint(&mut rest).ok().filter(|key| *key < 1 << 32)?;
        match key & 7 {
            0 => drop(decode_varint(&mut rest).ok()?),
            1 if rest.len() >= 8 => rest.advance(8),
            5 if rest.len() >= 4 => rest.advance(4),
            2 => {
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                if rest.len() < length {
                    return None;
                }
                let inside = bytes.len() - rest.len();
                rest.advance(length);
                found.push((start, inside, inside + length));
            }
            _ => return None,
        }
    }
    Some(found)
}

/// Applies a mutation at a place below: each step goes into one of the parts.
fn mutate(bytes: &mut Vec<u8>, way: &[Index], mutation: &Mutation) {
    let Some((step, way)) = way.split_first() else {
        return apply(mutation, bytes);
    };
    let parts = parts(bytes).unwrap_or_default();
    if parts.is_empty() {
        return apply(mutation, bytes);
    }
    let (start, inside, end) = parts[step.index(parts.len())];
    let mut inner = bytes[inside..end].to_vec();
    mutate(&mut inner, way, mutation);
    let mut head = &bytes[start..inside];
    let number = u32::try_from(decode_varint(&mut head).unwrap() >> 3).unwrap();
    let mut out = bytes[..start].to_vec();
    field(number, &inner, &mut out);
    out.extend(&bytes[end..]);
    *bytes = out;
}

/// Resources of a list, with up to three things done to each, and now and then of another type.
pub(crate) fn from(resources: impl FnOnce() -> Vec<Any>) -> impl Strategy<Value = Captured> {
    let resources = resources();
    let one = (proptest::collection::vec(any::<Index>(), 0..14), mutation());
    (any::<Index>(), proptest::collection::vec(one, 1..4), 0..40_u8).prop_map(move |(index, mutations, odd)| {
        let resource = &resources[index.index(resources.len())];
        let mut value = resource.value.clone();
        for (way, mutation) in mutations {
            mutate(&mut value, &way, &mutation);
        }
        let type_url = match odd {
            0 => "type.googleapis.com/no.Such",
            1 => "",
            2 => resource.type_url.rsplit('/').next().unwrap(),
            _ => &resource.type_url,
        };
        Captured {
            resource: Any {
                type_url: type_url.to_owned(),
                value,
            },
            version: String::new(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_law_holds(captured in from(|| RESOURCES.clone())) {
        law::holds("mutated", &[captured]);
    }

    /// On a line of its own after another, in both variants, and so that a response may hold what is not of its type.
    #[test]
    fn the_law_holds_of_lines(captured in from(|| RESOURCES.clone())) {
        let mut options = WriteOptions::default();
        options.keep_secrets = true;
        let type_url = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
        let sotw = DiscoveryResponse {
            type_url: type_url.to_owned(),
            resources: vec![captured.resource.clone()],
            ..DiscoveryResponse::default()
        };
        let delta = DeltaDiscoveryResponse {
            type_url: type_url.to_owned(),
            resources: vec![Wrapper {
                resource: Some(captured.resource.clone()),
                ..Wrapper::default()
            }],
            ..DeltaDiscoveryResponse::default()
        };
        let sent = law::sent(&[captured]);
        for response in [Response::StateOfTheWorld(&sotw), Response::Delta(&delta)] {
            let line = dump::write_response(response, &options);
            let nothing = dump::write_response(Response::Delta(&DeltaDiscoveryResponse {
                type_url: type_url.to_owned(),
                ..DeltaDiscoveryResponse::default()
            }), &options);
            for text in [line.json.clone(), [nothing.json, line.json].concat()] {
                let dump = dump::read(&text).unwrap();
                prop_assert!(law::meaning(&dump.resources, &dump.rejected) == sent, "{}", String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn no_byte_of_lines_crashes_it(changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4)) {
        let mut bytes = LINES.clone();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        drop(dump::read(&bytes));
    }

    #[test]
    fn the_same_resources_give_the_same_bytes(captured in from(|| RESOURCES.clone())) {
        let options = WriteOptions::default();
        let captured = [captured];
        prop_assert_eq!(dump::write(None, &captured, &options), dump::write(None, &captured, &options));
    }
}
