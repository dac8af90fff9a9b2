//! Messages by their descriptors: which fields are set, and what they are without one of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use amesh_core::{Rejected, Resource, decode};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(include_bytes!("../../data/envoy.binpb").as_slice()).unwrap());

pub(crate) fn pool() -> &'static DescriptorPool {
    &POOL
}

/// A resource as a message with a descriptor.
pub(crate) fn message(resource: &Resource) -> DynamicMessage {
    let bytes = resource.body.encode();
    let descriptor = POOL.get_message_by_name(resource.body.kind().message()).unwrap();
    DynamicMessage::decode(descriptor, bytes.as_slice()).unwrap()
}

/// The resource that a message stands for.
pub(crate) fn resource(message: &DynamicMessage) -> Result<Resource, Rejected> {
    decode(message.descriptor().full_name(), &message.encode_to_vec())
}

/// The message in an `Any`, when its type is known.
pub(crate) fn inside(any: &DynamicMessage) -> Option<DynamicMessage> {
    let url = any.get_field_by_name("type_url")?.as_str()?.to_owned();
    let bytes = any.get_field_by_name("value")?.as_bytes()?.clone();
    let descriptor = POOL.get_message_by_name(url.rsplit('/').next()?)?;
    DynamicMessage::decode(descriptor, bytes).ok()
}

pub(crate) fn is_any(message: &DynamicMessage) -> bool {
    message.descriptor().full_name() == "google.protobuf.Any"
}

/// A field, by the names of its message and itself.
pub(crate) type Field = (String, String);

pub(crate) fn named(field: &FieldDescriptor) -> Field {
    (field.parent_message().full_name().to_owned(), field.name().to_owned())
}

/// Goes into every message that `enter` does not refuse, and notes every field that is set.
pub(crate) fn used(
    message: &DynamicMessage,
    enter: &dyn Fn(&Field, &DynamicMessage) -> bool,
    seen: &mut BTreeSet<Field>,
) {
    for (field, value) in message.fields() {
        let name = named(&field);
        for below in messages_in(value) {
            if enter(&name, below) {
                match is_any(below).then(|| inside(below)) {
                    Some(Some(inner)) => used(&inner, enter, seen),
                    Some(None) => {}
                    None => used(below, enter, seen),
                }
            }
        }
        seen.insert(name);
    }
}

fn messages_in(value: &Value) -> Vec<&DynamicMessage> {
    match value {
        Value::Message(message) => vec![message],
        Value::List(list) => list.iter().filter_map(Value::as_message).collect(),
        Value::Map(map) => map.values().filter_map(Value::as_message).collect(),
        _ => Vec::new(),
    }
}

/// A message in other forms that differ in one field.
pub(crate) struct Ablation {
    pub(crate) field: Field,
    /// The message without the field.
    pub(crate) without: DynamicMessage,
    /// The message with another text in the field, where it holds one.
    pub(crate) replaced: Option<DynamicMessage>,
}

impl Ablation {
    fn map(self, wrap: impl Fn(DynamicMessage) -> DynamicMessage) -> Self {
        Self {
            field: self.field,
            without: wrap(self.without),
            replaced: self.replaced.map(wrap),
        }
    }
}

/// The message without one field, once for every field set in it or in a message that `enter` does not refuse.
pub(crate) fn ablations(message: &DynamicMessage, enter: &dyn Fn(&Field, &DynamicMessage) -> bool) -> Vec<Ablation> {
    let mut all = Vec::new();
    for (field, value) in message.fields() {
        let name = named(&field);
        let mut without = message.clone();
        without.clear_field(&field);
        let replaced = value.as_str().map(|text| {
            let mut other = message.clone();
            other.set_field(&field, Value::String(format!("{text}-other")));
            other
        });
        all.push(Ablation {
            field: name.clone(),
            without,
            replaced,
        });
        let mut replace = |below: &DynamicMessage, put: &dyn Fn(&mut Value, DynamicMessage)| {
            if enter(&name, below) {
                all.extend(below_ablations(below, enter).into_iter().map(|ablation| {
                    ablation.map(|changed| {
                        let mut whole = message.clone();
                        put(whole.get_field_mut(&field), changed);
                        whole
                    })
                }));
            }
        };
        match value {
            Value::Message(below) => replace(below, &|slot, changed| *slot = Value::Message(changed)),
            Value::List(list) => {
                for (index, item) in list.iter().enumerate() {
                    if let Value::Message(below) = item {
                        replace(below, &|slot, changed| {
                            slot.as_list_mut().unwrap()[index] = Value::Message(changed);
                        });
                    }
                }
            }
            Value::Map(map) => {
                let keys: BTreeSet<&MapKey> = map.keys().collect();
                for key in keys {
                    if let Value::Message(below) = &map[key] {
                        replace(below, &|slot, changed| {
                            slot.as_map_mut().unwrap().insert(key.clone(), Value::Message(changed));
                        });
                    }
                }
            }
            _ => {}
        }
    }
    all
}

fn below_ablations(message: &DynamicMessage, enter: &dyn Fn(&Field, &DynamicMessage) -> bool) -> Vec<Ablation> {
    if !is_any(message) {
        return ablations(message, enter);
    }
    let Some(inner) = inside(message) else {
        return Vec::new();
    };
    let wrap = |changed: DynamicMessage| {
        let mut any = message.clone();
        any.set_field_by_name("value", Value::Bytes(changed.encode_to_vec().into()));
        any
    };
    ablations(&inner, enter)
        .into_iter()
        .map(|ablation| ablation.map(wrap))
        .collect()
}

/// The message that a field holds, if it holds one.
pub(crate) fn holds(field: &FieldDescriptor) -> Option<prost_reflect::MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if message.is_map_entry() => holds(&message.map_entry_value_field()),
        Kind::Message(message) => Some(message),
        _ => None,
    }
}
