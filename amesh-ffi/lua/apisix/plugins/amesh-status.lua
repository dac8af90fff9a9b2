--- What `amesh-status` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.status").plugin()
