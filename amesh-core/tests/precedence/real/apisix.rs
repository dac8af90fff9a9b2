//! A real APISIX in standalone mode, from a folder with `run-standalone.sh DIR PORT...` and `stop-standalone.sh DIR`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Client;
use super::{free_ports, wait_for};
use crate::generate::requests::LOOPBACK;

/// What chooses the route in an APISIX.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Router {
    /// APISIX's own `radixtree_host_uri`.
    Stock,
    /// The one in `amesh-ffi/lua`.
    Amesh,
}

impl Router {
    pub(crate) const ALL: [Self; 2] = [Self::Stock, Self::Amesh];

    /// What `config.yaml` says of it.
    fn config(self) -> Value {
        let name = match self {
            Self::Stock => "radixtree_host_uri",
            Self::Amesh => "amesh",
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the top of the repository");
        let lua = root.join("amesh-ffi/lua/?.lua");
        json!({"apisix": {"router": {"http": name}, "extra_lua_path": lua}})
    }
}

/// A running APISIX, stopped when dropped.
pub(crate) struct Apisix {
    home: PathBuf,
    folder: TempDir,
}

impl Apisix {
    /// Starts one on those ports with that configuration, which is all that it will ever read. `ready` is a request that
    /// is answered with 200 once the configuration is in force.
    pub(crate) fn start(home: &Path, router: Router, ports: &[u16], configuration: &Value, ready: &[u8]) -> Self {
        let folder = TempDir::with_prefix("a").expect("a folder");
        let conf = folder.path().join("conf");
        fs::create_dir(&conf).expect("a folder");
        fs::write(conf.join("config.yaml"), router.config().to_string()).expect("a file");
        // JSON is YAML; without its last line APISIX takes the file for half written.
        fs::write(conf.join("apisix.yaml"), format!("{configuration}\n#END\n")).expect("a file");
        let [control] = free_ports();
        let status = Command::new(home.join("run-standalone.sh"))
            .arg(folder.path())
            .args(ports.iter().map(ToString::to_string))
            .env("CONTROL_PORT", control.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("APISIX starts");
        let apisix = Self {
            home: home.to_owned(),
            folder,
        };
        assert!(status.success(), "run-standalone.sh: {status}\n{}", apisix.errors());
        let mut client = Client::new(SocketAddr::new(LOOPBACK, ports[0]));
        let answers = || client.send("GET", ready).is_ok_and(|response| response.status == 200);
        assert!(
            wait_for(Duration::from_secs(30), answers),
            "no configuration in force\n{}",
            apisix.errors()
        );
        // What its schema refuses is left out, and every comparison after that would be with something else.
        assert!(!apisix.errors().contains("failed to check"), "{}", apisix.errors());
        apisix
    }

    fn errors(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("logs/error.log")).unwrap_or_default();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("[error]")).take(5).collect();
        errors.join("\n")
    }
}

impl Drop for Apisix {
    fn drop(&mut self) {
        let stopped = Command::new(self.home.join("stop-standalone.sh"))
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("APISIX in {} was not stopped", self.folder.path().display());
        }
    }
}
