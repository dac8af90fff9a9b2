//! The workload behind both proxies. It listens at every address, and tells at which one it was reached and what it saw.
//!
//! A request may say how it wants to be answered, in headers: see [`STATUS`], [`FAILURES`] and [`DELAY`].

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use crate::seen::{ECHO, Seen};

/// The header that tells one exchange of a proxy from others.
pub(crate) const ASK: &str = "x-differential-ask";
/// The status that the workload answers with.
pub(crate) const STATUS: &str = "x-differential-status";
/// How often it answers so before it answers 200, as `1`.
pub(crate) const FAILURES: &str = "x-differential-failures";
/// How long it takes, in milliseconds.
pub(crate) const DELAY: &str = "x-differential-delay";

/// What the workload was asked, by the exchange.
static ASKED: LazyLock<Mutex<BTreeMap<String, Vec<Seen>>>> = LazyLock::new(Mutex::default);

/// What the workload was asked on behalf of an exchange, which it forgets then.
pub(crate) fn asked(ask: &str) -> Vec<Seen> {
    ASKED.lock().expect("no panic").remove(ask).unwrap_or_default()
}

/// Listens on a port of every address.
pub(crate) fn listen(port: u16) {
    let listener = TcpListener::bind(("::", port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .unwrap_or_else(|error| panic!("port {port}: {error}"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            std::thread::spawn(move || serve(stream));
        }
    });
}

/// The address that names resolve to: always the same, and another one for most names.
pub(crate) fn address_of(name: &str) -> [u8; 4] {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let hash = name
        .bytes()
        .fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte));
    let [_, b, c, d] = hash.to_be_bytes();
    [100, 64 + b % 64, c, d]
}

/// A name server for all names.
pub(crate) fn resolve() {
    let socket = UdpSocket::bind(("127.0.0.1", 53)).expect("the port of a name server");
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = resolved(&buffer[..length]) {
                // The one who asked may be gone.
                drop(socket.send_to(&answer, from));
            }
        }
    });
}

fn resolved(question: &[u8]) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            break;
        }
        name.push_str(std::str::from_utf8(question.get(at + 1..at + 1 + length)?).ok()?);
        name.push('.');
        at += length + 1;
    }
    let end = at + 5;
    let is_a = question.get(at + 1..at + 3)? == [0, 1];
    let mut answer = question.get(..end)?.to_vec();
    // A good answer to one question; additional records are left out.
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address_of(&name));
    }
    Some(answer)
}

/// Answers until the proxy closes the connection.
fn serve(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let local = stream.local_addr().ok()?;
    let local = SocketAddr::new(local.ip().to_canonical(), local.port());
    let mut answers = stream.try_clone().ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut body = format!("{local}\n");
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
            body.push_str(if first {
                line.rsplit_once(' ').map_or(line, |(head, _)| head)
            } else {
                line
            });
            body.push('\n');
            first = false;
        }
        let seen = Seen::read(body.as_bytes())?;
        let header = |name: &str| seen.headers.get(name).and_then(|values| values.first().cloned());
        let mut chunked = header("transfer-encoding").is_some();
        // Only bodies of nothing are sent in chunks.
        while chunked {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            chunked = !line.trim_end().is_empty();
        }
        let length = header("content-length").and_then(|length| length.parse().ok());
        stream.read_exact(&mut vec![0; length.unwrap_or(0)]).ok()?;
        let ask = header(ASK).unwrap_or_default();
        let times = {
            let mut asked = ASKED.lock().expect("no panic");
            let list = asked.entry(ask).or_default();
            list.push(seen.clone());
            // Copies for mirrors say that they are, or have a host of their own.
            let tells = |seen: &Seen| ["host", "x-envoy-internal"].map(|name| seen.headers.get(name).cloned());
            let same = |other: &&Seen| tells(other) == tells(&seen);
            list.iter().filter(same).count()
        };
        if let Some(delay) = header(DELAY).and_then(|delay| delay.parse().ok()) {
            std::thread::sleep(Duration::from_millis(delay));
        }
        let failures = header(FAILURES).and_then(|count| count.parse().ok());
        let status = header(STATUS).filter(|_| failures.is_none_or(|failures: usize| times <= failures));
        let status = status.as_deref().unwrap_or("200");
        let sent = if seen.method == "HEAD" { "" } else { &body };
        let length = body.len();
        write!(
            answers,
            "HTTP/1.1 {status} Told\r\n{ECHO}: yes\r\nserver: workload\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{sent}"
        )
        .ok()?;
    }
}
