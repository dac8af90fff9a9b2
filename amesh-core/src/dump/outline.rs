//! JSON one level deep: the members of an object, the items of a list, each as the text it stands for.
//!
//! A dump is a few levels of wrapping around many resources. Taking it apart by slices of its own text lets each
//! resource be decoded and forgotten before the next, so that memory follows the resources and not the document.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a piece of JSON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    List,
    Null,
    Other,
}

/// What that piece of valid JSON is.
pub(super) fn kind(json: &RawValue) -> Kind {
    match json.get().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::List,
        Some(b'n') => Kind::Null,
        _ => Kind::Other,
    }
}

/// The members of an object, in their order.
#[derive(Debug, Default)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// The members of that object, or what is wrong: it is none, or a key is no text.
    pub(super) fn of(json: &'a RawValue) -> Result<Self, String> {
        if kind(json) != Kind::Object {
            return Err("expected an object".to_owned());
        }
        serde_json::from_str(json.get()).map_err(|error| super::without_place(&error))
    }

    /// The member of that protobuf name, in either spelling, with the spelling of the document. Null counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<(&str, &'a RawValue)> {
        self.iter()
            .find(|(key, value)| kind(value) != Kind::Null && is(key, name))
    }

    /// The text of a member that is a string.
    pub(super) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = self.get(name)?;
        serde_json::from_str::<Key<'a>>(value.get()).ok().map(|key| key.0)
    }

    /// Whether there is such a member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The items of a list; none when it is something else.
pub(super) fn items(json: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(json.get()).unwrap_or_default()
}

/// Whether a key of a document spells that protobuf name, as `dynamic_listeners` or as `dynamicListeners`.
pub(super) fn is(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut key = key.bytes();
    let mut name = name.bytes();
    loop {
        match name.next() {
            None => return key.next().is_none(),
            Some(b'_') => {
                let upper = name.next().map(|letter| letter.to_ascii_uppercase());
                if key.next() != upper {
                    return false;
                }
            }
            letter if key.next() == letter => {}
            _ => return false,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(4);
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key.0, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_either_spelling() {
        assert!(is("dynamic_active_clusters", "dynamic_active_clusters"));
        assert!(is("dynamicActiveClusters", "dynamic_active_clusters"));
        assert!(!is("dynamicActiveCluster", "dynamic_active_clusters"));
        assert!(!is("dynamicActiveClustersX", "dynamic_active_clusters"));
        assert!(!is("dynamicactiveclusters", "dynamic_active_clusters"));
    }

    #[test]
    fn an_object_is_taken_apart_one_level_deep() {
        let json: &RawValue = serde_json::from_str(r#"{"a": {"b": [1]}, "cD": "x\n", "e": null}"#).unwrap();
        let members = Members::of(json).unwrap();
        assert_eq!(members.get("a").unwrap().1.get(), r#"{"b": [1]}"#);
        assert_eq!(members.string("c_d").unwrap(), "x\n");
        assert!(!members.has("e"));
        assert_eq!(members.len(), 3);
    }
}
