//! An HTTP/1.1 client that sends bytes as they are.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What came back: the status, the headers with lower-case names, and the body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A connection that is kept while the server keeps it.
#[derive(Debug)]
pub(crate) struct Client {
    to: SocketAddr,
    open: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self { to, open: None }
    }

    /// Sends a request and reads the answer. A kept connection that the server closed meanwhile is opened again.
    pub(crate) fn send(&mut self, method: &str, wire: &[u8]) -> Result<Response> {
        if self.open.is_some()
            && let Ok(response) = self.exchange(method, wire)
        {
            return Ok(response);
        }
        let stream = TcpStream::connect(self.to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        self.open = Some(BufReader::new(stream));
        self.exchange(method, wire)
    }

    fn exchange(&mut self, method: &str, wire: &[u8]) -> Result<Response> {
        let mut stream = self.open.take().ok_or(ErrorKind::NotConnected)?;
        stream.get_mut().write_all(wire)?;
        let response = read(&mut stream, method == "HEAD")?;
        if response.header("connection") != Some("close") {
            self.open = Some(stream);
        }
        Ok(response)
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn read(stream: &mut BufReader<TcpStream>, head: bool) -> Result<Response> {
    let invalid = |text: &str| Error::new(ErrorKind::InvalidData, text);
    let first = line(stream)?;
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| invalid(&first))?;
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    if head || status == 204 || status == 304 {
        return Ok(response);
    }
    if response.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(stream)?, 16).map_err(|_| invalid("chunk size"))?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk)?;
            line(stream)?;
            if size == 0 {
                return Ok(response);
            }
            response.body.extend(chunk);
        }
    }
    if let Some(length) = response.header("content-length") {
        let length = length.parse().map_err(|_| invalid("content-length"))?;
        response.body = vec![0; length];
        stream.read_exact(&mut response.body)?;
    } else {
        stream.read_to_end(&mut response.body)?;
    }
    Ok(response)
}
