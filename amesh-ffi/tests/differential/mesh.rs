//! What a real istiod sends to a proxy that was recorded.

use std::path::Path;
use std::time::Duration;

use amesh_core::{Resource, ResourceType, dump};
use amesh_xds::Replica;
use amesh_xds::server::Server;
use amesh_xds::session::Options;
use amesh_xds::stream::{Config, Message, run};
use tokio::sync::mpsc;

use crate::istiod::{Istiod, scenario};

/// Starts istiod on the scenario's YAML, asks as the proxy of that recording asks, and takes all that comes.
pub(crate) fn collect(harness: &Path, name: &str, recording: &str) -> Vec<Resource> {
    let folder = scenario(name);
    let file = std::fs::read(folder.join(recording)).expect("a recording");
    let mut options = Options::default();
    options.node = dump::read(&file).expect("a dump").node.expect("a node");
    let istiod = Istiod::start(harness, &folder.join("config"), &["--log", "error"]);
    let server = Server::new(istiod.plaintext().parse().expect("an address"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async move {
        let (sender, mut messages) = mpsc::channel(4);
        let (_changes, receiver) = mpsc::channel(1);
        tokio::spawn(run(Config::new(vec![server], options), sender, receiver));
        let mut replica = Replica::with_sds(["sds-grpc"]);
        let whole = async {
            loop {
                match messages.recv().await.expect("the client runs") {
                    Message::Update(delivery, reply) => {
                        assert_eq!(delivery.rejected, [], "istiod's own resources are good");
                        let (_, verdict) = replica.apply(delivery.update);
                        reply.send(verdict);
                    }
                    Message::Complete => break,
                    Message::Disconnected { error, .. } => panic!("{error:?}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), whole)
            .await
            .expect("in time");
        let kinds = ResourceType::ALL.into_iter();
        kinds
            .flat_map(|kind| replica.snapshot().resources(kind).cloned())
            .collect()
    })
}
