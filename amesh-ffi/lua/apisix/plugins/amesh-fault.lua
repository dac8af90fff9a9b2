--- What `amesh-fault` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.fault"), require("amesh.plugin.nginx"))
