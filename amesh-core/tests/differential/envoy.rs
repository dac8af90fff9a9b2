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
            .args(["--disable-hot-restart", "--concurrency", "1", "-l", "error", "--log-path"])
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
                // It prints the whole configuration first and the reason last.
                let reason = log.lines().rev().find(|line| !line.trim().is_empty());
                return Err(reason.unwrap_or("it does not answer").chars().take(400).collect());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It is gone either way: an error here is that it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
