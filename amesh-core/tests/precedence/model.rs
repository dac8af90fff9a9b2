//! What Envoy answers and what APISIX answers, each as small as it can be said, and neither knowing of the translator.

pub(crate) mod answer;
pub(crate) mod apisix;
pub(crate) mod envoy;
pub(crate) mod expr;
pub(crate) mod nginx;
pub(crate) mod request;
