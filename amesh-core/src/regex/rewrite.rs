//! Patterns whose matches are replaced, as Envoy's regex rewrites have them: RE2 replaces every match, the leftmost and
//! preferred one first, and a replacement has groups of the match in it.

use super::{Node, RegexError, parse, print};

/// A pattern and what takes the place of its matches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rewrite {
    node: Node,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    /// A group of the match; the whole match for 0.
    Group(u32),
}

impl Rewrite {
    /// Reads a pattern and a replacement as RE2 does.
    pub(crate) fn parse(pattern: &str, substitution: &str) -> Result<Self, RegexError> {
        let node = parse::parse(pattern)?;
        if repeats_nothing(&node) {
            // RE2 and PCRE differ in when they stop repeating what matches nothing, and in what they remember of it.
            return Err(RegexError::NotPortable("a repetition of what may be empty".to_owned()));
        }
        let parts = substituted(substitution)?;
        let groups = groups(&node);
        if parts
            .iter()
            .any(|part| matches!(part, Part::Group(group) if *group > groups))
        {
            return Err(RegexError::Invalid("a group that the pattern does not have".to_owned()));
        }
        print::atom(&node, None)?;
        Ok(Self { node, parts })
    }

    /// The PCRE, whose matches are the same where all of them are replaced.
    pub(crate) fn pattern(&self) -> String {
        // Reading checked that it can be printed.
        print::atom(&self.node, None).unwrap_or_else(|_| "(?!)".to_owned())
    }

    /// A PCRE for the first match in what stands before `end`, with all that is before the match as its first group.
    pub(crate) fn first_before(&self, end: char) -> Result<String, RegexError> {
        let node = print::atom(&self.node, Some(end))?;
        Ok(format!("^([^{end}]*?){node}"))
    }

    /// Whether there is at most one match in a text.
    pub(crate) fn matches_once(&self) -> bool {
        starts(&self.node)
    }

    /// Whether a path, which begins with a slash, can begin with something else once the matches are replaced.
    pub(crate) fn may_cut_slash(&self) -> bool {
        let keeps = self
            .parts
            .first()
            .is_some_and(|part| matches!(part, Part::Text(text) if text.starts_with('/')));
        !keeps && may_begin(&self.node)
    }

    /// The replacement in the words of nginx: `$1` for groups, `$$` for a dollar. `skipped` groups come first.
    pub(crate) fn replacement(&self, skipped: u32) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(&text.replace('$', "$$")),
                Part::Group(0) if skipped > 0 => out.push_str("$0"),
                Part::Group(group) => {
                    out.push_str("${");
                    out.push_str(&(group + skipped).to_string());
                    out.push('}');
                }
            }
        }
        out
    }

    /// Whether the replacement has the whole match in it.
    pub(crate) fn repeats_match(&self) -> bool {
        self.parts.contains(&Part::Group(0))
    }
}

fn substituted(substitution: &str) -> Result<Vec<Part>, RegexError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = substitution.chars();
    while let Some(next) = rest.next() {
        let escaped = if next == '\\' { rest.next() } else { None };
        match (next, escaped) {
            ('\\', Some('\\')) => text.push('\\'),
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Group(digit.to_digit(10).unwrap_or(0)));
            }
            ('\\', _) => return Err(RegexError::Invalid("a backslash in a replacement".to_owned())),
            (plain, _) => text.push(plain),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn groups(node: &Node) -> u32 {
    match node {
        Node::Capture(node) => 1 + groups(node),
        Node::Repeat { node, .. } => groups(node),
        Node::Concat(list) | Node::Alternate(list) => list.iter().map(groups).sum(),
        Node::Empty | Node::Class(_) | Node::Start { .. } | Node::End { .. } | Node::WordBoundary { .. } => 0,
    }
}

fn repeats_nothing(node: &Node) -> bool {
    match node {
        Node::Repeat { node, most, .. } => (*most != Some(1) && super::nullable(node)) || repeats_nothing(node),
        Node::Capture(node) => repeats_nothing(node),
        Node::Concat(list) | Node::Alternate(list) => list.iter().any(repeats_nothing),
        Node::Empty | Node::Class(_) | Node::Start { .. } | Node::End { .. } | Node::WordBoundary { .. } => false,
    }
}

