//! What people give instead of a dump, by name, and what to give instead of it.

use super::outline::{Members, is};
use super::{Error, GIVE};

/// A kind of document that holds no configuration of a proxy.
struct Foreign {
    /// It is meant when one of these sets of keys is there.
    keys: &'static [&'static [&'static str]],
    found: &'static str,
    instead: &'static str,
}

const ENVOY_ADMIN: &str = "take `/config_dump?include_eds` from the same port";

/// Documents that are an object, or a list of such objects. The first that fits is named.
static DOCUMENTS: &[Foreign] = &[
    Foreign {
        keys: &[&["api_version", "kind"]],
        found: "a Kubernetes or Istio object",
        instead: "Amesh reads what istiod makes of such objects: take `istioctl proxy-config all POD -o json`",
    },
    Foreign {
        keys: &[&["xds_servers"]],
        found: "a gRPC xDS bootstrap",
        instead: "it only says where the configuration comes from: take `istioctl proxy-config all POD -o json`",
    },
    Foreign {
        keys: &[&["workloads"], &["workload_state"]],
        found: "ztunnel's configuration",
        instead: "ztunnel is not configured with Envoy's resources; give the dump of a sidecar, gateway or waypoint",
    },
    Foreign {
        keys: &[&["host_statuses"], &["cluster_statuses"], &["added_via_api"]],
        found: "the state of clusters (`istioctl proxy-config endpoint` or Envoy's `/clusters`)",
        instead: "it lists hosts and counters, not configuration: take `istioctl proxy-config all POD -o json`",
    },
    Foreign {
        keys: &[&["generic_xds_configs"], &["xds_config"], &["config_status"]],
        found: "the synchronisation status of proxies (`istioctl proxy-status`)",
        instead: "take `istioctl proxy-config all POD -o json`",
    },
    Foreign {
        keys: &[
            &["proxy", "cluster_sent"],
            &["proxy", "istio_version"],
            &["proxy", "cluster_id"],
        ],
        found: "the synchronisation status that istiod keeps (`/debug/syncz`)",
        instead: "take `/debug/config_dump?proxyID=ID` from the same port",
    },
    Foreign {
        keys: &[&["listener_statuses"]],
        found: "Envoy's `/listeners`",
        instead: ENVOY_ADMIN,
    },
    Foreign {
        keys: &[&["certificates"]],
        found: "Envoy's `/certs`",
        instead: ENVOY_ADMIN,
    },
    Foreign {
        keys: &[&["command_line_options"]],
        found: "Envoy's `/server_info`",
        instead: ENVOY_ADMIN,
    },
    Foreign {
        keys: &[&["stats"]],
        found: "Envoy's `/stats`",
        instead: ENVOY_ADMIN,
    },
    Foreign {
        keys: &[&["domains", "routes"], &["match", "route"], &["match", "redirect"]],
        found: "a part of a route configuration",
        instead: "give the whole RouteConfiguration",
    },
    Foreign {
        keys: &[
            &["routes"],
            &["upstreams"],
            &["stream_routes"],
            &["ssls"],
            &["global_rules"],
            &["plugin_metadata"],
            &["plugin_configs"],
            &["list", "total"],
        ],
        found: "APISIX's configuration",
        instead: "that is what Amesh writes; give what Istio sent to the proxy",
    },
    Foreign {
        keys: &[&["apisix", "deployment"], &["apisix"], &["deployment"]],
        found: "the configuration file of APISIX",
        instead: "give what Istio sent to the proxy",
    },
];

/// A document that is recognised by its first bytes.
pub(super) fn bytes(input: &[u8]) -> Option<Error> {
    let found = match input {
        [] => return Some(Error::Empty),
        [0x1f, 0x8b, ..] => "gzip-compressed data",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd-compressed data",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return Some(Error::NotADump {
                found: "UTF-16 text".to_owned(),
                instead: "save it as UTF-8",
            });
        }
        _ => return None,
    };
    Some(Error::NotADump {
        found: found.to_owned(),
        instead: "unpack it first",
    })
}

/// Binary data: what is meant by bytes that are no text.
pub(super) fn binary(input: &[u8]) -> Option<Error> {
    let start = input.get(..512).unwrap_or(input);
    start
        .iter()
        .any(|byte| *byte < b' ' && !byte.is_ascii_whitespace())
        .then(|| Error::NotADump {
            found: "binary data (a raw protobuf message?)".to_owned(),
            instead: GIVE,
        })
}

/// A document that is recognised by how its text begins. The text has no space in front.
pub(super) fn text(text: &str) -> Option<Error> {
    if let Some(error) = binary(text.as_bytes()) {
        return Some(error);
    }
    let found = if text.starts_with('<') {
        "an HTML or XML page"
    } else if text.starts_with("syntax = \"proto") || text.starts_with("configs {") {
        "protobuf text"
    } else {
        return None;
    };
    Some(Error::NotADump {
        found: found.to_owned(),
        instead: GIVE,
    })
}

/// A document that is recognised by the keys of an object, in either spelling.
pub(super) fn keys(keys: &mut dyn Iterator<Item = &str>) -> Option<Error> {
    let keys: Vec<&str> = keys.collect();
    let has = |name: &&str| keys.iter().any(|key| is(key, name));
    let foreign = DOCUMENTS
        .iter()
        .find(|document| document.keys.iter().any(|set| set.iter().all(has)))?;
    Some(Error::NotADump {
        found: foreign.found.to_owned(),
        instead: foreign.instead,
    })
}

/// A document that is recognised by the members of its outermost object, or of the first object of its list.
pub(super) fn members(members: &Members<'_>) -> Option<Error> {
    keys(&mut members.iter().map(|(key, _)| key))
}
