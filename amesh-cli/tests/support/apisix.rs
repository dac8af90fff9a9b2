//! A real APISIX for a test: a standalone one that reads `apisix.yaml`, unless its `config.yaml` says something else.
//! `AMESH_APISIX_HOME` names a folder with the scripts `run-standalone.sh DIR PORT`, which takes the control API's port from
//! `CONTROL_PORT`, and `stop-standalone.sh DIR`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The folder. Without it the test says that it was skipped.
pub(crate) fn home() -> Option<PathBuf> {
    let home = std::env::var_os("AMESH_APISIX_HOME").map(PathBuf::from);
    if home.is_none() {
        eprintln!("skipped: AMESH_APISIX_HOME is not set");
    }
    home
}

/// A running APISIX, stopped when it goes out of scope.
pub(crate) struct Apisix {
    home: PathBuf,
    dir: tempfile::TempDir,
    listen: Vec<SocketAddr>,
    control: u16,
}

impl Apisix {
    /// Starts it with that `apisix.yaml`.
    pub(crate) fn start(home: &Path, configuration: &str) -> Self {
        Self::start_with(home, "apisix.yaml", configuration)
    }

    /// Starts it with that file in its folder `conf`.
    pub(crate) fn start_with(home: &Path, file: &str, text: &str) -> Self {
        Self::start_on(home, file, text, &[free_port()])
    }

    /// Starts it with that file in its folder `conf`, on some ports of 127.0.0.1.
    pub(crate) fn start_on(home: &Path, file: &str, text: &str, ports: &[u16]) -> Self {
        Self::start_at(home, &[(file, text)], "127.0.0.1", ports)
    }

    /// Starts it with those files in its folder `conf`, on some ports of an address.
    pub(crate) fn start_at(home: &Path, files: &[(&str, &str)], address: &str, ports: &[u16]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("conf")).expect("a directory");
        for (file, text) in files {
            fs::write(dir.path().join("conf").join(file), text).expect("the file");
        }
        let address: IpAddr = address.parse().expect("an address");
        let listen = ports.iter().map(|port| SocketAddr::new(address, *port)).collect();
        let apisix = Self {
            home: home.to_owned(),
            dir,
            listen,
            control: free_port(),
        };
        apisix.run();
        apisix
    }

    fn run(&self) {
        let listen: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
        assert!(self.script("run-standalone.sh", &listen), "APISIX starts");
    }

    /// Stops all of it and starts it again.
    pub(crate) fn restart(&self) {
        assert!(self.script("stop-standalone.sh", &[]), "APISIX stops");
        self.run();
    }

    /// What it says in its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("logs/error.log")).unwrap_or_default()
    }

    fn script(&self, name: &str, args: &[&str]) -> bool {
        let mut command = Command::new(self.home.join(name));
        command
            .arg(self.dir.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let status = command.env("CONTROL_PORT", self.control.to_string()).status();
        status.is_ok_and(|status| status.success())
    }

    /// The master process.
    pub(crate) fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.dir.path().join("logs/nginx.pid")).expect("the file with its number");
        text.trim().parse().expect("a number")
    }

    /// Where requests go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listen[0]
    }

    /// The port for requests.
    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    /// The file that it reads.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("conf/apisix.yaml")
    }

    /// Status and body of an answer.
    pub(crate) fn get(&self, host: &str, path: &str, headers: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n{headers}\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
    }

    /// What the control API answers below `/v1/`.
    pub(crate) fn control(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.control)).expect("the control API");
        write!(stream, "GET /v1/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The objects of a kind by id, as the worker has them.
    pub(crate) fn objects(&self, kind: &str) -> BTreeMap<String, Value> {
        let list = match self.control(kind) {
            Value::Array(list) => list,
            // Lua's empty table, before the first configuration.
            Value::Object(fields) if fields.is_empty() => Vec::new(),
            other => panic!("no list of {kind}: {other}"),
        };
        let value = |item: Value| item["value"].clone();
        let id = |value: &Value| value["id"].as_str().map(str::to_owned);
        list.into_iter()
            .map(value)
            .filter_map(|value| Some((id(&value)?, value)))
            .collect()
    }
}

impl Drop for Apisix {
    fn drop(&mut self) {
        self.script("stop-standalone.sh", &[]);
    }
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
