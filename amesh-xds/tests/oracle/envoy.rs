//! A real Envoy that takes everything from a control plane.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use amesh_xds::session::Protocol;
use tempfile::TempDir;

/// A running Envoy, killed when dropped.
pub(crate) struct Envoy {
    child: Child,
    log: std::path::PathBuf,
    _folder: TempDir,
}

impl Envoy {
    pub(crate) fn start(binary: &Path, protocol: Protocol, plane: &str) -> Self {
        let (host, port) = plane.rsplit_once(':').expect("an address");
        let api = match protocol {
            Protocol::StateOfTheWorld => "GRPC",
            Protocol::Delta => "DELTA_GRPC",
        };
        let bootstrap = format!(
            "
node: {{id: sidecar~10.0.0.1~app.default~default.svc.cluster.local, cluster: app}}
dynamic_resources:
  ads_config:
    api_type: {api}
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{{envoy_grpc: {{cluster_name: plane}}}}]
  cds_config: {{ads: {{}}, resource_api_version: V3}}
  lds_config: {{ads: {{}}, resource_api_version: V3}}
static_resources:
  clusters:
  - name: plane
    type: STATIC
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: plane
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}
"
        );
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("bootstrap.yaml");
        fs::write(&file, bootstrap).expect("a file");
        let log = folder.path().join("log");
        let child = Command::new(binary)
            .arg("-c")
            .arg(&file)
            .args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--drain-time-s",
                "0",
                "-l",
                "error",
                "--log-path",
            ])
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Envoy starts");
        Self {
            child,
            log,
            _folder: folder,
        }
    }

    /// What it complained of last.
    pub(crate) fn complaint(&mut self) -> String {
        let ended = self.child.try_wait().expect("a state");
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        format!("ended: {ended:?}, log: {last:?}")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It is gone either way: an error here is that it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
