--- What an upstream of type `amesh_maglev` names.

return require("amesh.balancer.hashing").of(require("amesh.balancer.maglev"))
