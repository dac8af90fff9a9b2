--- What `amesh-answer` in the list `plugins` of APISIX's config.yaml names.

return require("amesh.plugin").of(require("amesh.plugin.answer"), require("amesh.plugin.nginx"))
