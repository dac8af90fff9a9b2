//! Help, completions and the manual.

use insta::assert_snapshot;

use crate::amesh;

#[test]
fn help_of_every_command() {
    for command in [
        "",
        "translate",
        "explain",
        "coverage",
        "diff",
        "capture",
        "watch",
        "completions",
        "man",
    ] {
        let args: Vec<&str> = [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let run = amesh(&args);
        assert_eq!(run.status, Some(0), "{command}");
        assert_eq!(run.stderr, "", "{command}");
        let name = if command.is_empty() { "amesh" } else { command };
        assert_snapshot!(format!("help-{name}"), run.stdout);
    }
}

#[test]
fn nothing_to_do_shows_the_help_as_an_error() {
    let run = amesh(&[]);
    assert_eq!(run.status, Some(2));
    assert!(run.stderr.contains("Usage: amesh <COMMAND>"), "{}", run.stderr);
    assert_eq!(run.stdout, "");
}

#[test]
fn completions_know_every_command_and_flag() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = amesh(&["completions", shell]);
        assert_eq!(run.status, Some(0), "{shell}");
        for word in ["translate", "explain", "coverage", "diff", "capture", "watch", "permit"] {
            assert!(run.stdout.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn the_manual_is_written_page_by_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = amesh(&["man", crate::text(dir.path())]);
    assert_eq!(
        (run.status, run.stdout.as_str(), run.stderr.as_str()),
        (Some(0), "", "")
    );
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let commands = [
        "capture",
        "completions",
        "coverage",
        "diff",
        "explain",
        "man",
        "translate",
        "watch",
    ];
    let mut pages: Vec<String> = commands.iter().map(|name| format!("amesh-{name}.1")).collect();
    pages.push("amesh.1".to_owned());
    assert_eq!(names, pages);
    let page = crate::read(&dir.path().join("amesh-translate.1"));
    assert!(page.contains(".TH amesh-translate 1"), "{page}");
    assert!(page.contains("Exit status:"), "{page}");
    let run = amesh(&["man"]);
    assert!(run.stdout.contains(".TH amesh 1"), "{}", run.stdout);
}
