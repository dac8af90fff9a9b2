--- What `amesh-retry` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.retry"), require("amesh.plugin.nginx"))
