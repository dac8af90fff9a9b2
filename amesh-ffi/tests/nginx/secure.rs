//! A real istiod on its secure port, as a pod reaches it: TLS, its name, and the token of a service account.

use std::fs;

use crate::istiod::{self, Istiod, scenario};
use crate::provided;

#[test]
fn a_real_istiod_is_followed_over_tls() {
    let Some(harness) = istiod::harness() else { return };
    let istiod = Istiod::start(
        &harness,
        &scenario("01-bookinfo-default").join("config"),
        &["--log", "error"],
    );
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    fs::write(&token, "default/default").expect("a file");
    // Workers run as another user, and one of them reads these here.
    let roots = folder.path().join("roots.pem");
    fs::copy(istiod.root_cert(), &roots).expect("a file");
    for path in [folder.path(), &token, &roots] {
        let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(path, open).expect("permissions");
    }
    let more = format!(
        r#", "ca_cert": "{}", "token": "{}", "server_name": "istiod.istio-system.svc", "labels": {{"app": "x"}}"#,
        roots.display(),
        token.display()
    );
    let Some(nginx) = provided(istiod.secure(), &more) else {
        return;
    };
    let name = "/upstreams/outbound_9080__reviews.default.svc.cluster.local";
    nginx.wait_until("the mesh", || nginx.objects().contains_key(name));
    nginx.wait_until("the status", || nginx.status()["connected"] == istiod.secure());
    assert!(!nginx.log().contains("default/default"), "the token is in the log");
}
