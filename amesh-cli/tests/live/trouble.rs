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
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1"]), @"");
    assert_snapshot!(refused(&["watch", "--bootstrap", GATEWAY]), @"");
    assert_snapshot!(refused(&["capture", "--node", "router~1.2.3.4~a.b~b.svc.cluster.local"]), @"");
    assert_snapshot!(refused(&["watch", "--server", "istiod", "--bootstrap", GATEWAY]), @"");
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1", "--node", "gateway"]), @"");
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1", "--bootstrap", "Cargo.toml"]), @"");
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1", "--bootstrap", "no/such/file"]), @"");
    assert_snapshot!(refused(&["watch", "--server", "127.0.0.1:1", "--node-from-env", "sidecar"]), @"");
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
    assert_snapshot!(refused(&args), @"");
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
    assert_snapshot!(said("127.0.0.1:1", &[]), @"");
    assert_snapshot!(said("unix:/no/such/socket", &[]), @"");
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
    assert_snapshot!(said(&address, &[]), @"");
    let dir = tempfile::tempdir().expect("a directory");
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, "no certificate").expect("a file");
    assert_snapshot!(said(&address, &["--ca-cert", crate::text(&roots)]).replace(crate::text(&roots), "ROOTS"), @"");
    let silent = server("");
    assert_snapshot!(said(&silent, &[]), @"");
}
