--- What an upstream of type `amesh_ring_hash` names.

return require("amesh.balancer.hashing").of(require("amesh.balancer.ring_hash"))
