//! Clusters become upstreams.
