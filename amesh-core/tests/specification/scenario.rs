//! Whole recordings: everything that comes of them is a snapshot, to be read when it changes.

use std::fmt::Write as _;

use amesh_core::{Options, dump};

use crate::fixture;

#[test]
fn every_recording_gives_what_its_snapshot_says() {
    let mut options = Options::default();
    // Without it nearly every upstream of a mesh is empty, which would show little.
    options.permitted.insert("istio-mutual-tls".to_owned());
    for (name, bytes) in fixture::scenarios() {
        let dump = dump::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(dump.rejected, [], "{name}: Envoy took all of it");
        let given = fixture::translated(&dump.resources, &options);
        let mut out = String::from("objects:\n");
        for (kind, object) in &given.objects {
            let _ = writeln!(out, "  {kind} {object}");
        }
        out.push_str("findings:\n");
        for finding in dump.findings.iter().chain(&given.findings) {
            let detail = finding
                .detail
                .as_ref()
                .map(|detail| format!(": {detail}"))
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "  {} {} {}{detail}",
                finding.rule.name, finding.resource, finding.path
            );
        }
        let file = name.replace(['/', '.'], "-");
        insta::with_settings!({ snapshot_path => "../snapshots/scenario", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(file, out);
        });
    }
}
