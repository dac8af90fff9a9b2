//! Real servers on this machine, found through the environment, started for one test and always stopped.

#![expect(clippy::disallowed_methods, reason = "these tests drive real programs")]

pub(crate) mod apisix;
pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod envoy;

use std::env;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The path in an environment variable; without it, says on the terminal that the test was skipped and why.
pub(crate) fn path_from(variable: &str, what: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        skipped(&format!("{variable} is not set; it is {what}"));
    }
    path
}

/// Says on the terminal, where what a passing test prints is not shown, that a test was skipped.
pub(crate) fn skipped(why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {why}").expect("a terminal");
}

/// Runs a test of this program again in a network namespace of its own, in which connections to some addresses are
/// redirected to a port of this machine, where they also meet `whose`, a match of iptables; `None` when this process is in such a namespace already, or when there can be none.
pub(crate) fn redirected(test: &str, addresses: &str, whose: &[&str], port: u16) -> Option<Namespace> {
    const MARK: &str = "AMESH_REDIRECTED";
    if env::var_os(MARK).is_some() {
        return Some(Namespace::Inside);
    }
    let rules = format!(
        "ip link set lo up && ip route add local {addresses} dev lo && \
         iptables -t nat -A OUTPUT -p tcp -d {addresses} {} -j REDIRECT --to-ports {port}",
        whose.join(" ")
    );
    let may = Command::new("unshare").args(["-n", "sh", "-c", &rules]).output();
    if !may.as_ref().is_ok_and(|output| output.status.success()) {
        skipped(&format!("no network namespace with iptables here: {may:?}"));
        return None;
    }
    let output = Command::new("unshare")
        .args(["-n", "sh", "-c", &format!("{rules} && exec \"$@\""), "sh"])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("it was started a moment ago");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    // A name that no test has would pass as well.
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} in a namespace: {}\n{said}\n{complained}",
        output.status
    );
    Some(Namespace::Outside)
}

/// Where a process is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// In the namespace: this is the test.
    Inside,
    /// Outside: the test ran in another process, and passed.
    Outside,
}

/// How many tables to try: a number from the environment, or the usual one.
pub(crate) fn count(variable: &str, usual: usize) -> usize {
    env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Ports that nobody listens on.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("an address").port())
}

/// Waits until something holds, and tells whether it did in time.
pub(crate) fn wait_for(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}
