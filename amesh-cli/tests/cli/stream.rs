//! Pipes: one that is closed early, one that never ends, one that is full.

use std::io::Read as _;
use std::process::Stdio;

use crate::{GATEWAY, amesh, amesh_reading, command, path};

/// Closes standard output after a few bytes, or at once.
fn reader_leaves(args: &[&str], bytes: usize) -> (Option<i32>, String) {
    let mut command = command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut vec![0; bytes]).expect("that much is written");
    drop(stdout);
    let output = child.wait_with_output().expect("the binary ends");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for args in [
        &["translate", GATEWAY, "-q"][..],
        &["translate", GATEWAY, "-q", "--format", "json"],
        &["translate", GATEWAY, "-q", "--format", "shdict"],
        &["coverage"],
        &["coverage", "--format", "markdown"],
        &["explain"],
        &["completions", "zsh"],
        &["man"],
        &["--help"],
    ] {
        for bytes in [0, 1] {
            assert_eq!(reader_leaves(args, bytes), (Some(0), String::new()), "{args:?}");
        }
    }
}

#[test]
fn a_closed_error_stream_does_not_stop_the_work() {
    let mut command = command(&["translate", GATEWAY]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    drop(child.stderr.take());
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.ends_with(b"#END\n"));
}

#[test]
fn standard_input_is_read_with_and_without_a_dash() {
    let from_file = amesh(&["translate", GATEWAY, "-q"]);
    let input = std::fs::read(path(GATEWAY)).expect("the dump");
    for args in [&["translate", "-", "-q"][..], &["translate", "-q"]] {
        let run = amesh_reading(&input, args);
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
        assert_eq!(run.stdout, from_file.stdout);
    }
}

#[test]
fn input_that_never_ends_is_bounded() {
    let mut command = command(&["translate", "/dev/zero", "--max-input", "3"]);
    let run: crate::Run = command.output().expect("the binary ends").into();
    assert_eq!(run.status, Some(3));
    assert_eq!(
        run.stderr,
        "error: /dev/zero holds more than 3 MiB\nhelp: raise the limit with --max-input MIB\n"
    );
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let sparse = dir.path().join("sparse.json");
    let file = std::fs::File::create(&sparse).expect("a file");
    file.set_len(1 << 40).expect("a hole");
    let run = amesh(&["translate", crate::text(&sparse)]);
    assert_eq!(run.status, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("holds more than 512 MiB"), "{}", run.stderr);
}

#[test]
fn a_full_device_is_an_error() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(device) = full() else { return };
    let mut command = command(&["translate", GATEWAY, "-q"]);
    let run: crate::Run = command.stdout(device).output().expect("the binary ends").into();
    assert_eq!(run.status, Some(4));
    assert_eq!(
        run.stderr,
        "error: failed to write to standard output: no space left on device\n"
    );
}
