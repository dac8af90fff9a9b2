//! `data/envoy.binpb` is what envoy-types ships, stripped, plus our own `.proto` texts; `data/sensitive.txt` is what
//! the stripping loses and is needed. `UPDATE=1` writes both anew.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, which the library must not"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueOptions, FieldDescriptorProto, FieldOptions,
    FileDescriptorProto, FileDescriptorSet, MessageOptions,
};
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, IncludeFileResolver};

#[test]
fn the_committed_descriptors_are_those_of_envoy_types() {
    let made = descriptors();
    let committed = data().join("envoy.binpb");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&committed, &made).unwrap();
    }
    assert!(
        std::fs::read(&committed).unwrap_or_default() == made,
        "{} differs from what envoy-types ships; run `UPDATE=1 cargo test -p amesh-core --test descriptors`",
        committed.display(),
    );
}

/// The fields that Envoy's API marks as sensitive, which the descriptors have lost with all options.
#[test]
fn the_committed_list_of_sensitive_fields_is_that_of_envoy_types() {
    let shipped = std::fs::read(envoy_types().join("src/generated/types.bin")).unwrap();
    let pool = DescriptorPool::decode(shipped.as_slice()).unwrap();
    let mark = pool.get_extension_by_name("udpa.annotations.sensitive").unwrap();
    let mut made = String::new();
    let mut fields: Vec<String> = pool
        .all_messages()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .filter(|field| field.options().get_extension(&mark).as_bool() == Some(true))
        .map(|field| field.full_name().to_owned())
        .collect();
    fields.sort();
    for field in &fields {
        made.push_str(field);
        made.push('\n');
    }
    assert!(fields.len() > 20, "{made}");
    let committed = data().join("sensitive.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&committed, &made).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&committed).unwrap_or_default(),
        made,
        "run `UPDATE=1 cargo test -p amesh-core --test descriptors`",
    );
}

#[test]
fn prost_reflect_takes_them_and_finds_what_envoy_types_lacks() {
    let pool = DescriptorPool::decode(descriptors().as_slice()).unwrap();
    for name in [
        "envoy.config.listener.v3.Listener",
        "envoy.admin.v3.ConfigDump",
        "xds.type.v3.TypedStruct",
        "udpa.type.v1.TypedStruct",
        "xds.type.matcher.v3.IPMatcher",
        "stats.PluginConfig",
        "amesh.v1.RawJson",
        "amesh.v1.RawAny",
    ] {
        assert!(pool.get_message_by_name(name).is_some(), "{name}");
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// The bytes that the committed file must hold.
fn descriptors() -> Vec<u8> {
    let shipped = std::fs::read(envoy_types().join("src/generated/types.bin")).unwrap();
    let mut set = FileDescriptorSet::decode(shipped.as_slice()).unwrap();
    set.file.retain(|file| !only_options(file.name()));
    set.file.iter_mut().for_each(strip);

    let mut resolver = ChainFileResolver::new();
    resolver.add(IncludeFileResolver::new(data().join("proto")));
    resolver.add(DescriptorSetFileResolver::new(set.clone()));
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(false);
    let mut ours: Vec<PathBuf> = std::fs::read_dir(data().join("proto"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    ours.sort();
    for path in ours {
        compiler.open_file(path.file_name().unwrap()).unwrap();
    }
    let shipped: BTreeSet<String> = set.file.iter().map(|file| file.name().to_owned()).collect();
    for mut file in compiler.file_descriptor_set().file {
        assert!(
            !shipped.contains(file.name()),
            "envoy-types now has {} itself",
            file.name()
        );
        strip(&mut file);
        set.file.push(file);
    }
    set.encode_to_vec()
}

/// The folder of the envoy-types package that this workspace is built with.
fn envoy_types() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let package = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == "envoy-types")
        .unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().to_owned()
}

/// Files that only define options of other files, which are all stripped.
fn only_options(name: &str) -> bool {
    name == "google/protobuf/descriptor.proto"
        || [
            "validate/",
            "udpa/annotations/",
            "envoy/annotations/",
            "xds/annotations/",
            "google/api/annotations",
        ]
        .iter()
        .any(|folder| name.starts_with(folder))
}

fn strip(file: &mut FileDescriptorProto) {
    file.source_code_info = None;
    file.options = None;
    file.service.clear();
    file.extension.clear();
    assert!(file.weak_dependency.is_empty());
    let public: Vec<String> = file
        .public_dependency
        .iter()
        .map(|index| file.dependency[usize::try_from(*index).unwrap()].clone())
        .collect();
    file.dependency.retain(|name| !only_options(name));
    file.public_dependency = (0i32..)
        .zip(&file.dependency)
        .filter(|(_, name)| public.contains(name))
        .map(|(index, _)| index)
        .collect();
    file.message_type.iter_mut().for_each(strip_message);
    file.enum_type.iter_mut().for_each(strip_enum);
}

/// What stays: `map_entry` and `packed`, which say how bytes are read, `allow_alias`, without which the descriptors are
/// refused, and `deprecated`.
fn strip_message(message: &mut DescriptorProto) {
    message.extension.clear();
    message.options = message.options.take().and_then(|options| {
        let kept = MessageOptions {
            map_entry: options.map_entry,
            deprecated: options.deprecated,
            ..MessageOptions::default()
        };
        (kept != MessageOptions::default()).then_some(kept)
    });
    for oneof in &mut message.oneof_decl {
        oneof.options = None;
    }
    message.extension_range.clear();
    message.field.iter_mut().for_each(strip_field);
    message.nested_type.iter_mut().for_each(strip_message);
    message.enum_type.iter_mut().for_each(strip_enum);
}

fn strip_field(field: &mut FieldDescriptorProto) {
    field.options = field.options.take().and_then(|options| {
        let kept = FieldOptions {
            packed: options.packed,
            deprecated: options.deprecated,
            ..FieldOptions::default()
        };
        (kept != FieldOptions::default()).then_some(kept)
    });
}

fn strip_enum(enumeration: &mut EnumDescriptorProto) {
    enumeration.options = enumeration.options.take().and_then(|options| {
        let kept = EnumOptions {
            allow_alias: options.allow_alias,
            deprecated: options.deprecated,
            ..EnumOptions::default()
        };
        (kept != EnumOptions::default()).then_some(kept)
    });
    for value in &mut enumeration.value {
        value.options = value.options.take().and_then(|options| {
            let kept = EnumValueOptions {
                deprecated: options.deprecated,
                ..EnumValueOptions::default()
            };
            (kept != EnumValueOptions::default()).then_some(kept)
        });
    }
}
