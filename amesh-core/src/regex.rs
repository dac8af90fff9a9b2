//! Regular expressions: Envoy's RE2, which must match the whole value, becomes PCRE, which APISIX searches for.
//!
//! The two dialects read some texts differently: `\v`, `\s`, `$`, `\Z`, possessive quantifiers, classes inside classes,
//! bytes and characters. So a pattern is parsed as RE2 reads it and written anew in the common part of both languages,
//! without flags; without captures too, unless a part of what it matches is to be used. What RE2 refuses is an error of the configuration; what PCRE cannot say in the
//! same sense is not portable, and the caller fails closed.

mod class;
mod parse;
mod print;
mod rewrite;

use class::Class;
pub(crate) use rewrite::Rewrite;

/// A pattern that RE2 accepts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Regex(Node);

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegexError {
    /// RE2 refuses it too.
    #[error("not a regular expression: {0}")]
    Invalid(String),
    /// RE2 gives it a meaning that PCRE, as APISIX runs it, cannot have.
    #[error("{0} means something else in PCRE")]
    NotPortable(String),
}

/// A pattern as RE2 reads it, flags resolved.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Empty,
    /// One character out of a set; a literal is a set of one.
    Class(Class),
    /// The beginning of the text or, after `(?m)`, of a line.
    Start {
        line: bool,
    },
    /// The end of the text or, after `(?m)`, of a line.
    End {
        line: bool,
    },
    WordBoundary {
        negated: bool,
    },
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
        /// Whether fewer are preferred.
        lazy: bool,
    },
    /// What it matches is remembered.
    Capture(Box<Node>),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
}

impl Regex {
    /// Reads a pattern as RE2 does.
    pub(crate) fn parse(pattern: &str) -> Result<Self, RegexError> {
        parse::parse(pattern).map(|node| Self(without_preferences(node)))
    }

    /// A PCRE that matches exactly the values that the RE2 matches as a whole.
    pub(crate) fn whole(&self) -> Result<String, RegexError> {
        Ok(format!("^{}\\z", print::atom(&self.0, None)?))
    }

    /// The pattern for a value at the beginning of a text: it never reaches over `end`, a character that cannot be part
    /// of the value.
    pub(crate) fn before(&self, end: char) -> Result<String, RegexError> {
        print::atom(&self.0, Some(end))
    }

    /// The pattern for a value in the middle of a text, which ends at `end`, a character that cannot be part of it. What
    /// is anchored to the beginning of the value must stand there.
    pub(crate) fn inside(&self, end: char) -> Result<String, RegexError> {
        let node = without_leading_anchors(&self.0);
        if has_start(&node) {
            return Err(RegexError::NotPortable(
                "^ inside a pattern for a query parameter".to_owned(),
            ));
        }
        print::atom(&node, Some(end))
    }

    /// Whether the empty value matches.
    pub(crate) fn matches_empty(&self) -> bool {
        nullable(&self.0)
    }

    /// Whether the character is written in the pattern, apart from negated sets and dots.
    pub(crate) fn mentions(&self, character: char) -> bool {
        mentions(&self.0, u32::from(character))
    }
}

/// The pattern without what makes no difference when the whole value must match: captures, and which match is preferred.
fn without_preferences(node: Node) -> Node {
    match node {
        // A group around a repetition may be repeated again: keep it apart from `a**`.
        Node::Capture(node) => match without_preferences(*node) {
            node @ Node::Repeat { .. } => Node::Concat(vec![node]),
            other => other,
        },
        Node::Repeat { node, least, most, .. } => Node::Repeat {
            node: Box::new(without_preferences(*node)),
            least,
            most,
            lazy: false,
        },
        Node::Concat(list) => Node::Concat(list.into_iter().map(without_preferences).collect()),
        Node::Alternate(list) => Node::Alternate(list.into_iter().map(without_preferences).collect()),
        other => other,
    }
}

fn nullable(node: &Node) -> bool {
    match node {
        Node::Empty | Node::Start { .. } | Node::End { .. } => true,
        Node::Class(_) => false,
        // At the only position of an empty text there is no word on either side.
        Node::WordBoundary { negated } => *negated,
        Node::Repeat { node, least, .. } => *least == 0 || nullable(node),
        Node::Capture(node) => nullable(node),
        Node::Concat(list) => list.iter().all(nullable),
        Node::Alternate(list) => list.iter().any(nullable),
    }
}

/// The pattern without anchors that its beginning meets anyway.
fn without_leading_anchors(node: &Node) -> Node {
    match node {
        Node::Start { .. } => Node::Empty,
        Node::Concat(list) => {
            let anchors = list
                .iter()
                .take_while(|node| matches!(node, Node::Start { .. }))
                .count();
            let mut rest = list.iter().skip(anchors);
            let first = rest.next().map(without_leading_anchors);
            Node::Concat(first.into_iter().chain(rest.cloned()).collect())
        }
        Node::Alternate(list) => Node::Alternate(list.iter().map(without_leading_anchors).collect()),
        other => other.clone(),
    }
}

