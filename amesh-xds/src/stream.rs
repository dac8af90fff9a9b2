//! A session over gRPC: connects, reconnects, and carries messages between session, control plane and consumer.

pub(crate) mod connect;

use std::time::Duration;

use amesh_core::ResourceType;
use amesh_core::finding::ResourceName;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

pub use connect::Error;
/// gRPC's codes.
pub use tonic::Code;

use crate::backoff::Backoff;
use crate::server::{Address, Server};
use crate::session::{Action, Changes, Delivery, Event, Options, Protocol, Request, Response, Session, Verdict};

/// How to reach a control plane, and what to say.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The control planes, the best first. The next is tried when one does not answer; when a stream ends the first is
    /// tried first again.
    pub servers: Vec<Server>,
    /// How the session behaves.
    pub session: Options,
    /// How long to wait when none of them answers.
    pub backoff: Backoff,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How often to ask whether the other side is still there; 30 s, as Istio's agent does.
    pub keepalive: Duration,
    /// How long to wait for an answer to that; 10 s, as Istio's agent does.
    pub keepalive_timeout: Duration,
    /// Whether the consumer is also given each response as it came, as [`Message::Received`]. Off: that is a copy.
    pub received: bool,
}

impl Config {
    /// With what Istio's agent does where nothing else is said.
    #[must_use]
    pub fn new(servers: Vec<Server>, session: Options) -> Self {
        Self {
            servers,
            session,
            backoff: Backoff::default(),
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            received: false,
        }
    }

    const fn patience(&self) -> connect::Patience {
        connect::Patience {
            connect: self.connect_timeout,
            keepalive: self.keepalive,
            keepalive_timeout: self.keepalive_timeout,
        }
    }
}

/// What the consumer is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Message {
    /// There is a connection. That the server speaks xDS is known with the first update.
    Connected(Address),
    /// A response as it came, before anything was read in it; where [`Config::received`] asks for it.
    Received(Response),
    /// Something changed, or may have. The next one comes after the reply.
    Update(Delivery, Reply),
    /// A response was refused, wholly or in part, for another reason than before.
    Refused(ResourceType, String),
    /// These did not come in time. They may still come.
    Absent(Vec<ResourceName>),
    /// All that was asked for has come or counts as absent, for the first time.
    Complete,
    /// The connection ended, or there was none. Everything held stays as it is.
    Disconnected {
        /// The server.
        address: Address,
        /// Why, unless the server closed the stream in good order.
        error: Option<Error>,
        /// When the next try is.
        retry: Duration,
    },
}

/// Takes the verdict on an update.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Verdict>);

impl Reply {
    /// Gives the verdict.
    pub fn send(self, verdict: Verdict) {
        // Without a receiver the client has ended, and nobody wants to know.
        let _ = self.0.send(verdict);
    }
}

/// Why a stream ended.
enum End {
    /// The consumer wants no more.
    Consumer,
    /// In good order, or not.
    Stream(Option<Error>),
}

/// Keeps a session with the first control plane that answers, until the consumer closes its channel or drops a [`Reply`].
///
/// `changes` adds to what the verdicts say is wanted by name; the sender may be dropped. Dropping the future ends the
/// client at once. Needs a tokio runtime with I/O and time.
pub async fn run(config: Config, consumer: mpsc::Sender<Message>, changes: mpsc::Receiver<Changes>) {
    let mut client = Client {
        session: Session::new(config.session.clone()),
        start: Instant::now(),
        consumer,
        changes: Some(changes),
        responded: false,
        complete: false,
    };
    let mut backoff = config.backoff.clone();
    // The server that answered last, whose versions the session has.
    let mut known = None;
    let mut next = 0;
    while let Some(server) = config.servers.get(next) {
        client.responded = false;
        let since = Instant::now();
        let end = client
            .talk(&config, server, known.is_none_or(|known| known == next))
            .await;
        client.session.handle(Event::Closed);
        let End::Stream(error) = end else { return };
        let first_limit = config.backoff.clone().next(1.0);
        let retry = if client.responded {
            known = Some(next);
            next = 0;
            backoff.reset();
            // The end of a stream's time is normal. One that ends as soon as it has begun is not.
            let normal = error.is_none() && since.elapsed() >= first_limit;
            if normal {
                Duration::ZERO
            } else {
                backoff.next(fastrand::f64())
            }
        } else if next + 1 < config.servers.len() {
            next += 1;
            Duration::ZERO
        } else {
            next = 0;
            backoff.next(fastrand::f64())
        };
        tracing::info!(
            server = %server.address,
            error = error.as_ref().map(tracing::field::display),
            retry_ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX),
            "stream ended"
        );
        let message = Message::Disconnected {
            address: server.address.clone(),
            error,
            retry,
        };
        if client.consumer.send(message).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(retry) => {}
            () = client.consumer.closed() => return,
        }
    }
}

