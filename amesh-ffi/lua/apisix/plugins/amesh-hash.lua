--- What `amesh-hash` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.hash"), require("amesh.plugin.nginx"))
