//! The workload's certificate from each of its sources: a mock authority, a mock agent, and files that change.

mod authority;
mod files;
mod issuer;
mod mock;
mod replica;
mod sds;

use std::path::Path;
use std::time::Duration;

use amesh_core::Resource;
use amesh_core::decode::Body;
use amesh_xds::backoff::Backoff;
use amesh_xds::server::{Address, Server};
use amesh_xds::workload::Message;
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn unix(path: &Path) -> Server {
    Server::new(Address::Unix(path.to_owned()))
}

pub(crate) fn quick() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_millis(100))
}

/// A source that runs, and what it tells.
pub(crate) struct Consumer {
    messages: mpsc::Receiver<Message>,
    task: JoinHandle<()>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Consumer {
    pub(crate) fn start<F>(source: impl FnOnce(mpsc::Sender<Message>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, messages) = mpsc::channel(4);
        let task = tokio::spawn(source(sender));
        Self { messages, task }
    }

    pub(crate) async fn message(&mut self) -> Message {
        let message = timeout(PATIENCE, self.messages.recv()).await;
        message.expect("in time").expect("the source runs")
    }

    /// The first that something is found in, before patience ends, however many others come.
    async fn first<T>(&mut self, find: impl Fn(Message) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = find(self.message().await) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("in time")
    }

    /// The secrets of the next update.
    pub(crate) async fn update(&mut self) -> Vec<Resource> {
        self.first(|message| match message {
            Message::Update(update) => Some(update.put),
            _ => None,
        })
        .await
    }

    /// Waits for a failure with that in its text. Others that come before, while something is tried again, may repeat.
    pub(crate) async fn failure_of(&mut self, text: &str) {
        let mut last = String::new();
        let found = async {
            while !last.contains(text) {
                last = self.failure().await;
            }
        };
        let found = timeout(PATIENCE, found).await;
        assert!(found.is_ok(), "nothing said {text:?}, but {last:?}");
    }

    /// The text of the next failure.
    pub(crate) async fn failure(&mut self) -> String {
        self.first(|message| match message {
            Message::Failed { error, .. } => Some(error.to_string()),
            _ => None,
        })
        .await
    }

    /// Whether nothing is told for a while.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_millis(200), self.messages.recv()).await.is_err()
    }

    /// The source ends when its consumer does.
    pub(crate) async fn close(mut self) {
        self.messages.close();
        while self.messages.recv().await.is_some() {}
        timeout(PATIENCE, &mut self.task)
            .await
            .expect("in time")
            .expect("no panic");
    }
}

pub(crate) fn names(put: &[Resource]) -> Vec<&str> {
    put.iter().map(|put| put.name.as_str()).collect()
}

/// What is in a secret: the chain and the key, or the roots and nothing.
pub(crate) fn content(resource: &Resource) -> (String, String) {
    let Body::Secret(secret) = &resource.body else {
        panic!("{resource:?}")
    };
    match &secret.r#type {
        Some(Type::TlsCertificate(certificate)) => (
            text(certificate.certificate_chain.as_ref()),
            text(certificate.private_key.as_ref()),
        ),
        Some(Type::ValidationContext(context)) => (text(context.trusted_ca.as_ref()), String::new()),
        _ => panic!("{resource:?}"),
    }
}

fn text(source: Option<&DataSource>) -> String {
    match source.and_then(|source| source.specifier.as_ref()) {
        Some(Specifier::InlineBytes(bytes)) => String::from_utf8(bytes.clone()).expect("PEM"),
        other => panic!("{other:?}"),
    }
}
