//! Real servers on this machine, found through the environment, started for one test and always stopped.

#![expect(clippy::disallowed_methods, reason = "these tests drive real programs")]

pub(crate) mod apisix;
pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod envoy;

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The path in an environment variable; without it, says on the terminal that the test was skipped and why.
pub(crate) fn path_from(variable: &str, what: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: {variable} is not set; it is {what}");
    }
    path
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
