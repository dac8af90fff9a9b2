//! Envoy's answer is kept for every request: the same virtual host, the same first match, the same cluster.
//!
//! Two small models stand here, one of Envoy's matcher and one of APISIX's, which know nothing of the translator and
//! nothing of each other. Random tables are translated, random requests are asked of both, and they must agree.
//! The models themselves are compared with a real Envoy and a real APISIX where the environment says where those are:
//! `AMESH_ENVOY`, the path of Envoy's binary, and `AMESH_APISIX_HOME`, a folder with an APISIX.

mod generate;
mod model;
mod real;
mod translated;

mod against_apisix;
mod against_envoy;
mod agreement;
mod end_to_end;
mod passthrough;
