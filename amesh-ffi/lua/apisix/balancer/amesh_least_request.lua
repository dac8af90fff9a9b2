--- What an upstream of type `amesh_least_request` names.

return require("amesh.balancer.least_request")
