--- What `amesh-forward` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.forward"), require("amesh.plugin.nginx"))
