//! Captured configuration, as Envoy, istiod and istioctl print it, to the resources in it, and back.
//!
//! [`read`] takes Envoy's `/config_dump`, istiod's `/debug/config_dump`, what `istioctl proxy-config ... -o json` prints,
//! discovery responses, single resources and lists of them, and Envoy's bootstrap file; as JSON or YAML, with field
//! names in either spelling. A document of another kind is named, with what to give instead.
//!
//! [`write()`] makes such a document of what a control plane sent, and [`write_response`] a line of each of its responses.
//!
//! Each resource goes from its text to protobuf bytes and through [`decode`](crate::decode()), as if it had come over the
//! wire, and one that is bad is rejected alone. Only what serves traffic is taken: what is still warming, what is being
//! drained and what the proxy refused are reported.

mod document;
mod envelope;
mod foreign;
mod guess;
mod lenient;
mod message;
mod outline;
mod raw;
mod reader;
mod redacted;
mod response;
mod section;
mod text;
mod write;

use envoy_types::pb::envoy::config::core::v3::Node;

use crate::decode::{Rejected, Resource};
use crate::feature::Feature;
use crate::finding::{Finding, Outcome, Rule};

pub use write::{Captured, LeftOut, Response, WriteOptions, Written, write, write_response};

pub(crate) static FEATURE: Feature = Feature {
    name: "dump",
    summary: "a captured dump holds more than what serves traffic, and less than what was sent",
    messages: &[],
    extensions: &[],
    rules: &[
        &WARMING,
        &DRAINING,
        &ERROR_STATE,
        &DUPLICATE_NAME,
        &INLINE_ROUTES,
        &PRIVATE_KEY_REDACTED,
    ],
};

pub(crate) static WARMING: Rule = Rule {
    name: "dump-warming",
    outcome: Outcome::Ignored,
    summary: "the dump shows a newer version that was still warming, which is not used",
    explanation: "Envoy holds a new listener, cluster or secret back until all that it refers to has arrived, and serves \
        the version before it, or nothing where there was none. Amesh translates what Envoy served when the dump was \
        taken: the active version.",
    advice: "take another dump once the resource is active; one that stays in warming waits for endpoints, routes or a \
        secret that the control plane does not send",
};

pub(crate) static DRAINING: Rule = Rule {
    name: "dump-draining",
    outcome: Outcome::Ignored,
    summary: "the dump shows an older version that was being drained, which is not used",
    explanation: "Envoy keeps a replaced or removed listener until the connections that it has are closed; it takes no \
        new ones. Amesh translates the active version.",
    advice: "nothing: it goes by itself",
};

pub(crate) static ERROR_STATE: Rule = Rule {
    name: "dump-error-state",
    outcome: Outcome::Ignored,
    summary: "the proxy refused the latest version of the resource, which is not used",
    explanation: "Envoy keeps the last version that it accepted and notes why it refused the next. Amesh translates what \
        Envoy served; where no version was ever accepted there is nothing to translate.",
    advice: "the detail is Envoy's own message: correct the configuration that it names",
};

pub(crate) static DUPLICATE_NAME: Rule = Rule {
    name: "dump-duplicate-name",
    outcome: Outcome::LeftOut,
    summary: "two different resources of one type have one name, and the later is used",
    explanation: "A resource is known by its type and name, so a proxy never has two of one name; a file that was put \
        together by hand can. The later one is used, as the later of two updates would be, from the place that the \
        detail names; the earlier one is left out.",
    advice: "remove one of them, or give it a name of its own",
};

pub(crate) static INLINE_ROUTES: Rule = Rule {
    name: "dump-inline-routes",
    outcome: Outcome::LeftOut,
    summary: "a route configuration that is part of a listener is listed without that listener, and is not used",
    explanation: "Envoy lists the route configurations that listeners hold inline beside those that came by themselves. \
        Which port and host they serve only the listener says, and no listener can refer to them. A dump with listeners \
        has them there; this dump has not.",
    advice: "take the whole dump, with its listeners",
};

pub(crate) static PRIVATE_KEY_REDACTED: Rule = Rule {
    name: "dump-private-key-redacted",
    outcome: Outcome::LeftOut,
    summary: "the dump has a placeholder in place of a private key or another secret",
    explanation: "Envoy and istiod never print private keys, and `amesh capture` only when told to: a dump has \
        `[redacted]` in their place. What needs the key, such as the certificate of a TLS listener, cannot be made from it.",
    advice: "read the configuration from the control plane with `amesh capture --keep-secrets`, or add the certificate to \
        APISIX yourself",
};

