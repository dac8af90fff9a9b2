//! Any bytes as a captured dump, and what is understood of them translated.
#![no_main]

use amesh_core::{Options, Snapshot, dump, translate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(dump) = dump::read(input) {
        let snapshot = Snapshot::from_resources(dump.resources);
        drop(translate(&snapshot, &Options::default()));
    }
});
