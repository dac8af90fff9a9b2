--- What an upstream of type `amesh_original_dst` names.

return require("amesh.balancer.original_dst")
