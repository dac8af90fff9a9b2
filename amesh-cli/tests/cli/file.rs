//! `-o`: the file is replaced whole or not at all.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::{GATEWAY, amesh, amesh_reading, read, text};

#[test]
fn the_file_gets_what_standard_output_would() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("apisix.yaml");
    let run = amesh(&["translate", GATEWAY, "-q", "-o", text(&out)]);
    assert_eq!(
        (run.status, run.stdout.as_str(), run.stderr.as_str()),
        (Some(0), "", "")
    );
    assert_eq!(read(&out), amesh(&["translate", GATEWAY, "-q"]).stdout);
    let names = fs::read_dir(dir.path()).expect("the directory").count();
    assert_eq!(names, 1, "no temporary file is left");
}

#[test]
fn a_new_file_can_be_read_by_others_as_far_as_the_umask_lets_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let plain = dir.path().join("plain");
    fs::write(&plain, "").expect("a file");
    let out = dir.path().join("apisix.yaml");
    assert_eq!(amesh(&["translate", GATEWAY, "-q", "-o", text(&out)]).status, Some(0));
    let mode = |path| fs::metadata(path).expect("a file").permissions().mode();
    assert_eq!(mode(&out), mode(&plain));
}

#[test]
fn an_existing_file_is_replaced_in_one_step_and_keeps_its_permissions() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("apisix.yaml");
    fs::write(&out, "old\n").expect("a file");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o640)).expect("permissions");
    // Whoever has the old file open goes on reading the old content: the new one is another file.
    let before = fs::metadata(&out).expect("a file").ino();
    assert_eq!(amesh(&["translate", GATEWAY, "-q", "-o", text(&out)]).status, Some(0));
    let after = fs::metadata(&out).expect("a file");
    assert_ne!(after.ino(), before);
    assert_eq!(after.permissions().mode() & 0o777, 0o640);
    assert!(read(&out).ends_with("#END\n"));
}

#[test]
fn a_symbolic_link_stays_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let real = dir.path().join("real.yaml");
    let link = dir.path().join("apisix.yaml");
    fs::write(&real, "old\n").expect("a file");
    symlink(&real, &link).expect("a link");
    assert_eq!(amesh(&["translate", GATEWAY, "-q", "-o", text(&link)]).status, Some(0));
    assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    assert!(read(&real).ends_with("#END\n"));
}

#[test]
fn a_failure_leaves_the_old_file_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("apisix.yaml");
    fs::write(&out, "old\n").expect("a file");
    let run = amesh_reading(b"{", &["translate", "-", "-o", text(&out)]);
    assert_eq!(run.status, Some(3), "{}", run.stderr);
    assert_eq!(read(&out), "old\n");
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 1);
}

#[test]
fn a_device_is_written_to() {
    let run = amesh(&["translate", GATEWAY, "-q", "-o", "/dev/stdout"]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.stdout.ends_with("#END\n"));
}
