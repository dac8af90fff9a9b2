//! Fixtures are the specification: `NAME.in.yaml` beside `NAME.out.yaml` with the objects and findings that come of it,
//! and sequences of updates with the changes of each step.
//!
//! `UPDATE=1 cargo test -p amesh-core --test specification` writes the outputs anew and deletes those without an input.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use amesh_core::{Snapshot, Translation, Update, translate};

use crate::fixture::{self, Fixture};

/// Compares with what is written, or writes it.
struct Golden {
    update: bool,
    wrong: Vec<String>,
}

impl Golden {
    fn new() -> Self {
        Self {
            update: std::env::var_os("UPDATE").is_some(),
            wrong: Vec::new(),
        }
    }

    fn check(&mut self, path: &Path, actual: &str) {
        let expected = std::fs::read_to_string(path).unwrap_or_default();
        if expected == actual {
            return;
        }
        if self.update {
            std::fs::write(path, actual).unwrap();
        } else {
            let diff = similar::TextDiff::from_lines(expected.as_str(), actual);
            self.wrong.push(format!(
                "{}:\n{}",
                path.display(),
                diff.unified_diff().context_radius(2)
            ));
        }
    }

    fn finish(self) {
        assert!(
            self.wrong.is_empty(),
            "UPDATE=1 writes these outputs anew:\n\n{}",
            self.wrong.join("\n")
        );
    }
}

#[test]
fn every_feature_gives_what_its_fixtures_say() {
    let mut golden = Golden::new();
    let mut outputs = BTreeSet::new();
    for fixture in fixture::features() {
        let out = fixture.output();
        golden.check(&out, &fixture::both_to_yaml(&fixture));
        outputs.insert(out);
    }
    assert!(!outputs.is_empty(), "there are no fixtures");
    for orphan in fixture::files(".out.yaml") {
        if outputs.contains(&orphan) || fixture::is_sequence(&orphan) {
            continue;
        }
        if golden.update {
            std::fs::remove_file(&orphan).unwrap();
        } else {
            golden
                .wrong
                .push(format!("{}: no input gives this output\n", orphan.display()));
        }
    }
    golden.finish();
}

#[test]
fn every_sequence_of_updates_gives_the_changes_that_it_says() {
    let mut golden = Golden::new();
    let steps: Vec<PathBuf> = fixture::files(".in.yaml")
        .into_iter()
        .filter(|path| fixture::is_sequence(path))
        .collect();
    let folders: BTreeSet<&Path> = steps.iter().filter_map(|path| path.parent()).collect();
    assert!(!folders.is_empty(), "there are no sequences");
    for folder in folders {
        let mut snapshot = Snapshot::new();
        let mut state: Option<Translation> = None;
        for step in steps.iter().filter(|path| path.parent() == Some(folder)) {
            let fixture = Fixture::read(step);
            let translation = state.get_or_insert_with(|| translate(&snapshot, &fixture.options));
            let update = Update {
                put: fixture.resources.clone(),
                removed: fixture.removed.clone(),
            };
            let dirty = snapshot.apply(update);
            let updated = translation.update(&snapshot, &dirty);
            golden.check(&fixture.output(), &fixture::changes_to_yaml(&updated));
            let scratch = translate(&snapshot, &fixture.options);
            assert_eq!(translation.objects(), scratch.objects(), "{}", step.display());
            assert_eq!(translation.findings(), scratch.findings(), "{}", step.display());
        }
    }
    golden.finish();
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for fixture in fixture::features() {
        assert_eq!(
            fixture::both_to_yaml(&fixture),
            fixture::both_to_yaml(&fixture),
            "{}",
            fixture.path.display()
        );
    }
}
