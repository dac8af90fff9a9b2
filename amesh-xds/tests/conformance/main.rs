//! The rules of xDS and the habits of istiod, one test each; `table` prints which test shows which rule.

mod failure;
mod istiod;
mod model;
mod order;
mod stream;
mod subscription;
mod support;
mod table;
mod validation;
