//! Resources to write: those of every fixture and recording, as they would come over the wire.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use amesh_core::dump::{self, Captured};
use amesh_core::envoy_types::pb::envoy::config::core::v3::Node;
use amesh_core::envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use amesh_core::envoy_types::pb::google::protobuf::Any;
use prost::Message as _;

/// A set of resources.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) node: Option<Node>,
    pub(crate) resources: Vec<Captured>,
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// Every fixture of a feature, every recording, and Istio's own dumps where `AMESH_ISTIO_DUMPS` names their folder.
pub(crate) fn all() -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![fixtures()];
    folders.extend(std::env::var_os("AMESH_ISTIO_DUMPS").map(PathBuf::from));
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !["config", "istiod"].iter().any(|name| path.ends_with(name)) || path.ends_with("scenario/istiod") {
                    folders.push(path);
                }
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut sources: Vec<Source> = files.iter().filter_map(|path| recorded(path)).collect();
    sources.extend(responses());
    assert!(sources.len() > 200, "{} sources", sources.len());
    sources
}

/// What is in a document.
fn recorded(path: &Path) -> Option<Source> {
    let name = path.to_string_lossy().into_owned();
    let bytes = std::fs::read(path).unwrap();
    let bytes = match path.extension()?.to_str()? {
        "json" => bytes,
        "yaml" if name.ends_with(".in.yaml") => bytes,
        "gz" => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice())
                .read_to_end(&mut plain)
                .unwrap();
            plain
        }
        _ => return None,
    };
    let dump = dump::read(&bytes).ok()?;
    let resources = dump.resources.iter().enumerate().map(|(index, resource)| Captured {
        resource: Any {
            type_url: format!("type.googleapis.com/{}", resource.body.kind().message()),
            value: resource.body.encode(),
        },
        version: index.to_string(),
    });
    Some(Source {
        name,
        resources: resources.collect(),
        node: dump.node,
    })
}

/// The responses of a real istiod, in both protocols. What was sent twice is there twice.
pub(crate) fn responses() -> [Source; 2] {
    let folder = fixtures().join("scenario/istiod/01-bookinfo-default");
    let mut sotw = Vec::new();
    let bytes = std::fs::read(folder.join("responses-sotw.pb")).unwrap();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let response = DiscoveryResponse::decode_length_delimited(&mut rest).unwrap();
        sotw.extend(response.resources.into_iter().map(|resource| Captured {
            resource,
            version: response.version_info.clone(),
        }));
    }
    let mut delta = Vec::new();
    let bytes = std::fs::read(folder.join("responses-delta.pb")).unwrap();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let response = DeltaDiscoveryResponse::decode_length_delimited(&mut rest).unwrap();
        delta.extend(response.resources.into_iter().map(|resource| Captured {
            resource: resource.resource.unwrap(),
            version: resource.version,
        }));
    }
    [("responses-sotw.pb", sotw), ("responses-delta.pb", delta)].map(|(name, resources)| Source {
        name: name.to_owned(),
        node: None,
        resources,
    })
}
