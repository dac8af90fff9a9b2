--- What `amesh-mirror` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.mirror"), require("amesh.plugin.nginx"))
