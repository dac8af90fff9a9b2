//! A live mesh: a real istiod, `amesh watch`, and a real APISIX that reads the file which is kept in step.

use std::process::{Child, Command, Stdio};

use crate::apisix::{self, Apisix};
use crate::istiod::{self, Istiod, scenario, wait_until};
use crate::workload::workload;

/// A service outside the mesh with one endpoint.
fn service(name: &str, port: u16) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"
    )
}

fn gateway(port: u16) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: live, namespace: default}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: {port}, name: live, protocol: HTTP}}, hosts: [shop.example]}}]
"
    )
}

/// Routes of the gateway, the first match first.
fn routes(http: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: live, namespace: default}}
spec:
  hosts: [shop.example]
  gateways: [live]
  http:
{http}
"
    )
}

const FIRST: &str = "  - route: [{destination: {host: one.example}}]";
const BY_HEADER: &str = "  - match: [{headers: {x-version: {exact: two}}, uri: {prefix: /cart}}]
    route: [{destination: {host: two.example}}]
  - route: [{destination: {host: one.example}}]";

struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn traffic_follows_the_yaml_of_the_mesh() {
    let (Some(harness), Some(home)) = (istiod::harness(), apisix::home()) else {
        return;
    };
    let apisix = Apisix::start(&home, "routes: []\n#END\n");
    let answer = |path: &str, headers: &str| apisix.get("shop.example", path, headers);
    let is = |path: &str, headers: &str, expected: (u16, &str)| {
        let seen = || answer(path, headers).is_some_and(|(status, body)| (status, body.as_str()) == expected);
        assert!(wait_until(seen), "{path} {headers:?} is {:?}", answer(path, headers));
    };
    let istiod = Istiod::start(
        &harness,
        &scenario("14-ingress-http").join("config"),
        &["--log", "error"],
    );
    istiod
        .write("live-gateway.yaml", &gateway(apisix.port()))
        .expect("a file");
    istiod
        .write("live-one.yaml", &service("one", workload("one")))
        .expect("a file");
    istiod
        .write("live-two.yaml", &service("two", workload("two")))
        .expect("a file");
    istiod.write("live-routes.yaml", &routes(FIRST)).expect("a file");
    let _watch = Watch(
        Command::new(env!("CARGO_BIN_EXE_amesh"))
            .args(["watch", "--server", istiod.plaintext(), "--bootstrap"])
            .arg(scenario("14-ingress-http").join("capture-router.json"))
            .arg("--output")
            .arg(apisix.file())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary runs"),
    );
    is("/cart", "", (200, "one"));
    is("/cart", "x-version: two\r\n", (200, "one"));

    istiod.write("live-routes.yaml", &routes(BY_HEADER)).expect("a file");
    is("/cart/1", "x-version: two\r\n", (200, "two"));
    is("/cart/1", "", (200, "one"));
    is("/other", "x-version: two\r\n", (200, "one"));

    // An endpoint moves.
    istiod
        .write("live-two.yaml", &service("two", workload("two, moved")))
        .expect("a file");
    is("/cart", "x-version: two\r\n", (200, "two, moved"));
    is("/cart", "", (200, "one"));

    // No service, no answer; Envoy says 503 as well.
    istiod.remove("live-two.yaml").expect("the file");
    let unavailable = || answer("/cart", "x-version: two\r\n").is_some_and(|(status, _)| status == 503);
    assert!(wait_until(unavailable), "{:?}", answer("/cart", "x-version: two\r\n"));
    is("/cart", "", (200, "one"));

    // Without a control plane everything goes on.
    drop(istiod);
    std::thread::sleep(std::time::Duration::from_secs(2));
    is("/cart", "", (200, "one"));
    assert_eq!(
        apisix.get("other.example", "/", "").map(|(status, _)| status),
        Some(404)
    );
}
