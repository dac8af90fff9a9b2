//! What nginx makes of a request before APISIX sees it, and the variables that APISIX's conditions read.

use std::cell::Cell;

use super::request::Request;

/// A request as nginx took it.
pub(crate) struct Seen<'a> {
    request: &'a Request,
    connection: &'a Connection,
    /// `$uri`: decoded, without dot segments and doubled slashes.
    pub(crate) uri: String,
    /// `$host`: lower case, without port and trailing dot.
    pub(crate) host: String,
    asked_for_id: Cell<bool>,
}

/// The connection that a request came in on, as APISIX sees it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) server_addr: String,
    pub(crate) server_port: u16,
    /// What the client meant to connect to; only for redirected connections.
    pub(crate) original_dst: Option<String>,
    /// `$request_id`: 32 hexadecimal digits, new for each request.
    pub(crate) request_id: String,
}

impl Connection {
    /// The same connection with other request ids, which are spread evenly: in each quarter of the id by itself, and in
    /// any two quarters together.
    pub(crate) fn with_many_ids(&self) -> impl Iterator<Item = Self> {
        const IDS: u64 = 1021;
        (0..IDS).map(|n| {
            let quarters = [1, 374, 517, 803].map(|factor| ((n * factor % IDS) << 32) / IDS);
            Self {
                request_id: quarters.map(|quarter| format!("{quarter:08x}")).concat(),
                ..self.clone()
            }
        })
    }
}

impl<'a> Seen<'a> {
    /// `None` for what nginx refuses with a 400 of its own.
    pub(crate) fn new(request: &'a Request, connection: &'a Connection) -> Option<Self> {
        Some(Self {
            request,
            connection,
            uri: uri(&request.target)?,
            host: host(&request.authority)?,
            asked_for_id: Cell::new(false),
        })
    }

    /// Whether `$request_id` was read.
    pub(crate) fn asked_for_id(&self) -> bool {
        self.asked_for_id.get()
    }

    /// The value of a variable, `None` where it has none. A name that is not known here is a mistake of whoever wrote it.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let request = self.request;
        Some(match name {
            "uri" => self.uri.clone(),
            "host" => self.host.clone(),
            "http_host" => request.authority.clone(),
            "real_request_uri" => request.target.clone(),
            // A bare `?` leaves no query.
            "query_string" | "args" => request.query().filter(|query| !query.is_empty())?.to_owned(),
            "request_method" => request.method.clone(),
            "scheme" => "http".to_owned(),
            "server_addr" => self.connection.server_addr.clone(),
            "server_port" => self.connection.server_port.to_string(),
            "connection_original_dst" => self.connection.original_dst.clone()?,
            "request_id" => {
                self.asked_for_id.set(true);
                self.connection.request_id.clone()
            }
            _ => {
                let header = name
                    .strip_prefix("http_")
                    .unwrap_or_else(|| panic!("no such variable: {name}"));
                return self.header(header);
            }
        })
    }

    /// Repeated lines are joined, cookies with a semicolon. In a name, `-` and `_` are the same, and a header with any
    /// other punctuation in its name is dropped.
    fn header(&self, name: &str) -> Option<String> {
        let fold = |name: &str| name.to_ascii_lowercase().replace('-', "_");
        let wanted = fold(name);
        let values: Vec<&str> = self
            .request
            .headers
            .iter()
            .filter(|(found, _)| fold(found) == wanted)
            .map(|(_, value)| value.as_str())
            .collect();
        let separator = if wanted == "cookie" { "; " } else { ", " };
        (!values.is_empty()).then(|| values.join(separator))
    }
}

/// Lower case, port cut off, one trailing dot cut off; empty labels are refused.
fn host(authority: &str) -> Option<String> {
    let lower = authority.to_ascii_lowercase();
    let name = match lower.rfind(']') {
        Some(bracket) => &lower[..=bracket],
        None => lower.split(':').next().unwrap_or_default(),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty() && !name.ends_with('.') && !name.contains("..")).then(|| name.to_owned())
}

/// The path, percent-decoded once, then without empty and dot segments.
pub(crate) fn uri(target: &str) -> Option<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let decoded = decode(path)?;
    if !decoded.starts_with('/') || decoded.contains('\0') {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        match segment {
            "." => {}
            ".." => {
                segments.pop()?;
            }
            other => segments.push(other),
        }
    }
    let folder = ["/", "/.", "/.."].iter().any(|end| decoded.ends_with(end));
    let slash = if folder && !segments.is_empty() { "/" } else { "" };
    Some(format!("/{}{slash}", segments.join("/")))
}

/// Percent-decodes; `None` where a `%` is not followed by two hexadecimal digits.
fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    // Nobody here sends bytes that are not UTF-8.
    String::from_utf8(bytes).ok()
}
