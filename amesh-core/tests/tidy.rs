//! House rules that no compiler checks.
#![expect(clippy::disallowed_methods, reason = "a test of files reads files")]

use std::fs;
use std::path::{Path, PathBuf};

/// The longest that a source file may get, in lines.
const LONGEST: usize = 500;

/// The top of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// Every file below a folder, except what is built or hidden.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn with_ending(ending: &str) -> Vec<PathBuf> {
    let mut list = files(root());
    list.retain(|path| path.to_string_lossy().ends_with(ending));
    list
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

#[test]
fn the_files_are_found() {
    let rust = with_ending(".rs");
    for known in [
        "amesh-core/src/lib.rs",
        "amesh-core/tests/tidy.rs",
        "amesh-cli/src/main.rs",
    ] {
        assert!(
            rust.iter().any(|path| path.ends_with(known)),
            "{known} is not in {rust:?}"
        );
    }
}

#[test]
fn modules_are_named_after_themselves() {
    let offenders: Vec<String> = with_ending("/mod.rs").iter().map(|path| short(path)).collect();
    none("use `name.rs` beside `name/`, not `mod.rs`", &offenders);
}

#[test]
fn no_source_file_is_too_long() {
    let too_long = |path: PathBuf| {
        let lines = fs::read_to_string(&path).ok()?.lines().count();
        (lines > LONGEST).then(|| format!("{}: {lines} lines", short(&path)))
    };
    let sources = [".rs", ".go", ".sh"].into_iter().flat_map(with_ending);
    let offenders: Vec<String> = sources.filter_map(too_long).collect();
    none(&format!("more than {LONGEST} lines"), &offenders);
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent = |path: &PathBuf| !fs::read_to_string(path).is_ok_and(|text| text.starts_with("//!"));
    let rust = with_ending(".rs").into_iter().filter(silent);
    let offenders: Vec<String> = rust.map(|path| short(&path)).collect();
    none("a file begins with `//!` and a sentence", &offenders);
    let silent = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() != Some("#!/usr/bin/env bash") || !lines.next().is_some_and(|line| line.starts_with("# "))
    };
    let scripts = with_ending(".sh").into_iter().filter(silent);
    let offenders: Vec<String> = scripts.map(|path| short(&path)).collect();
    none("a script begins with `#!/usr/bin/env bash` and a comment", &offenders);
}

#[test]
fn fixtures_have_both_sides() {
    let mut offenders = Vec::new();
    for (one, other) in [(".in.yaml", ".out.yaml"), (".out.yaml", ".in.yaml")] {
        for path in with_ending(one) {
            let text = path.to_string_lossy().into_owned();
            let partner = text.strip_suffix(one).map(|stem| format!("{stem}{other}"));
            if partner.is_some_and(|partner| !Path::new(&partner).exists()) {
                offenders.push(format!("{} has no {other}", short(&path)));
            }
        }
    }
    none("half a fixture", &offenders);
}

#[test]
fn a_fixture_begins_with_what_it_shows() {
    let silent = |path: &PathBuf| !fs::read_to_string(path).is_ok_and(|text| text.starts_with("# "));
    let fixtures = with_ending(".in.yaml").into_iter().filter(silent);
    let offenders: Vec<String> = fixtures.map(|path| short(&path)).collect();
    none("the first line is a comment that says what the case shows", &offenders);
}

#[test]
fn the_project_speaks_of_itself_alone() {
    // Spelled in halves, so that this file passes its own test.
    let words = [
        concat!("../", "shared"),
        concat!("/", "work/"),
        concat!("/", "root/"),
        concat!("/", "opt/"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    let mut offenders = Vec::new();
    for path in files(root()) {
        let name = short(&path);
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let ours =
            ["rs", "md", "toml", "yaml", "proto", "lua", "go", "mod", "sh"].contains(&ending) || name == "justfile";
        // Recordings are what others sent, word for word.
        if !ours || name.starts_with("fixtures/scenario/") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            offenders.push(format!("{name}: not UTF-8"));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                offenders.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    none("a path of one machine, or a note to self", &offenders);
}
