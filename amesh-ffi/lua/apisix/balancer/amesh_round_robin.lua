--- What an upstream of type `amesh_round_robin` names.

return require("amesh.balancer.round_robin")
