//! The type of a resource that does not say its type: the one that has most of its fields.

use std::sync::LazyLock;

use prost_reflect::MessageDescriptor;

use super::outline::Members;
use crate::decode::ResourceType;
use crate::descriptor;

static ROOTS: LazyLock<Vec<(ResourceType, MessageDescriptor)>> = LazyLock::new(|| {
    ResourceType::ALL
        .into_iter()
        .filter_map(|kind| Some((kind, descriptor::message(kind.message())?)))
        .collect()
});

/// The one type that knows more of these keys than any other, if it knows most of them.
pub(super) fn kind(members: &Members<'_>) -> Option<ResourceType> {
    let mut counts: Vec<(usize, ResourceType)> = ROOTS
        .iter()
        .map(|(kind, message)| {
            let known = members.iter().filter(|(key, _)| has(message, key)).count();
            (known, *kind)
        })
        .collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let mut counts = counts.into_iter();
    let (most, kind) = counts.next()?;
    let (next, _) = counts.next()?;
    (most > next && most * 2 > members.len()).then_some(kind)
}

/// Whether any resource type has a field of that name.
pub(super) fn is_field(key: &str) -> bool {
    ROOTS.iter().any(|(_, message)| has(message, key))
}

fn has(message: &MessageDescriptor, key: &str) -> bool {
    message.get_field_by_json_name(key).is_some() || message.get_field_by_name(key).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(json: &str) -> Option<ResourceType> {
        kind(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_fields_tell_the_type() {
        assert_eq!(
            guess(r#"{"name": "a", "connectTimeout": "10s"}"#),
            Some(ResourceType::Cluster)
        );
        assert_eq!(
            guess(r#"{"name": "a", "virtual_hosts": []}"#),
            Some(ResourceType::RouteConfiguration)
        );
        assert_eq!(
            guess(r#"{"clusterName": "a"}"#),
            Some(ResourceType::ClusterLoadAssignment)
        );
        assert_eq!(guess(r#"{"name": "a", "address": {}}"#), Some(ResourceType::Listener));
        assert_eq!(
            guess(r#"{"name": "a", "validationContext": {}}"#),
            Some(ResourceType::Secret)
        );
        assert_eq!(
            guess(r#"{"name": "a", "typedConfig": {}}"#),
            Some(ResourceType::TypedExtensionConfig)
        );
    }

    #[test]
    fn a_name_alone_tells_nothing() {
        assert_eq!(guess(r#"{"name": "a"}"#), None);
        assert_eq!(guess("{}"), None);
        assert_eq!(guess(r#"{"name": "a", "type": "EDS", "x": 1, "y": 2, "z": 3}"#), None);
    }
}
