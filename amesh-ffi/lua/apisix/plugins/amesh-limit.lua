--- What `amesh-limit` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.limit"), require("amesh.plugin.nginx"))