/// Whether every match begins at the beginning of the text.
fn starts(node: &Node) -> bool {
    match node {
        Node::Start { line } => !line,
        Node::Concat(list) => list.first().is_some_and(starts),
        Node::Alternate(list) => list.iter().all(starts),
        Node::Capture(node) => starts(node),
        Node::Empty | Node::Class(_) | Node::End { .. } | Node::WordBoundary { .. } | Node::Repeat { .. } => false,
    }
}

/// Whether a match at the beginning of a path can be empty or begin with its slash.
fn may_begin(node: &Node) -> bool {
    match node {
        Node::Class(class) => class.contains(u32::from('/')),
        Node::Repeat { node, least, .. } => *least == 0 || may_begin(node),
        Node::Capture(node) => may_begin(node),
        Node::Concat(list) => {
            let empty = list.iter().take_while(|node| super::nullable(node)).count();
            empty == list.len()
                || list
                    .iter()
                    .take(empty + 1)
                    .any(|node| !is_empty(node) && may_begin(node))
        }
        Node::Alternate(list) => list.iter().any(may_begin),
        Node::Empty | Node::Start { .. } | Node::End { .. } | Node::WordBoundary { .. } => true,
    }
}

/// Whether a part never matches a character.
const fn is_empty(node: &Node) -> bool {
    matches!(
        node,
        Node::Empty | Node::Start { .. } | Node::End { .. } | Node::WordBoundary { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(pattern: &str, substitution: &str) -> (String, String) {
        let rewrite = Rewrite::parse(pattern, substitution).unwrap();
        (rewrite.pattern(), rewrite.replacement(0))
    }

    #[test]
    fn groups_and_preferences_are_kept() {
        let (pattern, replacement) = rewrite("^/p(/?)(.*?)$", r"/\2$\1");
        assert_eq!(pattern, r"(?:^/p(/?)([^\n]*?)\z)");
        assert_eq!(replacement, "/${2}$$${1}");
        assert_eq!(rewrite("(?U)a+(?:b+?)", "").0, "(?:a+?b+)");
        assert_eq!(rewrite("(?P<n>a|ab)", r"\\").1, r"\");
    }

    #[test]
    fn the_first_match_before_a_query() {
        let rewrite = Rewrite::parse("b(.)", r"c\1").unwrap();
        assert_eq!(
            rewrite.first_before('?').unwrap(),
            r"^([^?]*?)(?:b((?:[^\n?\x80-\xff]|[\xc2-\xf4][\x80-\xbf]{1,3})))"
        );
        assert_eq!(rewrite.replacement(1), "c${2}");
        assert!(!rewrite.matches_once());
        assert!(Rewrite::parse("^/a|^(/b)", "").unwrap().matches_once());
    }

    #[test]
    fn what_may_cut_the_slash_off() {
        for (pattern, substitution, expected) in [
            ("^/a(.*)$", r"/b\1", false),
            ("^/a(.*)$", r"\1", true),
            ("^(/a)", r"\1", true),
            ("one", "two", false),
            (".", "x", true),
            ("x?/", "", true),
            ("a+/", "", false),
            ("^[a-z]*", "", true),
            ("$", "", true),
        ] {
            let rewrite = Rewrite::parse(pattern, substitution).unwrap();
            assert_eq!(rewrite.may_cut_slash(), expected, "{pattern} {substitution}");
        }
    }

    #[test]
    fn what_re2_refuses_or_pcre_reads_differently() {
        for (pattern, substitution) in [("a", r"\1"), ("a", r"\q"), ("a", "\\"), ("(a*)*", ""), ("(|a)+", "")] {
            assert!(
                Rewrite::parse(pattern, substitution).is_err(),
                "{pattern} {substitution}"
            );
        }
        assert!(Rewrite::parse("(a*)?", "").is_ok());
    }
}
