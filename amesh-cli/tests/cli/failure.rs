//! What goes wrong, and how it is said.

use insta::assert_snapshot;

use crate::{GATEWAY, amesh, amesh_reading};

/// The status and the message, with nothing on standard output.
fn fails(args: &[&str]) -> String {
    fails_reading(b"", args)
}

fn fails_reading(input: &[u8], args: &[&str]) -> String {
    let run = amesh_reading(input, args);
    assert_eq!(run.stdout, "");
    format!("exit status {}\n{}", run.status.unwrap_or(-1), run.stderr)
}

#[test]
fn a_rule_that_does_not_exist_is_answered_with_its_neighbours() {
    assert_snapshot!(fails(&["translate", GATEWAY, "--permit", "istio-mutal-tls"]), @"
    exit status 2
    error: there is no rule `istio-mutal-tls` to permit
    help: `amesh explain` lists every rule
    ");
    assert_snapshot!(fails(&["translate", GATEWAY, "--permit", "zzz"]), @"
    exit status 2
    error: there is no rule `zzz` to permit
    help: `amesh explain` lists every rule
    ");
}

#[test]
fn a_rule_that_refuses_nothing_cannot_be_permitted() {
    let harmless = amesh_core::coverage::rules()
        .into_iter()
        .find(|rule| rule.outcome < amesh_core::Outcome::FailsClosed)
        .expect("a rule that does not fail closed");
    let message = fails(&["translate", GATEWAY, "--permit", harmless.name]);
    assert!(message.starts_with("exit status 2\nerror: "), "{message}");
    assert!(
        message.contains("cannot be permitted: it refuses no traffic"),
        "{message}"
    );
}

#[test]
fn a_file_that_is_not_there() {
    assert_snapshot!(fails(&["translate", "no/such/file"]), @"
    exit status 3
    error: failed to read no/such/file: no such file or directory
    ");
}

#[test]
fn a_directory_is_no_dump() {
    assert_snapshot!(fails(&["translate", "tests"]), @"
    exit status 3
    error: failed to read tests: is a directory
    ");
}

#[test]
fn broken_json_is_refused_with_the_place() {
    assert_snapshot!(fails_reading(br#"{"configs": [{"@type": 7"#, &["translate"]), @"
    exit status 3
    error: failed to understand standard input: malformed JSON at line 1, column 24: EOF while parsing an object
    ");
}

#[test]
fn something_else_is_refused_by_name() {
    assert_snapshot!(fails_reading(b"<html><body>404</body></html>", &["translate"]), @"
    exit status 3
    error: failed to understand standard input: the input is an HTML or XML page, which says nothing of what a proxy was sent; give Envoy's `/config_dump?include_eds`, or what `istioctl proxy-config all POD -o json` prints, as JSON or YAML
    ");
    assert_snapshot!(fails_reading(b"", &["translate"]), @"
    exit status 3
    error: failed to understand standard input: the input is empty; give Envoy's `/config_dump?include_eds`, or what `istioctl proxy-config all POD -o json` prints, as JSON or YAML
    ");
}

#[test]
fn a_wrong_flag() {
    assert_snapshot!(fails(&["translate", GATEWAY, "--formt", "json"]), @"
    exit status 2
    error: unexpected argument '--formt' found

      tip: a similar argument exists: '--format'

    Usage: amesh translate --format <FORMAT> <FILE>

    For more information, try '--help'.
    ");
    assert_snapshot!(fails(&["translate", GATEWAY, "--deny", "everything"]), @"
    exit status 2
    error: invalid value 'everything' for '--deny <OUTCOME>'
      [possible values: ignored, approximated, left-out, fails-closed]

    For more information, try '--help'.
    ");
}

#[test]
fn quiet_and_verbose_exclude_each_other() {
    let run = amesh(&["translate", GATEWAY, "-q", "-v"]);
    assert_eq!(run.status, Some(2), "{}", run.stderr);
}

#[test]
fn a_directory_that_does_not_exist_for_the_output() {
    assert_snapshot!(fails(&["translate", GATEWAY, "-q", "-o", "no/such/dir/apisix.yaml"]), @"
    exit status 4
    error: failed to write no/such/dir/apisix.yaml: the directory no/such/dir does not exist
    ");
    assert_snapshot!(fails(&["translate", GATEWAY, "-q", "-o", "tests"]), @"
    exit status 4
    error: failed to write tests: is a directory
    ");
}

#[test]
fn a_name_that_is_neither_rule_nor_field() {
    assert_snapshot!(fails(&["explain", "RouteAction.timeut"]), @"
    exit status 2
    error: there is no rule and no field `RouteAction.timeut`
    help: did you mean `RouteAction.timeout`?
    ");
    assert_snapshot!(fails(&["explain", "qqqqqq"]), @"
    exit status 2
    error: there is no rule and no field `qqqqqq`
    help: `amesh explain` lists every rule, `amesh coverage` every field
    ");
}

#[test]
fn two_dumps_cannot_come_from_one_stream() {
    assert_snapshot!(fails(&["diff", "-", "-"]), @"
    exit status 2
    error: only one of the two dumps can come from standard input
    ");
}
