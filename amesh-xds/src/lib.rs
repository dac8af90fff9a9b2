//! The xDS client that will feed `amesh-core` from a live control plane. Nothing is here yet.
