--- What an upstream of type `amesh_random` names.

return require("amesh.balancer.random")
