//! Envoy's messages by field number: just enough to walk wire bytes.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

use crate::descriptor;

/// Every message of the descriptors. Built once, in a few milliseconds.
pub(super) struct Schema {
    messages: Vec<Message>,
    enums: Vec<Box<[i32]>>,
    by_name: HashMap<String, usize>,
}

/// A message: its fields by number.
#[derive(Default)]
pub(super) struct Message(Box<[Field]>);

/// A field.
pub(super) struct Field {
    number: u32,
    pub(super) name: Box<str>,
    pub(super) repeated: bool,
    pub(super) holds: Holds,
}

/// What the value of a field is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// A number, text or bytes: nothing can be unknown in it.
    Scalar,
    /// An enum, by its index.
    Enum(usize),
    /// A message, by its index.
    Message(usize),
    /// An entry of a map, by the index of the message that stands for it.
    MapEntry(usize),
    /// A `google.protobuf.Any`.
    Any,
    /// A `google.protobuf.Struct` or a part of one: free JSON.
    Json,
}

/// The schema of the descriptors in this crate.
pub(super) fn schema() -> &'static Schema {
    // The bytes are part of this crate, and a test decodes them: an empty schema cannot be met.
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| Schema::new(&FileDescriptorSet::decode(descriptor::BYTES).unwrap_or_default()));
    &SCHEMA
}

impl Schema {
    fn new(set: &FileDescriptorSet) -> Self {
        let mut names = Names::default();
        for file in &set.file {
            names.messages(file.package(), &file.message_type);
            names.enums(file.package(), &file.enum_type);
        }
        let messages = names
            .messages
            .iter()
            .map(|message| {
                let mut fields: Vec<Field> = message.field.iter().map(|field| names.field(field)).collect();
                fields.sort_by_key(|field| field.number);
                Message(fields.into())
            })
            .collect();
        let enums = names
            .enums
            .iter()
            .map(|values| {
                let mut numbers: Vec<i32> = values
                    .value
                    .iter()
                    .map(prost_types::EnumValueDescriptorProto::number)
                    .collect();
                numbers.sort_unstable();
                numbers.dedup();
                numbers.into()
            })
            .collect();
        Self {
            messages,
            enums,
            by_name: names.message_by_name,
        }
    }

    /// The message of that full name.
    pub(super) fn by_name(&self, name: &str) -> Option<&Message> {
        self.message(*self.by_name.get(name)?)
    }

    pub(super) fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    /// Whether the enum has that value.
    pub(super) fn has_value(&self, index: usize, value: i32) -> bool {
        self.enums.get(index).is_some_and(|values| {
            // Most enums count from 0 without a gap.
            let direct = usize::try_from(value).ok().and_then(|position| values.get(position));
            direct == Some(&value) || values.binary_search(&value).is_ok()
        })
    }
}

impl Message {
    /// The field of that number.
    #[inline]
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        // Most messages count from 1 with few gaps.
        let guess = usize::try_from(number).ok()?.checked_sub(1)?;
        if let Some(field) = self.0.get(guess).filter(|field| field.number == number) {
            return Some(field);
        }
        let position = self.0.binary_search_by_key(&number, |field| field.number).ok()?;
        self.0.get(position)
    }
}

/// Messages and enums by full name, while the schema is built.
#[derive(Default)]
struct Names<'d> {
    messages: Vec<&'d DescriptorProto>,
    enums: Vec<&'d EnumDescriptorProto>,
    message_by_name: HashMap<String, usize>,
    enum_by_name: HashMap<String, usize>,
}

impl<'d> Names<'d> {
    fn messages(&mut self, scope: &str, messages: &'d [DescriptorProto]) {
        for message in messages {
            let name = format!("{scope}.{}", message.name());
            self.messages(&name, &message.nested_type);
            self.enums(&name, &message.enum_type);
            self.message_by_name.insert(name, self.messages.len());
            self.messages.push(message);
        }
    }

    fn enums(&mut self, scope: &str, enums: &'d [EnumDescriptorProto]) {
        for values in enums {
            self.enum_by_name
                .insert(format!("{scope}.{}", values.name()), self.enums.len());
            self.enums.push(values);
        }
    }

    fn field(&self, field: &prost_types::FieldDescriptorProto) -> Field {
        let type_name = field.type_name().trim_start_matches('.');
        let holds = match field.r#type() {
            Type::Enum => self.enum_by_name.get(type_name).map(|index| Holds::Enum(*index)),
            Type::Message => match type_name {
                "google.protobuf.Any" => Some(Holds::Any),
                "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue" => Some(Holds::Json),
                _ => self.message_by_name.get(type_name).map(|index| {
                    let options = self.messages.get(*index).and_then(|message| message.options.as_ref());
                    if options.is_some_and(prost_types::MessageOptions::map_entry) {
                        Holds::MapEntry(*index)
                    } else {
                        Holds::Message(*index)
                    }
                }),
            },
            _ => None,
        };
        Field {
            number: u32::try_from(field.number()).unwrap_or_default(),
            name: field.name().into(),
            repeated: field.label() == Label::Repeated,
            holds: holds.unwrap_or(Holds::Scalar),
        }
    }
}
