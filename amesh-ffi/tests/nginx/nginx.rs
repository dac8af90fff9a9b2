//! A real nginx with its Lua module, which hosts the library as APISIX would. There is no privileged agent in it: its first
//! worker loads the library, and every worker reads the dictionaries for the test.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever crashes so often does so for good.
pub(crate) const CRASHES: usize = 10;

/// A running nginx; it ends with this value.
pub(crate) struct Nginx {
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

/// What nginx is told.
pub(crate) struct Setup<'s> {
    /// The size of the dictionary for the configuration.
    pub(crate) size: &'s str,
    /// The JSON for `amesh_start`; the folder's path stands for `DIR` in it. Without it `initial` is called.
    pub(crate) settings: Option<&'s str>,
    /// Environment variables.
    pub(crate) variables: &'s [(&'s str, &'s str)],
}

/// nginx and the folder of its modules. Where they are not there the test says that it was skipped.
fn find() -> Option<(PathBuf, PathBuf)> {
    let named = std::env::var_os("AMESH_NGINX").map(PathBuf::from);
    let places = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
    let binary = named.or_else(|| places.iter().map(PathBuf::from).find(|path| path.exists()));
    let Some(binary) = binary else {
        eprintln!("skipped: there is no nginx, and AMESH_NGINX is not set");
        return None;
    };
    let modules = PathBuf::from("/usr/lib/nginx/modules");
    if !modules.join("ngx_http_lua_module.so").exists() {
        eprintln!("skipped: nginx's Lua module is not there");
        return None;
    }
    Some((binary, modules))
}

/// The library, which cargo builds beside the test.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let library = test.parent().expect("a folder").join("libxds.so");
    assert!(library.exists(), "{} is there", library.display());
    library
}

impl Nginx {
    /// Starts it, if it is there.
    pub(crate) fn start(setup: &Setup<'_>) -> Option<Self> {
        let (binary, modules) = find()?;
        let folder = tempfile::tempdir().expect("a folder");
        // Workers run as another user, and one of them makes the wake-up socket here.
        let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
        fs::set_permissions(folder.path(), open).expect("permissions");
        let port = free_port();
        let dir = folder.path().display().to_string();
        let names: Vec<String> = setup
            .variables
            .iter()
            .map(|(name, _)| format!("env {name};\n"))
            .collect();
        let settings = setup.settings.map_or_else(
            || "nil".to_owned(),
            |json| format!("[==[{}]==]", json.replace("DIR", &dir)),
        );
        let configuration = include_str!("nginx.conf")
            .replace("@MODULES@", &modules.display().to_string())
            .replace("@ENV@", &names.concat())
            .replace("@PORT@", &port.to_string())
            .replace("@SIZE@", setup.size)
            .replace("@LUA@", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nginx"))
            .replace("@LIBRARY@", &library().display().to_string())
            .replace("@SETTINGS@", &settings);
        fs::write(folder.path().join("nginx.conf"), configuration).expect("the file");
        let mut command = Command::new(&binary);
        command.args(["-p", &dir, "-c", "nginx.conf", "-e", "error.log"]);
        command.env_clear().envs(setup.variables.iter().copied());
        let child = command.stdin(Stdio::null()).spawn().expect("nginx runs");
        let nginx = Self { folder, port, child };
        nginx.wait_until("the library was called", || nginx.try_get("/started").is_some());
        Some(nginx)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is in the error log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("error.log")).unwrap_or_default()
    }

    fn try_get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
    }

    /// The answer of some worker. A worker that is killed meanwhile is asked again.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut answer = None;
        self.wait_until(path, || {
            answer = self.try_get(path);
            answer.is_some()
        });
        answer.expect("an answer")
    }

    /// All that is in a dictionary.
    pub(crate) fn zone(&self, name: &str) -> BTreeMap<String, Json> {
        let text = self.get(&format!("/zone?name={name}"));
        // Lua's empty table is an empty array.
        serde_json::from_str(&text).unwrap_or_else(|error| {
            assert_eq!(text, "[]", "{error}");
            BTreeMap::new()
        })
    }

    /// The objects, by key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Json> {
        let all = self.zone("xds-config").into_iter();
        let objects = all.filter(|(key, _)| !key.starts_with("/_"));
        let parsed = |text: Json| {
            let text = text.as_str().expect("a text").to_owned();
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        objects.map(|(key, text)| (key, parsed(text))).collect()
    }

    /// The version, if there is one.
    pub(crate) fn version(&self) -> Option<u64> {
        self.get("/version").trim().parse().ok()
    }

    /// The status.
    pub(crate) fn status(&self) -> Json {
        let zone = self.zone("xds-config-version");
        let text = zone.get("status").and_then(Json::as_str).unwrap_or("null");
        serde_json::from_str(text).expect("JSON")
    }

    /// The process of the worker that loaded the library.
    pub(crate) fn agent(&self) -> u32 {
        self.get("/agent").trim().parse().expect("a process")
    }

    /// Sends a signal to the master or to a worker.
    pub(crate) fn signal(&self, signal: &str, process: Option<u32>) {
        assert!(
            self.try_signal(signal, process),
            "{signal} {process:?}; the log: {}",
            self.log()
        );
    }

    /// The same for a process that may be gone.
    pub(crate) fn try_signal(&self, signal: &str, process: Option<u32>) -> bool {
        let process = process.unwrap_or(self.child.id()).to_string();
        let kill = Command::new("kill")
            .args(["-s", signal, &process])
            .stderr(Stdio::null())
            .status();
        kill.expect("kill runs").success()
    }

    /// Has it read its configuration again: new workers come, and the old ones go.
    pub(crate) fn reload(&self) {
        let agent = self.agent();
        self.signal("HUP", None);
        self.wait_until("a new agent", || self.agent() != agent);
    }

    /// Has it end in good order, and tells whether it did.
    pub(crate) fn quit(&mut self) -> bool {
        self.signal("QUIT", None);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// How many of its processes have crashed.
    pub(crate) fn crashes(&self) -> usize {
        self.log().matches("exited on signal 11").count()
    }

    /// Looks until something holds.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "{what}, in time; the log: {}", self.log());
            // The log is large, and most waits are short.
            let long = began.elapsed() > PATIENCE / 60;
            assert!(
                !long || self.crashes() < CRASHES,
                "{what}: its processes crash, again and again"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        self.signal("TERM", None);
        drop(self.child.wait());
    }
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
