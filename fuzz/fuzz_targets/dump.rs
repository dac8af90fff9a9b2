//! Whatever bytes are given, reading them as a dump ends, with an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(error) = amesh_core::dump::read(input) {
        // The message is part of what a user sees: it must be made without a fault too.
        assert!(!error.to_string().is_empty());
    }
});
