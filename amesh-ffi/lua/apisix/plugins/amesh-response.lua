--- What `amesh-response` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.response"), require("amesh.plugin.nginx"))
