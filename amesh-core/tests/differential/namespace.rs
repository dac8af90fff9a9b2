//! A network namespace in which every address is of this machine, so that the endpoints of a mesh need no rewriting.

use std::io::Write as _;
use std::process::Command;

/// Set in the process that is in the namespace.
const MARK: &str = "AMESH_EVERY_ADDRESS";

/// Connections to any address reach this machine.
const RULES: &str = "ip link set lo up && ip route add local 0.0.0.0/0 dev lo && \
                     (ip -6 route add local ::/0 dev lo 2>/dev/null || true)";

/// Where a process is.
pub(crate) enum Namespace {
    /// In the namespace: this is the test.
    Inside,
    /// Outside: the test ran in another process, and passed; or there can be no namespace, and it says so.
    Outside,
}

/// Says on the terminal, where what a passing test prints is not shown, that a test was skipped.
pub(crate) fn skipped(why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {why}").expect("a terminal");
}

/// Runs a test of this program again in a namespace of its own.
pub(crate) fn enter(test: &str) -> Namespace {
    if std::env::var_os(MARK).is_some() {
        return Namespace::Inside;
    }
    let may = Command::new("unshare").args(["-n", "sh", "-c", RULES]).output();
    if !may.as_ref().is_ok_and(|output| output.status.success()) {
        skipped(&format!(
            "no network namespace in which every address is local: {may:?}"
        ));
        return Namespace::Outside;
    }
    let status = Command::new("unshare")
        .args(["-n", "sh", "-c", &format!("{RULES} && exec \"$@\""), "sh"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .status()
        .expect("it was started a moment ago");
    assert!(status.success(), "{test} in a namespace: {status}");
    Namespace::Outside
}