/// What to give, for a message that says what was given instead.
const GIVE: &str =
    "give Envoy's `/config_dump?include_eds`, or what `istioctl proxy-config all POD -o json` prints, as JSON or YAML";

/// The resources of a captured document.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Dump {
    /// What the document is.
    pub shape: Shape,
    /// The proxy that was configured, where the document says it.
    pub node: Option<Node>,
    /// The resources that serve traffic, in the order of the document, each type and name once.
    pub resources: Vec<Resource>,
    /// What cannot be used, each alone.
    pub rejected: Vec<Rejected>,
    /// What the document shows beside that, in the order of resource and rule.
    pub findings: Vec<Finding>,
}

/// The shapes that a captured document can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shape {
    /// `{"configs": [...]}`: Envoy's `/config_dump`, istiod's `/debug/config_dump`, `istioctl proxy-config all`.
    ConfigDump,
    /// One section of a config dump: `istioctl proxy-config secret` and `ecds`.
    Section,
    /// `{"bootstrap": {...}}`: `istioctl proxy-config bootstrap`.
    BootstrapDump,
    /// Envoy's own bootstrap file.
    Bootstrap,
    /// `{"resources": [...]}`: a discovery response of either protocol, or a hand's list.
    DiscoveryResponse,
    /// Discovery responses of either protocol, one after another or in a list.
    DiscoveryResponses,
    /// A list of resources: `istioctl proxy-config listener`, `route`, `cluster` and `eds`.
    ResourceList,
    /// A list of `{"name": {...}}`, as Istio's ADS client saves it.
    NamedResources,
    /// One resource.
    Resource,
}

/// Why a document is no dump.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing in it.
    #[error("the input is empty; {GIVE}")]
    Empty,
    /// It is something else.
    #[error("the input is {found}, which says nothing of what a proxy was sent; {instead}")]
    NotADump {
        /// What it is.
        found: String,
        /// What to give instead.
        instead: &'static str,
    },
    /// It is no text.
    #[error("the input is not UTF-8 text: byte {offset} is wrong")]
    NotUtf8 {
        /// How many bytes are right.
        offset: usize,
    },
    /// It is neither JSON nor YAML.
    #[error("malformed {format} at line {line}, column {column}: {message}")]
    Syntax {
        /// `JSON` or `YAML`.
        format: &'static str,
        /// From 1; 0 when it is not known.
        line: u64,
        /// From 1; 0 when it is not known.
        column: u64,
        /// What is wrong.
        message: String,
    },
    /// It is a stream of documents that are no discovery responses.
    #[error("the input holds several documents; give one, or discovery responses one after another")]
    SeveralDocuments,
    /// It has the outline of a dump, but a part of it is of the wrong type.
    #[error("{path}: {message}")]
    Json {
        /// The place in the document.
        path: String,
        /// What is wrong there.
        message: String,
    },
}

impl Error {
    fn json_syntax(error: &serde_json::Error) -> Self {
        Self::Syntax {
            format: "JSON",
            line: u64::try_from(error.line()).unwrap_or(0),
            column: u64::try_from(error.column()).unwrap_or(0),
            message: without_place(error),
        }
    }
}

/// Reads a captured document.
///
/// Several discovery responses, one after another or in a list, are what a proxy holds after the last: in state of the world
/// a response of clusters or listeners replaces all of them, any other is merged by name; a delta response adds and removes.
/// What is bad in a response is rejected until it is sent well, and its last good version stays. Endpoints and routes that
/// are removed stay while a cluster or listener refers to them, as in Envoy. Resources of several responses are sorted by
/// type and name.
///
/// # Errors
///
/// [`Error`] when the document as a whole is no dump. A resource that cannot be used is no error: it is in
/// [`Dump::rejected`].
pub fn read(input: &[u8]) -> Result<Dump, Error> {
    let text = text::json(input)?;
    let mut reader = reader::Reader::default();
    let shape = document::read(&text, &mut reader)?;
    Ok(reader.finish(shape))
}

/// The message of a JSON error without line and column, which are told apart or count from the wrong place.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message.get(..end).unwrap_or(&message).to_owned()
}
