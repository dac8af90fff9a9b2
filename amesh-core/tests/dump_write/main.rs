//! Dumps that Amesh writes: reading one gives what was written.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, which the library must not"
)]

mod law;
mod mutated;
mod raw;
mod secret;
mod shape;
mod source;
