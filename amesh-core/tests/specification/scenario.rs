//! Whole recordings: everything that comes of them is a snapshot, to be read when it changes.

use std::fmt::Write as _;

use amesh_core::apisix::Kind;
use amesh_core::{Finding, Options, dump};
use serde_json::Value;

use crate::fixture::{self, TARGETS};

fn objects<'a>(objects: impl IntoIterator<Item = &'a (Kind, Value)>, out: &mut String) {
    out.push_str("objects:\n");
    for (kind, object) in objects {
        let _ = writeln!(out, "  {kind} {object}");
    }
}

fn findings<'a>(title: &str, findings: impl IntoIterator<Item = &'a Finding>, out: &mut String) {
    let _ = writeln!(out, "{title}:");
    for finding in findings {
        let detail = finding
            .detail
            .as_ref()
            .map(|detail| format!(": {detail}"))
            .unwrap_or_default();
        let line = format!("  {} {} {}{detail}", finding.rule.name, finding.resource, finding.path);
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

#[test]
fn every_recording_gives_what_its_snapshot_says() {
    let mut options = Options::default();
    // Without it nearly every upstream of a mesh is empty, which would show little.
    options.permitted.insert("istio-mutual-tls".to_owned());
    for (name, bytes) in fixture::scenarios() {
        let dump = dump::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(dump.rejected, [], "{name}: Envoy took all of it");
        let [native, amesh] = TARGETS.map(|target| {
            options.target = target;
            fixture::translated(&dump.resources, &options)
        });
        let mut out = String::new();
        objects(&native.objects, &mut out);
        findings("findings", dump.findings.iter().chain(&native.findings), &mut out);
        if amesh != native {
            out.push_str("with Amesh's Lua package, ");
            let different = amesh.objects.iter().filter(|object| !native.objects.contains(object));
            objects(different, &mut out);
            let only = |these: &[Finding], those: &[Finding]| -> Vec<Finding> {
                these.iter().filter(|it| !those.contains(it)).cloned().collect()
            };
            findings("findings more", &only(&amesh.findings, &native.findings), &mut out);
            findings("findings less", &only(&native.findings, &amesh.findings), &mut out);
        }
        let file = name.replace(['/', '.'], "-");
        insta::with_settings!({ snapshot_path => "../snapshots/scenario", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(file, out);
        });
    }
}
