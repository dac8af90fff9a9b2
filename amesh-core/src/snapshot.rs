//! Resources by type and name, who refers to whom, and what a change makes stale.