struct Client {
    session: Session,
    start: Instant,
    consumer: mpsc::Sender<Message>,
    changes: Option<mpsc::Receiver<Changes>>,
    /// Whether this stream brought a response.
    responded: bool,
    complete: bool,
}

impl Client {
    /// One stream, from its beginning to its end.
    async fn talk(&mut self, config: &Config, server: &Server, same_server: bool) -> End {
        let connecting = connect::connect(server, config.patience());
        let connection = tokio::select! {
            connection = connecting => connection,
            () = self.consumer.closed() => return End::Consumer,
        };
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => return End::Stream(Some(error)),
        };
        if self
            .consumer
            .send(Message::Connected(server.address.clone()))
            .await
            .is_err()
        {
            return End::Consumer;
        }
        let (requests, outgoing) = mpsc::unbounded_channel();
        // One response may wait here; the rest waits at the server, until there was a verdict.
        let (incoming, mut responses) = mpsc::channel(1);
        // Ends with the set, that is with this stream.
        let mut tasks = JoinSet::new();
        let variant = (config.session.service, config.session.protocol);
        let tls = server.tls.is_some();
        tasks.spawn(connect::exchange(connection, variant, tls, outgoing, incoming));

        let mut verdict: Option<oneshot::Receiver<Verdict>> = None;
        let mut event = Event::Connected { same_server };
        loop {
            match self.handle(event, &requests).await {
                Ok(None) => {}
                Ok(Some(waiting)) => verdict = Some(waiting),
                Err(()) => return End::Consumer,
            }
            let deadline = self.session.deadline().map(|deadline| self.start + deadline);
            event = tokio::select! {
                () = self.consumer.closed() => return End::Consumer,
                given = answer(&mut verdict) => match given {
                    Some(given) => Event::Verdict(given),
                    None => return End::Consumer,
                },
                changes = change(&mut self.changes) => Event::Subscribe(changes),
                () = until(deadline) => Event::Tick(self.start.elapsed()),
                response = responses.recv(), if verdict.is_none() => {
                    let Some(response) = response else {
                        let end = tasks.join_next().await;
                        return End::Stream(match end {
                            Some(Ok(result)) => result.err(),
                            Some(Err(error)) => Some(Error::Task(error.to_string())),
                            None => None,
                        });
                    };
                    self.responded = true;
                    if config.received {
                        let copy = Message::Received(response.clone());
                        if self.consumer.send(copy).await.is_err() {
                            return End::Consumer;
                        }
                    }
                    Event::Response(response)
                }
            };
        }
    }

    /// Lets the session take an event, and does what it says. Gives the place where a verdict will come.
    async fn handle(
        &mut self,
        event: Event,
        requests: &mpsc::UnboundedSender<Request>,
    ) -> Result<Option<oneshot::Receiver<Verdict>>, ()> {
        let mut waiting = None;
        let mut actions = self.session.handle(Event::Tick(self.start.elapsed()));
        actions.extend(self.session.handle(event));
        for action in actions {
            let message = match action {
                Action::Send(request) => {
                    // Where the stream has broken, its end comes next.
                    let _ = requests.send(request);
                    continue;
                }
                Action::Deliver(delivery) => {
                    tracing::info!(
                        kind = %delivery.kind,
                        version = delivery.version,
                        put = delivery.update.put.len(),
                        removed = delivery.update.removed.len(),
                        rejected = delivery.rejected.len(),
                        kept = delivery.kept.len(),
                        "response"
                    );
                    let (reply, verdict) = oneshot::channel();
                    waiting = Some(verdict);
                    Message::Update(delivery, Reply(reply))
                }
                Action::Refused { kind, message } => Message::Refused(kind, message),
                Action::Absent(names) => Message::Absent(names),
            };
            self.consumer.send(message).await.map_err(drop)?;
        }
        if !self.complete && self.session.is_complete() {
            self.complete = true;
            self.consumer.send(Message::Complete).await.map_err(drop)?;
        }
        Ok(waiting)
    }
}

/// The verdict, once; `None` when the consumer dropped it.
async fn answer(verdict: &mut Option<oneshot::Receiver<Verdict>>) -> Option<Verdict> {
    match verdict {
        Some(waiting) => {
            let given = waiting.await.ok();
            *verdict = None;
            given
        }
        None => std::future::pending().await,
    }
}

async fn change(changes: &mut Option<mpsc::Receiver<Changes>>) -> Changes {
    if let Some(receiver) = changes {
        if let Some(given) = receiver.recv().await {
            return given;
        }
        *changes = None;
    }
    std::future::pending().await
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
