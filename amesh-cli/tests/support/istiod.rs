//! A real istiod for a test: `istiod-harness live`, which `fixtures/istiod/README.md` describes, started, changed and
//! stopped. It needs nothing but the standard library, so that the tests of any crate can include it by its path.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long istiod may take to start or to stop; it takes less than a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The harness that `AMESH_ISTIOD` names. Without it the test says that it was skipped.
pub(crate) fn harness() -> Option<PathBuf> {
    let binary = std::env::var_os("AMESH_ISTIOD").map(PathBuf::from);
    if binary.is_none() {
        eprintln!("skipped: AMESH_ISTIOD is not set");
    }
    binary
}

/// A folder of `fixtures/scenario/istiod`.
pub(crate) fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/scenario/istiod")
        .join(name)
}

/// A running istiod, stopped when it goes out of scope, or when this process dies.
pub(crate) struct Istiod {
    child: Child,
    /// istiod runs as long as this is open.
    stdin: Option<ChildStdin>,
    announced: BTreeMap<String, String>,
}

impl Istiod {
    /// Starts it on a copy of a folder of YAML files, with further flags of `live`, and returns when it serves.
    pub(crate) fn start(harness: &Path, config: &Path, flags: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(harness);
        command
            .args(["live", "--stop-on-eof", "--config"])
            .arg(config)
            .args(flags);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", harness.display()));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut istiod = Self {
            child,
            stdin,
            announced: BTreeMap::new(),
        };
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        loop {
            let line = lines.recv_timeout(PATIENCE).expect("istiod gets ready");
            match line.split_once('=') {
                Some((name, value)) => drop(istiod.announced.insert(name.to_owned(), value.to_owned())),
                None if line == "ready" => return istiod,
                None => panic!("istiod says {line}"),
            }
        }
    }

    fn announced(&self, name: &str) -> &str {
        &self.announced[name]
    }

    /// Where ADS is in plain text, `host:port`.
    pub(crate) fn plaintext(&self) -> &str {
        self.announced("plaintext")
    }

    /// Where ADS and the certificate authority are over TLS, `host:port`; the name of the server is
    /// `istiod.istio-system.svc`.
    pub(crate) fn secure(&self) -> &str {
        self.announced("secure")
    }

    /// A file with the certificate to trust for it.
    pub(crate) fn root_cert(&self) -> &Path {
        Path::new(self.announced("root-cert"))
    }

    /// The folder that istiod watches: a change in it is pushed within a moment.
    pub(crate) fn config(&self) -> &Path {
        Path::new(self.announced("config"))
    }

    /// The body of an answer of istiod's own HTTP server, for example `/debug/syncz`.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.announced("http")).expect("istiod's HTTP port");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.0 200 "), "{path}: {head}");
        body.to_owned()
    }

    /// Writes a file of the folder in one step, so that istiod never sees half of it.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        // Only what ends in .yaml is read.
        let half = self.config().join(format!("{name}.half"));
        fs::write(&half, text)?;
        fs::rename(half, self.config().join(name))
    }

    /// Removes a file of the folder.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.config().join(name))
    }

    /// Stops it and returns whether it went by itself; nothing listens afterwards and its folder is gone.
    pub(crate) fn stop(&mut self) -> bool {
        drop(self.stdin.take());
        let clean = wait_until(|| matches!(self.child.try_wait(), Ok(Some(_))));
        if !clean {
            drop(self.child.kill());
        }
        self.child.wait().is_ok_and(|status| status.success()) && clean
    }
}

impl Drop for Istiod {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a port takes connections.
pub(crate) fn listens(address: &str) -> bool {
    let address: SocketAddr = address.parse().expect("an address");
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// Looks again and again until something holds, and returns whether it came to hold.
pub(crate) fn wait_until(mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if began.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
