//! The pages that are printed from the code. `UPDATE=1` rewrites them.

use crate::{amesh, path, read};

fn current(page: &str, args: &[&str]) {
    let run = amesh(args);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let page = path("..").join(page);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &run.stdout).expect("the page can be written");
    }
    assert!(
        read(&page) == run.stdout,
        "{} is not what `amesh {}` prints: UPDATE=1 cargo test -p amesh-cli",
        page.display(),
        args.join(" ")
    );
}

#[test]
fn coverage() {
    current("docs/coverage.md", &["coverage", "--format", "markdown"]);
}

#[test]
fn findings() {
    current("docs/findings.md", &["explain", "--format", "markdown"]);
}
