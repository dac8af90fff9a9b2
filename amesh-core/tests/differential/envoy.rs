//! A real Envoy that serves one case, all of it in its bootstrap.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use prost::Message as _;
use tempfile::TempDir;

/// A running Envoy, killed when dropped.
pub(crate) struct Envoy {
    child: Child,
    folder: TempDir,
}

impl Envoy {
    /// Starts one, and does not wait until it is ready.
    pub(crate) fn start(binary: &Path, bootstrap: &Bootstrap) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("bootstrap.pb");
        fs::write(&file, bootstrap.encode_to_vec()).expect("a file");
        let child = Command::new(binary)
            .arg("-c")
            .arg(&file)
            .args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "-l",
                "error",
                "--log-path",
            ])
            .arg(folder.path().join("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Envoy starts");
        Self { child, folder }
    }

    /// Waits until it takes connections.
    ///
    /// # Errors
    ///
    /// What it says where it does not take what it is told.
    pub(crate) fn ready(&mut self, addresses: &[SocketAddr]) -> Result<(), String> {
        let start = Instant::now();
        while !addresses.iter().all(|address| TcpStream::connect(address).is_ok()) {
            let ended = self.child.try_wait().expect("a state").is_some();
            if ended || start.elapsed() > Duration::from_secs(20) {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(reason(&log).unwrap_or_else(|| "it does not answer".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Why it ended. The whole configuration stands around the reason.
fn reason(log: &str) -> Option<String> {
    let end = log.find("` initializing config").unwrap_or(log.len());
    let said = &log[..end];
    let said = said.split_once("error `").map_or(said, |(_, said)| said);
    // A constraint that does not hold, and after it the message for which it does not.
    let said = said
        .split_once("Proto constraint validation failed")
        .map_or(said, |(_, said)| said);
    let said = said.trim_start_matches(|c: char| !c.is_alphanumeric());
    (!said.is_empty()).then(|| {
        said.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(300)
            .collect()
    })
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It is gone either way: an error here is that it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
