//! The library in an unmodified APISIX, through APISIX's own `config_xds` and with the Lua package, fed by a real istiod:
//! traffic follows the YAML of the mesh.

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/apisix.rs"]
mod apisix;
#[path = "../../../amesh-core/tests/precedence/real/client.rs"]
mod client;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-cli/tests/support/istiod.rs"]
mod istiod;
#[path = "../../../amesh-cli/tests/support/workload.rs"]
mod workload;

mod failure;
mod live;
mod load;
mod scenarios;

use std::path::{Path, PathBuf};

use apisix::Apisix;
use istiod::{Istiod, wait_until};
use workload::workload;

/// A service outside the mesh with one endpoint, and a gateway's routes to it.
fn mesh(port: u16, endpoint: u16, path: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: one, namespace: default}}
spec:
  hosts: [one.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {endpoint}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: live, namespace: default}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: live, protocol: HTTP}}, hosts: [shop.example]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: live, namespace: default}}
spec:
  hosts: [shop.example]
  gateways: [live]
  http:
  - match: [{{uri: {{prefix: {path}}}}}]
    route: [{{destination: {{host: one.example}}}}]
"
    )
}

/// The folder in which cargo builds the library, beside the test.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.parent().expect("a folder");
    assert!(folder.join("libxds.so").exists(), "{}", folder.display());
    folder.to_owned()
}

/// Who asks istiod.
struct Proxy {
    node: &'static str,
    labels: &'static [(&'static str, &'static str)],
    /// How requests come, where the listeners do not suggest it.
    arrival: Option<&'static str>,
}

const GATEWAY: Proxy = Proxy {
    node: "router~10.0.0.9~gateway-1.istio-system~istio-system.svc.cluster.local",
    labels: &[("istio", "ingressgateway")],
    arrival: None,
};

/// APISIX's own provider, and the library's settings from the environment.
fn stock(istiod: &Istiod, proxy: &Proxy) -> String {
    let labels: Vec<String> = proxy
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let arrival = proxy.arrival.map(|arrival| format!("    - AMESH_ARRIVAL={arrival}\n"));
    format!(
        "
apisix: {{extra_lua_cpath: \"{}/?.so\"}}
deployment: {{role: data_plane, role_data_plane: {{config_provider: xds}}}}
nginx_config:
  http: {{custom_lua_shared_dict: {{xds-config: 16m, xds-config-version: 8m}}}}
  envs:
    - AMESH_SERVER={}
    - AMESH_NODE={}
    - AMESH_LABELS={}
{}",
        libraries().display(),
        istiod.plaintext(),
        proxy.node,
        labels.join(","),
        arrival.unwrap_or_default()
    )
}

/// The Lua package: provider, router and status, woken through a socket.
fn package(istiod: &Istiod, proxy: &Proxy, socket: &Path) -> String {
    let lua = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
    let labels: Vec<String> = proxy
        .labels
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let arrival = proxy.arrival.map(|arrival| format!("    arrival: {arrival}\n"));
    format!(
        "
apisix:
  extra_lua_path: \"{}/?.lua\"
  extra_lua_cpath: \"{}/?.so\"
  lua_module_hook: amesh.hook
  router: {{http: amesh}}
deployment: {{role: data_plane, role_data_plane: {{config_provider: yaml}}}}
nginx_config:
  worker_processes: 2
  http: {{custom_lua_shared_dict: {{xds-config: 16m, xds-config-version: 8m}}}}
plugin_attr:
  amesh:
    server: [\"{}\"]
    node: {}
    labels: {{{}}}
    wake_socket: {}
{}",
        lua.display(),
        libraries().display(),
        istiod.plaintext(),
        proxy.node,
        labels.join(", "),
        socket.display(),
        arrival.unwrap_or_default()
    )
}

#[test]
fn a_stock_apisix_follows_the_mesh() {
    follow(|istiod, _| stock(istiod, &GATEWAY));
}

#[test]
fn an_apisix_with_the_lua_package_follows_the_mesh() {
    follow(|istiod, folder| package(istiod, &GATEWAY, &folder.join("wake")));
}

fn follow(config: impl Fn(&Istiod, &Path) -> String) {
    let (Some(harness), Some(home)) = (istiod::harness(), apisix::home()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let istiod = Istiod::start(&harness, folder.path(), &["--log", "error"]);
    let apisix = Apisix::start_with(&home, "config.yaml", &config(&istiod, folder.path()));
    let answer = |path: &str| apisix.get("shop.example", path, "");
    let is = |path: &str, expected: (u16, &str)| {
        let seen = || answer(path).is_some_and(|(status, body)| (status, body.as_str()) == expected);
        assert!(wait_until(seen), "{path} is {:?}", answer(path));
    };

    // An empty mesh is a mesh, and APISIX does not wait for more.
    assert!(wait_until(|| answer("/").is_some_and(|(status, _)| status == 404)));

    istiod
        .write("live.yaml", &mesh(apisix.port(), workload("one"), "/a"))
        .expect("a file");
    is("/a", (200, "one"));
    assert_eq!(answer("/b").map(|(status, _)| status), Some(404));

    // An endpoint moves, and so does a route.
    let moved = workload("one, moved");
    istiod
        .write("live.yaml", &mesh(apisix.port(), moved, "/a"))
        .expect("a file");
    is("/a", (200, "one, moved"));
    istiod
        .write("live.yaml", &mesh(apisix.port(), moved, "/b"))
        .expect("a file");
    is("/b", (200, "one, moved"));
    assert_eq!(answer("/a").map(|(status, _)| status), Some(404));

    // Without a control plane everything goes on.
    drop(istiod);
    std::thread::sleep(std::time::Duration::from_secs(2));
    is("/b", (200, "one, moved"));
}
