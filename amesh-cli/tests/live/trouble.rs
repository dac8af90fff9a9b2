//! Servers that are no control plane, and command lines that name none.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use insta::assert_snapshot;

use crate::{GATEWAY, Running, amesh};

/// A command line that makes no sense.
#[track_caller]
fn refused(args: &[&str]) -> String {
    let (status, stdout, stderr) = amesh(args);
    assert_eq!(stdout, "");
    format!("exit status {}\n{stderr}", status.unwrap_or(-1))
}

#[test]
fn who_asks_and_whom_has_to_be_said() {
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1"]), @"
    exit status 2
    error: who asks? Istio sends each proxy its own configuration
    help: --node router~127.0.0.1~POD.NAMESPACE~NAMESPACE.svc.cluster.local asks as a gateway; --bootstrap FILE and --node-from-env KIND take it from elsewhere
    ");
    assert_snapshot!(refused(&["watch", "--bootstrap", GATEWAY]), @"
    exit status 2
    error: tests/input/gateway.yaml does not say where the control plane is
    help: name it with --server HOST:PORT or --server unix:PATH
    ");
    assert_snapshot!(refused(&["capture", "--node", "router~1.2.3.4~a.b~b.svc.cluster.local"]), @"
    exit status 2
    error: no control plane to ask
    help: name it with --server HOST:PORT or --server unix:PATH
    ");
    assert_snapshot!(refused(&["watch", "--server", "istiod", "--bootstrap", GATEWAY]), @r#"
    exit status 2
    error: invalid value 'istiod' for '--server <ADDR>': "istiod" has no port: write HOST:PORT, or unix:PATH

    For more information, try '--help'.
    "#);
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1", "--node", "gateway"]), @r#"
    exit status 2
    error: "gateway" is no node: it does not have four parts with ~ between them
    help: write KIND~IP~POD.NAMESPACE~DOMAIN, as sidecar~10.0.0.1~app-1.default~default.svc.cluster.local
    "#);
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1", "--bootstrap", "Cargo.toml"]), @r#"
    exit status 3
    error: failed to understand Cargo.toml: the bootstrap file is neither JSON nor YAML: line 2 column 1: did not find expected <document start>
    help: give an Envoy or gRPC bootstrap file, or a dump of a whole proxy
    "#);
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1", "--bootstrap", "no/such/file"]), @"
    exit status 3
    error: failed to read no/such/file: no such file or directory
    ");
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1", "--node-from-env", "sidecar"]), @"
    exit status 2
    error: the environment does not say who asks: POD_NAMESPACE is not set
    help: Istio's injector sets POD_NAME, POD_NAMESPACE and INSTANCE_IP; or use --node
    ");
}

#[test]
fn a_token_is_not_sent_in_plain_text() {
    let args = [
        "watch",
        "--server",
        "127.0.0.1:1",
        "--bootstrap",
        GATEWAY,
        "--token",
        "Cargo.toml",
    ];
    assert_snapshot!(refused(&args), @"
    exit status 2
    error: a token is not sent to 127.0.0.1:1 in plain text
    help: speak TLS: name the roots to trust with --ca-cert FILE
    ");
}

/// What `watch` says of a server, without the time; it goes on trying, and says it once.
fn said(address: &str, more: &[&str]) -> String {
    let mut args = vec!["watch", "--events", "text", "--server", address, "--bootstrap", GATEWAY];
    args.extend(more);
    let running = Running::start(&args);
    let line = running.line();
    // It tries again, and does not say so again.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(running.lines.try_recv().ok(), None, "after {line}");
    assert_eq!(running.end("INT"), Some(0));
    line[9..].replace(address, "ADDRESS")
}

#[test]
fn nobody_listens() {
    assert_snapshot!(said("127.0.0.1:1", &[]), @"error: ADDRESS: tcp connect error: Connection refused; trying again until it answers");
    assert_snapshot!(said("unix:/no/such/socket", &[]), @"error: ADDRESS: No such file or directory; trying again until it answers");
}

/// A server that answers everything with one text, again and again.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 256];
            // Whatever it was.
            drop(stream.read(&mut request));
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    address
}

#[test]
fn a_web_server_is_no_control_plane() {
    let web = "HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\n<html";
    let address = server(web);
    assert_snapshot!(said(&address, &[]), @"error: ADDRESS: the connection ended before an answer of gRPC: is this an xDS server, and one without TLS?; help: istiod serves xDS in plain text on port 15010, with TLS (--ca-cert FILE) on 15012; trying again until it answers");
    let dir = tempfile::tempdir().expect("a directory");
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, "no certificate").expect("a file");
    assert_snapshot!(said(&address, &["--ca-cert", crate::text(&roots)]).replace(crate::text(&roots), "ROOTS"), @"error: ADDRESS: ROOTS: there is no certificate in it; trying again until it answers");
    let silent = server("");
    assert_snapshot!(said(&silent, &[]), @"error: ADDRESS: the connection ended before an answer of gRPC: is this an xDS server, and one without TLS?; help: istiod serves xDS in plain text on port 15010, with TLS (--ca-cert FILE) on 15012; trying again until it answers");
}
