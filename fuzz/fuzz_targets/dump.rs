//! Any bytes as a captured dump, and what is understood of them translated, and written and read again.
#![no_main]

use amesh_core::dump::{self, Captured, Dump, WriteOptions};
use amesh_core::envoy_types::pb::google::protobuf::Any;
use amesh_core::{Options, Snapshot, translate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(dump) = dump::read(input) {
        // Redacted, it is only not to panic.
        let _ = dump::write(dump.node.as_ref(), &captured(&dump), &WriteOptions::default());
        let written = written(&dump);
        let again = dump::read(&written).expect("a dump");
        assert_eq!(again.rejected, []);
        assert_eq!(again.resources.len(), dump.resources.len());
        assert_eq!(
            String::from_utf8_lossy(&self::written(&again)),
            String::from_utf8_lossy(&written)
        );
        let snapshot = Snapshot::from_resources(dump.resources);
        drop(translate(&snapshot, &Options::default()));
    }
});

fn written(dump: &Dump) -> Vec<u8> {
    let mut options = WriteOptions::default();
    options.keep_secrets = true;
    let written = dump::write(dump.node.as_ref(), &captured(dump), &options);
    assert_eq!(written.left_out, []);
    written.json
}

fn captured(dump: &Dump) -> Vec<Captured> {
    let resources = dump.resources.iter().map(|resource| Captured {
        resource: Any {
            type_url: format!("type.googleapis.com/{}", resource.body.kind().message()),
            value: resource.body.encode(),
        },
        version: String::new(),
    });
    resources.collect()
}
