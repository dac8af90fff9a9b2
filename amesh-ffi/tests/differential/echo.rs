//! Workloads that tell what they were asked: one for each cluster, so that an answer says which cluster was chosen.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use crate::seen::ECHO;

/// Starts the workload of a cluster on every address of this machine. Gives its port.
pub(crate) fn start(cluster: &str) -> u16 {
    let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let cluster: Arc<str> = cluster.into();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            let cluster = Arc::clone(&cluster);
            std::thread::spawn(move || serve(stream, &cluster));
        }
    });
    port
}

/// Answers until the proxy closes the connection.
fn serve(stream: TcpStream, cluster: &str) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut answers = stream.try_clone().ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut body, mut length, mut chunked) = (format!("{cluster}\n"), 0, false);
        let mut first = true;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().ok()?;
                }
                chunked |= name.eq_ignore_ascii_case("transfer-encoding");
            }
            body.push_str(if first {
                line.rsplit_once(' ').map_or(line, |(head, _)| head)
            } else {
                line
            });
            body.push('\n');
            first = false;
        }
        // Only bodies of nothing are sent in chunks.
        while chunked {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            chunked = !line.trim_end().is_empty();
        }
        stream.read_exact(&mut vec![0; length]).ok()?;
        let head = body.lines().nth(1).is_some_and(|line| line.starts_with("HEAD "));
        let sent = if head { "" } else { &body };
        let length = body.len();
        write!(
            answers,
            "HTTP/1.1 200 OK\r\n{ECHO}: yes\r\ncontent-length: {length}\r\n\r\n{sent}"
        )
        .ok()?;
    }
}
