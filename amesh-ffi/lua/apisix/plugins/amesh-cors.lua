--- What `amesh-cors` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.cors"), require("amesh.plugin.nginx"))
