//! The README's example is what the command prints, with lines left out. `UPDATE=1` rewrites it.

use crate::{Run, command, path, read};

const PROMPT: &str = "```console\n$ cargo run --release -p amesh-cli -- ";

const LEFT_OUT: &str = "[...]\n";

#[test]
fn the_example_of_the_readme() {
    let page = path("../README.md");
    let text = read(&page);
    let (before, rest) = text.split_once(PROMPT).expect("the example");
    let (example, after) = rest.split_once("\n```\n").expect("the end of the example");
    let arguments = example.lines().next().unwrap_or_default();

    let args: Vec<&str> = arguments.split(' ').collect();
    let run: Run = command(&args)
        .current_dir(path(".."))
        .output()
        .expect("the binary runs")
        .into();
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let current = format!(
        "{arguments}\n{}{LEFT_OUT}{}",
        objects(&run.stdout),
        findings(&run.stderr)
    );
    if std::env::var_os("UPDATE").is_some() {
        let text = format!("{before}{PROMPT}{current}\n```\n{after}");
        std::fs::write(&page, text).expect("the page can be written");
    } else {
        assert!(
            example == current,
            "the README's example is old: UPDATE=1 cargo test -p amesh-cli\n{current}"
        );
    }
}

/// The objects of one service, with a mark where others were.
fn objects(stdout: &str) -> String {
    let mut out = String::new();
    let mut shown = true;
    for line in stdout.split_inclusive('\n') {
        if !line.starts_with(' ') {
            shown = true;
        } else if line.starts_with("  - id:") {
            shown = line.contains("_reviews.") || line.contains(".reviews.");
        }
        if shown {
            out.push_str(line);
        } else if !out.ends_with(LEFT_OUT) {
            out.push_str(LEFT_OUT);
        }
    }
    assert!(out.contains("upstream_id"), "a route is shown: {out}");
    out
}

/// The gravest findings and the summary.
fn findings(stderr: &str) -> String {
    let parts: Vec<&str> = stderr.trim_end().split("\n\n").collect();
    parts[parts.len().saturating_sub(3)..].join("\n\n")
}
