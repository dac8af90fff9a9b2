//! The descriptors of Envoy's API: what the messages of [`envoy_types`] are called, field by field.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

/// A `FileDescriptorSet`: envoy-types' own, stripped, and the few types that it lacks. `tests/descriptors.rs` keeps it
/// current.
pub(crate) static BYTES: &[u8] = include_bytes!("../data/envoy.binpb");

/// The descriptors as prost-reflect wants them. Built at first use, which takes some 20 ms; only dumps need it.
pub(crate) fn pool() -> &'static DescriptorPool {
    // The bytes are part of this crate, and a test decodes them: an empty pool cannot be met.
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(BYTES).unwrap_or_default());
    &POOL
}

/// The message of that full protobuf name.
pub(crate) fn message(name: &str) -> Option<MessageDescriptor> {
    pool().get_message_by_name(name)
}
