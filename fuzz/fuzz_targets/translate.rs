//! Any bytes as resources on the wire, translated together and in every way in which requests can arrive.
#![no_main]

use amesh_core::{Arrival, Options, ResourceType, Snapshot, decode, translate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut resources = Vec::new();
    let mut rest = input;
    // A byte for the type, two for the length, then the message.
    while let [kind, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (message, after) = tail.split_at(length);
        rest = after;
        let kind = ResourceType::ALL[usize::from(*kind) % ResourceType::ALL.len()];
        resources.extend(decode(kind.message(), message));
    }
    let snapshot = Snapshot::from_resources(resources);
    for arrival in [Arrival::Direct, Arrival::Redirect, Arrival::Host] {
        let mut options = Options::default();
        options.arrival = Some(arrival);
        drop(translate(&snapshot, &options));
    }
});
