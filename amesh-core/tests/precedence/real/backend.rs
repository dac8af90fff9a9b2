//! Upstream servers: each port answers with its own number in the header `x-backend`.

use std::io::{BufRead as _, BufReader, Result, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

/// The first of as many consecutive ports, on each of which a server now answers until this process ends.
pub(crate) fn start(count: u16) -> u16 {
    let (first, listeners) = consecutive(count);
    listeners.into_iter().for_each(serve_on);
    first
}

/// Answers there until this process ends.
pub(crate) fn serve_on(listener: TcpListener) {
    thread::spawn(move || {
        let port = listener.local_addr().expect("an address").port();
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, port));
        }
    });
}

fn consecutive(count: u16) -> (u16, Vec<TcpListener>) {
    for first in (20_000..30_000).step_by(usize::from(count)) {
        let bound: Result<Vec<TcpListener>> = (first..first + count)
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
            .collect();
        if let Ok(listeners) = bound {
            return (first, listeners);
        }
    }
    panic!("no {count} consecutive free ports");
}

/// Answers requests without bodies, one after the other.
fn serve(stream: TcpStream, port: u16) -> Result<()> {
    let mut writer = stream.try_clone()?;
    let mut head = 0_usize;
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() && head > 0 {
            head = 0;
            writer
                .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-backend: {port}\r\n\r\n").as_bytes())?;
        } else {
            head += 1;
        }
    }
    Ok(())
}
