//! What stands behind a data plane in a test.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// A workload that answers every request with its name. Gives its port.
pub(crate) fn workload(name: &'static str) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let length = name.len();
                // APISIX keeps its connections, and sends a request in one piece.
                while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{name}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}
