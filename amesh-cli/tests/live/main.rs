//! `capture` and `watch` beside a control plane of the test's own, which can misbehave, and beside servers that are none.

mod capture;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-xds/tests/support/plane.rs"]
mod plane;
mod trouble;
mod watch;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use amesh_core::ResourceType;
use amesh_core::dump::{self, Dump};
use amesh_core::envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use plane::Plane;
use prost::Message as _;

/// A gateway whose cluster takes the workload's certificates from the same control plane.
const GATEWAY: &str = "tests/input/gateway.yaml";

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

fn gateway() -> Dump {
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(GATEWAY)).expect("the dump");
    dump::read(&bytes).expect("a dump")
}

/// A control plane that has the gateway.
fn plane() -> Plane {
    let plane = Plane::start();
    plane.version("1");
    for resource in gateway().resources {
        plane.put(resource.body.kind(), &resource.name, resource.body.encode());
    }
    for name in ["default", "ROOTCA"] {
        let secret = Secret {
            name: name.to_owned(),
            ..Secret::default()
        };
        plane.put(ResourceType::Secret, name, secret.encode_to_vec());
    }
    plane
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amesh"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .stdin(Stdio::null());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command
}

/// What one run left: exit status, standard output, error stream.
fn amesh(args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(args).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A process whose lines are read while it runs; it ends with this value.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    /// Starts it; its error stream is read as well.
    fn start(args: &[&str]) -> Self {
        let mut child = command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let (sender, lines) = mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("a pipe")),
            Box::new(child.stderr.take().expect("a pipe")),
        ];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines }
    }

    /// The next line.
    #[track_caller]
    fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!("no line in time: {error}"),
        }
    }

    /// The lines up to one that has this in it.
    #[track_caller]
    fn until(&self, text: &str) -> Vec<String> {
        let mut lines = vec![self.line()];
        while !lines.last().is_some_and(|line| line.contains(text)) {
            lines.push(self.line());
        }
        lines
    }

    /// Sends a signal, and gives the exit status.
    fn end(mut self, signal: &str) -> Option<i32> {
        let kill = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(kill.expect("kill runs").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Looks until something holds.
#[track_caller]
fn wait_until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
