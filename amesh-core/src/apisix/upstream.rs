//! `/upstreams`: where requests go.

use serde::Serialize;

use super::Id;

/// A group of nodes and how requests are spread over them. No nodes: every request is answered 503.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Upstream {
    /// The id, equal to the last part of the key.
    pub id: Id,
    /// A name for people, 1 to 256 characters: the Envoy cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What Amesh's own plugins know of it: upstreams of APISIX have no other place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<UpstreamLabels>,
    /// How requests are spread.
    #[serde(rename = "type")]
    pub balancer: Balancer,
    /// Settings of Amesh's own balancers, whose form is theirs: upstreams of APISIX have no other place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The protocol spoken to the nodes.
    pub scheme: Scheme,
    /// The Host header that nodes get.
    pub pass_host: PassHost,
    /// The nodes, sorted; those of a ring in Envoy's order, on which it depends.
    pub nodes: Vec<Node>,
    /// Timeouts of one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Further attempts after a failed one; APISIX's default is the number of nodes less one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The pool of idle connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_pool: Option<KeepalivePool>,
    /// Health checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
}

/// What Amesh's own plugins know of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UpstreamLabels {
    /// What may be in flight at a time, as `connections=1,pending=1`: see `amesh/plugin/limit.lua`.
    #[serde(rename = "amesh-limits", skip_serializing_if = "Option::is_none")]
    pub limits: Option<String>,
    /// The same for requests of routes with a high priority.
    #[serde(rename = "amesh-limits-high", skip_serializing_if = "Option::is_none")]
    pub limits_high: Option<String>,
}

/// How requests are spread over nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// Smooth weighted round robin.
    #[serde(rename = "roundrobin")]
    RoundRobin,
    /// Amesh's own: weighted round robin whose new nodes get their share little by little. `key`: the time in milliseconds, the
    /// least part of a weight in hundredths, and the aggression.
    #[serde(rename = "amesh_round_robin")]
    SlowStart,
    /// The node with the fewest requests in flight for its weight.
    LeastConn,
    /// Amesh's own: Envoy's ring of hashes. `key`: the least and the greatest number of places, and the hash function.
    #[serde(rename = "amesh_ring_hash")]
    RingHash,
    /// Amesh's own: Envoy's table of hashes. `key`: its size.
    #[serde(rename = "amesh_maglev")]
    Maglev,
    /// Amesh's own: the one with the fewest requests in flight of some that are drawn, or by weight and requests in flight.
    /// `key`: how many are drawn, how much a request in flight weighs, and maybe what [`Balancer::SlowStart`] has.
    #[serde(rename = "amesh_least_request")]
    LeastRequest,
    /// Amesh's own: the address that the client's redirected connection was meant for, whatever the nodes are. `key`: the port,
    /// if it is another one.
    #[serde(rename = "amesh_original_dst")]
    OriginalDst,
    /// Amesh's own: a node drawn at random.
    #[serde(rename = "amesh_random")]
    Random,
}

/// The protocol spoken to the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS. APISIX does not verify the server's certificate.
    Https,
    /// gRPC over cleartext HTTP/2.
    Grpc,
    /// gRPC over TLS. APISIX does not verify the server's certificate.
    Grpcs,
}

/// The Host header that nodes get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PassHost {
    /// The one the client sent.
    Pass,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Node {
    /// An IP address (IPv6 in brackets) or a domain name.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Its share. A weight of zero still gets requests when all are zero.
    pub weight: u32,
    /// Nodes of a lower priority are tried only after all those of a higher one.
    pub priority: i64,
    /// What Amesh's own balancers know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<NodeMetadata>,
}

/// What Amesh's own balancers know of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NodeMetadata {
    /// What is hashed in place of its address.
    pub hash_key: String,
}

/// Timeouts in seconds, each above zero. `send` and `read` are idle times between two operations, not totals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Timeout {
    /// To establish a connection.
    pub connect: f64,
    /// Between two writes.
    pub send: f64,
    /// Between two reads.
    pub read: f64,
}

/// The pool of idle connections, per worker.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KeepalivePool {
    /// Idle connections kept.
    pub size: u32,
    /// Seconds until an idle one is closed.
    pub idle_timeout: f64,
    /// Requests after which a connection is closed.
    pub requests: u32,
}

/// Health checks. APISIX runs passive ones only beside active ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checks {
    /// Probes.
    pub active: ActiveCheck,
    /// Watching what requests get.
    pub passive: PassiveCheck,
}

/// Probes that bring a node back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActiveCheck {
    /// `tcp`: a connection is enough.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When a node counts as healthy again.
    pub healthy: ActiveHealthy,
    /// How unhealthy nodes are probed.
    pub unhealthy: ActiveUnhealthy,
}

/// When probes make a node healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveHealthy {
    /// Seconds between probes of healthy nodes, at least 1.
    pub interval: u32,
    /// Successes in a row that make a node healthy.
    pub successes: u32,
}

/// When probes make a node unhealthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveUnhealthy {
    /// Seconds between probes of unhealthy nodes, at least 1.
    pub interval: u32,
    /// Failed connections in a row, at most 254.
    pub tcp_failures: u32,
    /// Timeouts in a row, at most 254.
    pub timeouts: u32,
}

/// What requests tell about a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassiveCheck {
    /// `http`
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What makes a node healthy.
    pub healthy: PassiveHealthy,
    /// What makes a node unhealthy.
    pub unhealthy: PassiveUnhealthy,
}

/// Answers that clear a node's failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassiveHealthy {
    /// The statuses.
    pub http_statuses: &'static [u16],
    /// How many in a row; 0 never.
    pub successes: u32,
}

/// Answers that make a node unhealthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassiveUnhealthy {
    /// The statuses.
    pub http_statuses: &'static [u16],
    /// How many in a row, at most 254; 0 never.
    pub http_failures: u32,
    /// Failed connections in a row, at most 254; 0 never.
    pub tcp_failures: u32,
    /// Timeouts in a row, at most 254; 0 never.
    pub timeouts: u32,
}
