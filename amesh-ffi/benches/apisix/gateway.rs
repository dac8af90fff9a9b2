//! An APISIX with two workers that the library feeds, and connections that stay with each of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::apisix::Apisix;

const NODE: &str = "router~10.0.0.9~gateway-1.istio-system~istio-system.svc.cluster.local";

/// Who reads the dictionaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// APISIX's own provider and router.
    Stock,
    /// The Lua package.
    Package,
}

/// What stands in `config.yaml`.
fn config(reader: Reader, server: &str, folder: &Path) -> String {
    let library = std::env::current_exe().expect("a path");
    let library = library.parent().expect("a folder").display();
    let lua = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
    let (hook, provider, status, envs) = match reader {
        Reader::Stock => (
            String::new(),
            "xds",
            "",
            format!("envs: [AMESH_SERVER={server}, AMESH_NODE={NODE}]"),
        ),
        Reader::Package => (
            format!(
                "extra_lua_path: \"{}/?.lua\", lua_module_hook: amesh.hook, router: {{http: amesh}},",
                lua.display()
            ),
            "yaml",
            ", amesh-status",
            String::new(),
        ),
    };
    let socket = folder.join("wake");
    format!(
        "
apisix: {{{hook} extra_lua_cpath: \"{library}/?.so\"}}
deployment: {{role: data_plane, role_data_plane: {{config_provider: {provider}}}}}
plugins: [fault-injection, proxy-rewrite, traffic-split{status}]
stream_plugins: []
nginx_config:
  worker_processes: 2
  # Who answers, on a connection that is not given up.
  http_server_configuration_snippet: add_header X-Worker $pid always; keepalive_requests 1000000000;
  http:
    enable_access_log: false
    custom_lua_shared_dict: {{xds-config: 256m, xds-config-version: 8m}}
  {envs}
plugin_attr:
  amesh: {{server: [\"{server}\"], node: {NODE}, wake_socket: {}}}
",
        socket.display()
    )
}

/// An answer, and how long it took.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) worker: u32,
    pub(crate) body: String,
    pub(crate) took: Duration,
}

/// A connection, which stays with one worker.
pub(crate) struct Client {
    stream: TcpStream,
    request: String,
}

impl Client {
    fn connect(port: u16, host: &str) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        Some(Self { stream, request })
    }

    pub(crate) fn ask(&mut self) -> Option<Answer> {
        let began = Instant::now();
        self.stream.write_all(self.request.as_bytes()).ok()?;
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let count = self.stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
            bytes.extend(&chunk[..count]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let field = |wanted: &str| {
                let mut fields = head.lines().filter_map(|line| line.split_once(": "));
                fields.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.to_owned()))
            };
            let whole = match field("content-length") {
                Some(length) => body.len() >= length.parse().ok()?,
                None => body.ends_with("0\r\n\r\n"),
            };
            if whole {
                return Some(Answer {
                    status: head.get(9..12)?.parse().ok()?,
                    worker: field("x-worker")?.parse().ok()?,
                    body: body.to_owned(),
                    took: began.elapsed(),
                });
            }
        }
    }
}

/// What a worker had used when it first served what is wanted.
pub(crate) struct First {
    pub(crate) client: Client,
    pub(crate) cpu: f64,
}

pub(crate) struct Gateway {
    apisix: Apisix,
    host: String,
    /// Where the wake-up socket is.
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub(crate) fn start(home: &Path, port: u16, reader: Reader, server: &str, host: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(reader, server, folder.path());
        Self {
            apisix: Apisix::start_on(home, "config.yaml", &config, &[port]),
            host,
            _folder: folder,
        }
    }

    /// The workers, each when it first serves the host; those that are there `before` are passed over.
    pub(crate) fn workers(&self, before: &[u32]) -> BTreeMap<u32, First> {
        let began = Instant::now();
        let mut found = BTreeMap::new();
        while found.len() < 2 {
            assert!(began.elapsed() < Duration::from_secs(120), "the workers serve");
            let client = Client::connect(self.apisix.port(), &self.host);
            let answered = client.and_then(|mut client| Some((client.ask()?, client)));
            match answered {
                Some((answer, client)) if answer.status == 200 && !before.contains(&answer.worker) => {
                    let cpu = cpu(answer.worker);
                    found.entry(answer.worker).or_insert(First { client, cpu });
                }
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        found
    }

    /// Has the master replace the workers.
    pub(crate) fn reload(&self) {
        let pid = self.apisix.pid().to_string();
        let sent = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the master takes signals");
    }
}

/// Milliseconds that a process has run.
pub(crate) fn cpu(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("the process");
    let nanos = text.split_whitespace().next().and_then(|first| first.parse().ok());
    nanos.map(Duration::from_nanos).expect("a number").as_secs_f64() * 1e3
}

/// Megabytes of memory that a process has.
pub(crate) fn memory(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.expect("a number") / 1024.0
}
