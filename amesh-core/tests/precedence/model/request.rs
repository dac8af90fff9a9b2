//! A request, as a client puts it on the wire.

use std::fmt;
use std::net::SocketAddr;

use super::nginx;

/// A request of HTTP/1.1 in origin form. Header names are lower case.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    /// The Host header.
    pub(crate) authority: String,
    /// The other headers, in order; one name may come several times.
    pub(crate) headers: Vec<(String, String)>,
    /// The address that the client connected to, before any redirection.
    pub(crate) to: SocketAddr,
}

impl Request {
    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The query, without its question mark; `None` without one.
    pub(crate) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The values of a header, one for each time it was sent.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Whether nginx tells APISIX all that was sent: it rewrites paths, cuts one trailing dot off a host, and joins
    /// repeated headers.
    pub(crate) fn is_plain(&self) -> bool {
        let name = self.authority.split(':').next().unwrap_or_default();
        let repeated = |(name, _): &(String, String)| self.values(name).len() > 1;
        nginx::uri(&self.target).as_deref() == Some(self.path())
            && !name.ends_with('.')
            && !self.headers.iter().any(repeated)
    }

    /// The bytes on the wire, on a connection that stays open.
    pub(crate) fn wire(&self, extra: &[(&str, &str)]) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.target, self.authority
        );
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(extra.iter().copied()) {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {:?}", self.to, String::from_utf8_lossy(&self.wire(&[])))
    }
}
