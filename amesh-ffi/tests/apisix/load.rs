//! Requests at a fixed rate, and what became of them.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections that are kept open, each with one request at a time.
const CONNECTIONS: u32 = 8;

/// What became of requests.
#[derive(Debug, Default)]
struct Seen {
    good: AtomicUsize,
    /// The server closed a kept connection instead of answering, and a new one was tried, as every client of HTTP does.
    again: AtomicUsize,
    /// Nobody listened, or whoever did ended before an answer began, and the connection was new.
    refused: AtomicUsize,
    slowest: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

/// Requests that go on until they are stopped.
pub(crate) struct Load {
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// The sum of a load.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) good: usize,
    pub(crate) again: usize,
    pub(crate) refused: usize,
    pub(crate) failed: Vec<String>,
    pub(crate) slowest: Duration,
}

impl Load {
    /// Starts so many requests a second to a path of a host.
    pub(crate) fn start(port: u16, host: &str, path: &str, rate: u32) -> Self {
        let seen = Arc::new(Seen::default());
        let stop = Arc::new(AtomicBool::new(false));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let pause = Duration::from_secs(1) * CONNECTIONS / rate;
        let thread = |number: u32| {
            let (seen, stop, request) = (Arc::clone(&seen), Arc::clone(&stop), request.clone());
            std::thread::spawn(move || {
                std::thread::sleep(pause / CONNECTIONS * number);
                let mut connection = None;
                let mut due = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    seen.count(ask(port, &request, &mut connection, &seen.again));
                    let micros = usize::try_from(began.elapsed().as_micros()).unwrap_or(usize::MAX);
                    seen.slowest.fetch_max(micros, Ordering::Relaxed);
                    due += pause;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            })
        };
        let threads = (0..CONNECTIONS).map(thread).collect();
        Self { seen, stop, threads }
    }

    /// Stops, and tells what became of the requests.
    pub(crate) fn stop(self) -> Sum {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no panic");
        }
        Sum {
            good: self.seen.good.load(Ordering::Relaxed),
            again: self.seen.again.load(Ordering::Relaxed),
            refused: self.seen.refused.load(Ordering::Relaxed),
            failed: std::mem::take(&mut *self.seen.failed.lock().expect("no panic")),
            slowest: Duration::from_micros(self.seen.slowest.load(Ordering::Relaxed) as u64),
        }
    }
}

/// Why a request has no answer.
enum Failure {
    /// The server is not there, or ended the connection before an answer began.
    Gone,
    Other(String),
}

impl Failure {
    fn of(error: &Error, began: bool) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
                if !began =>
            {
                Self::Gone
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

impl Seen {
    fn count(&self, answer: Result<u16, Failure>) {
        let failed = |text| self.failed.lock().expect("no panic").push(text);
        match answer {
            Ok(200) => drop(self.good.fetch_add(1, Ordering::Relaxed)),
            Ok(status) => failed(format!("status {status}")),
            Err(Failure::Gone) => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            Err(Failure::Other(error)) => failed(error),
        }
    }
}

/// The status of an answer.
fn ask(port: u16, request: &str, kept: &mut Option<TcpStream>, again: &AtomicUsize) -> Result<u16, Failure> {
    if let Some(mut stream) = kept.take() {
        match exchange(&mut stream, request) {
            // Nothing of an answer came, so it can be asked again.
            Err(Failure::Gone) => drop(again.fetch_add(1, Ordering::Relaxed)),
            other => {
                *kept = other.is_ok().then_some(stream);
                return other;
            }
        }
    }
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let mut stream = connect().map_err(|error| Failure::of(&error, false))?;
    let status = exchange(&mut stream, request)?;
    *kept = Some(stream);
    Ok(status)
}

/// One request and its answer.
fn exchange(stream: &mut TcpStream, request: &str) -> Result<u16, Failure> {
    stream
        .write_all(request.as_bytes())
        .map_err(|error| Failure::of(&error, false))?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok()).flatten()
            });
            let whole = match length {
                Some(length) => body.len() >= length,
                None => body.ends_with("0\r\n\r\n"),
            };
            if whole {
                let status = head.get(9..12).and_then(|status| status.parse().ok());
                return status.ok_or_else(|| Failure::Other(format!("no answer of HTTP: {head}")));
            }
        }
        let count = stream.read(&mut chunk).and_then(|count| match count {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        });
        match count {
            Ok(count) => bytes.extend(&chunk[..count]),
            Err(error) => return Err(Failure::of(&error, !bytes.is_empty())),
        }
    }
}
