//! What the library shows to those who load it.

use std::process::Command;

/// What a program says of the library; `None` where the program is not there.
fn told(program: &str, args: &[&str]) -> Option<String> {
    let test = std::env::current_exe().expect("a path");
    let library = test.with_file_name("libxds.so");
    assert!(library.exists(), "{}", library.display());
    let Ok(output) = Command::new(program).args(args).arg(library).output() else {
        eprintln!("skipped: there is no {program}");
        return None;
    };
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn nothing_but_the_documented_functions_is_exported() {
    let Some(text) = told("nm", &["-D", "--defined-only"]) else {
        return;
    };
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(names, ["amesh_start", "amesh_version", "initial"]);
}

#[test]
fn the_library_stays_when_lua_closes_it() {
    let Some(text) = told("readelf", &["-d"]) else { return };
    assert!(text.contains("NODELETE"), "{text}");
}
