//! amesh
fn main() {}