fn has_start(node: &Node) -> bool {
    match node {
        Node::Start { .. } => true,
        Node::Repeat { node, .. } | Node::Capture(node) => has_start(node),
        Node::Concat(list) | Node::Alternate(list) => list.iter().any(has_start),
        Node::Empty | Node::Class(_) | Node::End { .. } | Node::WordBoundary { .. } => false,
    }
}

fn mentions(node: &Node, character: u32) -> bool {
    match node {
        Node::Class(class) => class.is_narrow() && class.contains(character),
        Node::Repeat { node, .. } | Node::Capture(node) => mentions(node, character),
        Node::Concat(list) | Node::Alternate(list) => list.iter().any(|node| mentions(node, character)),
        Node::Empty | Node::Start { .. } | Node::End { .. } | Node::WordBoundary { .. } => false,
    }
}

/// A text as a PCRE that matches just this text.
pub(crate) fn escape(text: &str) -> String {
    regex_syntax::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(pattern: &str) -> String {
        Regex::parse(pattern).unwrap().whole().unwrap()
    }

    fn error(pattern: &str) -> String {
        Regex::parse(pattern)
            .and_then(|regex| regex.whole())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_ordinary_pattern_stays_readable() {
        assert_eq!(whole("/api/v[0-9]+/users/.*"), r"^(?:/api/v[0-9]+/users/[^\n]*)\z");
        assert_eq!(whole("a|b"), r"^(?:a|b)\z");
        assert_eq!(whole("[^/]+"), r"^[^/]+\z");
    }

    #[test]
    fn what_the_engines_read_differently_is_spelled_out() {
        // PCRE: `$` also matches before a last newline, `\s` takes a vertical tab, `\v` is a class.
        assert_eq!(whole("a$"), r"^(?:a\z)\z");
        assert_eq!(whole(r"\s"), r"^[\t\n\f\r ]\z");
        assert_eq!(whole(r"\v"), r"^\x0b\z");
        // A class inside a class, and set operations, are plain characters to RE2.
        assert_eq!(whole("[a[b&&c]"), r"^[&\[a-c]\z");
        // Flags are resolved.
        assert_eq!(whole("(?i)a1"), r"^(?:[Aa]1)\z");
        assert_eq!(whole("(?s)."), whole(r"[\x{0}-\x{10FFFF}]"));
        // An unfinished repetition is text.
        assert_eq!(whole("a{,2}"), r"^(?:a\{,2\})\z");
        assert_eq!(whole("{id}"), r"^(?:\{id\})\z");
    }

    #[test]
    fn characters_beyond_ascii_are_matched_as_their_bytes() {
        assert_eq!(whole("é+"), r"^(?:\xc3\xa9)+\z");
        assert_eq!(whole("."), r"^(?:[^\n\x80-\xff]|[\xc2-\xf4][\x80-\xbf]{1,3})\z");
        assert_eq!(whole("[éa]"), r"^(?:a|\xc3\xa9)\z");
    }

    #[test]
    fn what_re2_refuses_is_invalid() {
        for pattern in [
            "(",
            ")",
            "a**",
            "a++",
            "*a",
            "[a",
            "[b-a]",
            r"\1",
            "(?=a)",
            "(?>a)",
            r"\Z",
            "a{2,1}",
            "a{1001}",
            "(?<a",
            r"\q",
            "x{2}{3}",
            "(?x)a",
            r"\",
            "[[:nope:]]",
        ] {
            assert!(
                matches!(Regex::parse(pattern), Err(RegexError::Invalid(_))),
                "{pattern}: {:?}",
                Regex::parse(pattern)
            );
        }
    }

    #[test]
    fn what_pcre_cannot_say_is_not_portable() {
        assert_eq!(error(r"\pL"), r"\pL means something else in PCRE");
        assert_eq!(error(r"\C"), r"\C means something else in PCRE");
    }

    #[test]
    fn the_empty_value() {
        for (pattern, expected) in [
            ("", true),
            ("a*", true),
            ("a", false),
            ("(a|)", true),
            ("^$", true),
            (r"\b", false),
            (r"\B", true),
            ("(a*)+", true),
            ("a?b", false),
        ] {
            assert_eq!(Regex::parse(pattern).unwrap().matches_empty(), expected, "{pattern}");
        }
    }

    #[test]
    fn a_part_never_reaches_over_its_end() {
        let part = |pattern: &str| Regex::parse(pattern).unwrap().inside('&').unwrap();
        assert_eq!(part(".*"), r"[^\n&]*");
        assert_eq!(part("a&b"), r"(?:a(?!)b)");
        assert_eq!(part("[^x]+"), "[^&x]+");
        assert_eq!(part("^a$"), "(?:a(?=&|\\z))");
        assert_eq!(part("^(a|^b)"), "(?:a|b)");
        assert!(Regex::parse("a^b").unwrap().inside('&').is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics(pattern in "\\PC{0,40}") {
            drop(Regex::parse(&pattern).and_then(|regex| regex.whole()));
        }

        #[test]
        fn no_pattern_of_metacharacters_panics(pattern in r"[\[\](){}^$|*+?.\\a-c0-9,:&\-=!<>imsUPQE]{0,24}") {
            drop(Regex::parse(&pattern).and_then(|regex| regex.whole()));
        }
    }
}
