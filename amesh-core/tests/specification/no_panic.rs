//! No message makes the translator panic, however odd: random bytes of every type, and fixtures with random damage.

use std::sync::LazyLock;

use amesh_core::{Options, Resource, ResourceType, Snapshot, decode, translate};
use proptest::prelude::*;
use prost::Message as _;

use crate::{fixture, reflect};

/// The bytes of every resource of the fixtures, with their types.
static BYTES: LazyLock<Vec<(ResourceType, Vec<u8>)>> = LazyLock::new(|| {
    let resources = fixture::features().into_iter().flat_map(|fixture| fixture.resources);
    resources
        .map(|resource| (resource.body.kind(), reflect::message(&resource).encode_to_vec()))
        .collect()
});

fn translate_all(resources: Vec<Resource>) {
    let snapshot = Snapshot::from_resources(resources);
    for arrival in [
        amesh_core::Arrival::Direct,
        amesh_core::Arrival::Redirect,
        amesh_core::Arrival::Host,
    ] {
        let mut options = Options::default();
        options.arrival = Some(arrival);
        drop(translate(&snapshot, &options));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(kind in prop::sample::select(ResourceType::ALL.to_vec()), bytes: Vec<u8>) {
        if let Ok(resource) = decode(kind.message(), &bytes) {
            translate_all(vec![resource]);
        }
    }

    #[test]
    fn damaged_resources(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let damaged = picks.iter().filter_map(|(which, place, byte)| {
            let (kind, mut bytes) = which.get(&BYTES).clone();
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            decode(kind.message(), &bytes).ok()
        });
        translate_all(damaged.collect());
    }
}
