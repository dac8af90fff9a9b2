//! Why there is no connection, in one line, and what to do about it.

use std::fmt;

use amesh_xds::server::Address;
use amesh_xds::stream::{Code, Error};

use crate::render::style::HELP;

/// What is wrong with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// In one line.
    pub(crate) message: String,
    /// What may help.
    pub(crate) help: Option<&'static str>,
}

impl Trouble {
    pub(crate) fn of(error: &Error) -> Self {
        let text = error.to_string().replace('\n', " ");
        // The number says nothing that the words do not.
        let end = text.rfind(" (os error ").unwrap_or(text.len());
        Self {
            help: help(error, &text),
            message: text.get(..end).unwrap_or(&text).to_owned(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.help {
            Some(help) => write!(f, "; {HELP}help{HELP:#}: {help}"),
            None => Ok(()),
        }
    }
}

fn help(error: &Error, text: &str) -> Option<&'static str> {
    match error {
        Error::NoAnswer { tls: false, .. } => {
            Some("istiod serves xDS in plain text on port 15010, with TLS (--ca-cert FILE) on 15012")
        }
        Error::Status {
            code: Code::Unauthenticated | Code::PermissionDenied,
            ..
        } => Some("istiod knows a proxy by its token (--token FILE) or its certificate (--client-cert FILE)"),
        Error::Connect(_) if text.contains("InvalidContentType") => {
            Some("it does not speak TLS there; --ca-cert asks for it")
        }
        Error::Connect(_) if text.contains("certificate not valid for name") => {
            Some("if one of these names is the right one: --server-name NAME")
        }
        Error::Connect(_) if text.contains("invalid peer certificate") => Some("--ca-cert FILE has the roots to trust"),
        _ => None,
    }
}

/// Tells what is news about the connections: the same trouble again is none.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// The last trouble with each server since one answered.
    known: Vec<(Address, Option<Trouble>)>,
    answers: Option<Address>,
}

impl Troubles {
    /// A server answered. Whether that is news.
    pub(crate) fn answered(&mut self, server: &Address) -> bool {
        self.known.clear();
        let news = self.answers.as_ref() != Some(server);
        self.answers = Some(server.clone());
        news
    }

    /// A connection ended, or there was none. Whether that is news.
    pub(crate) fn ended(&mut self, server: &Address, trouble: Option<&Trouble>) -> bool {
        self.answers = None;
        let entry = (server.clone(), trouble.cloned());
        let news = !self.known.contains(&entry);
        if news {
            self.known.retain(|(known, _)| known != server);
            self.known.push(entry);
        }
        news
    }
}
