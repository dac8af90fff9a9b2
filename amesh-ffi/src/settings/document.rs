//! `docs/settings.md`, printed from the table.

use std::fmt::Write as _;

use super::SETTINGS;

/// The page about settings.
#[must_use]
pub fn document() -> String {
    let mut page = String::from(
        "<!-- Printed from amesh-ffi/src/settings/table.rs: UPDATE=1 cargo test -p amesh-ffi --test settings -->\n\
         # Settings of the library\n\n\
         What `libxds.so` can be told. With Amesh's Lua package settings stand in APISIX's `config.yaml`, under \
         `plugin_attr.amesh`. What does not stand there, and everything for a stock `config_xds`, comes from environment \
         variables; nginx shows the library only those that `nginx_config.envs` names.\n\n\
         A setting that does not exist, or has a value that it cannot have, is an error, and the library does not start.\n\n\
         | setting | value | where it is not set | variable | meaning |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let variables: Vec<String> = setting.variables.iter().map(|name| format!("`{name}`")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            setting.name,
            setting.form.words(),
            setting.default,
            variables.join(", "),
            setting.summary
        );
    }
    page.push_str(
        "\nIn a variable the items of a list, and `name=value` pairs, have commas between them.\n\n\
         Of two variables the first that is set counts. `ISTIO_XDS_SOURCE` is that of the Amesh written in Go, and may begin with \
         `grpc://`; `GRPC_XDS_BOOTSTRAP` is gRPC's own. The other variables of that Amesh (`AMESH_GRPC_SOURCE`, \
         `AMESH_SYNC_INTERVAL`, `STATUS_SERVER_PORT`, `METRICS_SERVER_PORT`, `APISIX_METRICS_URL`) mean nothing here: there is no \
         controller, nothing is polled, and status and metrics are APISIX's to serve.\n",
    );
    page
}
