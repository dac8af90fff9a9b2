//! What stands behind a data plane in a test.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

/// A workload that answers every request with its name. Gives its port.
pub(crate) fn workload(name: &'static str) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    serve(listener, move |_| name.to_owned());
    port
}

/// Answers what comes to a port with what is made of the path of the request.
pub(crate) fn serve(listener: TcpListener, answer: impl Fn(&str) -> String + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.expect("a connection"), Arc::clone(&answer));
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                // APISIX keeps its connections, and sends a request in one piece.
                while let Ok(count @ 1..) = stream.read(&mut request) {
                    let text = String::from_utf8_lossy(&request[..count]);
                    let body = answer(text.split(' ').nth(1).unwrap_or_default());
                    let length = body.len();
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
}
