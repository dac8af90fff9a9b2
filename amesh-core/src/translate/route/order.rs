//! Envoy's order of routes, kept by APISIX.
//!
//! Envoy takes the first route that matches. APISIX tries an exact URI first, then prefixes from long to short, and
//! looks at `priority` only among equal URIs. So a route normally takes every URI and has its path in `vars`; the order
//! is that of the priorities. Where Envoy's own list is already ordered the way APISIX looks, the paths become URI
//! patterns: the same routes win, and APISIX finds them in a tree instead of trying one after the other.

use std::collections::HashSet;

use super::entry::Entry;
use super::path::PathMatch;

/// How a URI pattern is tried: exact ones first, then prefixes from long to short; any URI is the empty prefix.
enum Uri<'a> {
    Exact(&'a str),
    Prefix(&'a str),
}

fn uri(entry: &Entry) -> Uri<'_> {
    match &entry.path {
        PathMatch::Exact(path) => Uri::Exact(path),
        PathMatch::Prefix(prefix) => Uri::Prefix(prefix),
        PathMatch::Any | PathMatch::Never | PathMatch::Condition(_) => Uri::Prefix(""),
    }
}

/// Whether the entries can have URI patterns without changing which of them wins: no entry may come before one that
/// APISIX would try first and that takes some of the same paths.
pub(super) fn may_use_uris(entries: &[Entry]) -> bool {
    // A pattern that APISIX would try after `path` and that shares paths with it is a shorter prefix of it.
    let mut prefixes: HashSet<&str> = HashSet::new();
    for entry in entries {
        let (path, may_equal) = match uri(entry) {
            Uri::Exact(path) => (path, true),
            Uri::Prefix(prefix) => (prefix, false),
        };
        let ends = path
            .char_indices()
            .map(|(at, _)| at)
            .chain(may_equal.then_some(path.len()));
        if ends
            .into_iter()
            .any(|end| path.get(..end).is_some_and(|shorter| prefixes.contains(shorter)))
        {
            return false;
        }
        if let Uri::Prefix(prefix) = uri(entry) {
            prefixes.insert(prefix);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::route::answer::Answer;
    use crate::translate::route::entry::Entry;

    fn entries(paths: &[&str]) -> Vec<Entry> {
        let path = |text: &&str| match text.strip_suffix('*') {
            Some("/") => PathMatch::Any,
            Some(prefix) => PathMatch::Prefix(prefix.to_owned()),
            None => PathMatch::Exact((*text).to_owned()),
        };
        paths
            .iter()
            .map(|text| Entry {
                path: path(text),
                ..Entry::always("", Answer::Status(503))
            })
            .collect()
    }

    #[test]
    fn specific_before_general_may_use_uris() {
        assert!(may_use_uris(&entries(&["/a/b", "/a/*", "/b", "/*"])));
        assert!(may_use_uris(&entries(&["/a*", "/a*", "/b*", "/*"])));
    }

    #[test]
    fn general_before_specific_may_not() {
        assert!(!may_use_uris(&entries(&["/a*", "/a/b"])));
        assert!(!may_use_uris(&entries(&["/a*", "/a"])));
        assert!(!may_use_uris(&entries(&["/a*", "/ab*"])));
        assert!(!may_use_uris(&entries(&["/*", "/a"])));
    }
}
