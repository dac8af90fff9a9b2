//! The common part of RE2 and PCRE, written so that both read the same.
//!
//! APISIX runs PCRE on bytes, without the UTF-8 mode, so characters beyond ASCII are written as their bytes.

use std::fmt::Write as _;

use super::class::{Class, LAST};
use super::{Node, RegexError};

/// How many characters beyond ASCII a set may hold before it is no longer written out one by one.
const MOST_SPELLED: u32 = 32;

/// The pattern as one atom, so that a repetition or an anchor beside it holds for all of it. `end` is a character that
/// must not be matched.
pub(super) fn atom(node: &Node, end: Option<char>) -> Result<String, RegexError> {
    let mut out = String::new();
    match node {
        Node::Class(class) => print_class(class, end, false, &mut out)?,
        Node::Repeat { .. } | Node::Capture(_) => print(node, end, &mut out)?,
        Node::Concat(list) if list.len() == 1 && !matches!(list.first(), Some(Node::Repeat { .. })) => {
            for inner in list {
                out = atom(inner, end)?;
            }
        }
        _ => {
            out.push_str("(?:");
            print(node, end, &mut out)?;
            out.push(')');
        }
    }
    Ok(out)
}

fn print(node: &Node, end: Option<char>, out: &mut String) -> Result<(), RegexError> {
    match node {
        Node::Empty => {}
        Node::Class(class) => print_class(class, end, false, out)?,
        Node::Start { line: false } => out.push('^'),
        Node::End { line: false } => match end {
            None => out.push_str("\\z"),
            Some(end) => push_all(out, &["(?=", &literal(u32::from(end)), "|\\z)"]),
        },
        Node::Start { line: true } => out.push_str("(?:^|(?<=\\n))"),
        Node::End { line: true } => out.push_str("(?=\\n|\\z)"),
        Node::WordBoundary { negated } => out.push_str(if *negated { "\\B" } else { "\\b" }),
        Node::Capture(node) => {
            out.push('(');
            print(node, end, out)?;
            out.push(')');
        }
        Node::Repeat {
            node,
            least,
            most,
            lazy,
        } => {
            match (&**node, least, most) {
                // Without an upper bound, bytes and characters come to the same.
                (Node::Class(class), 0 | 1, None) => print_class(class, end, true, out)?,
                (Node::Repeat { .. }, ..) => push_all(out, &["(?:", &atom(node, end)?, ")"]),
                _ => out.push_str(&atom(node, end)?),
            }
            match (least, most) {
                (0, None) => out.push('*'),
                (1, None) => out.push('+'),
                (0, Some(1)) => out.push('?'),
                (least, None) => push_all(out, &["{", &least.to_string(), ",}"]),
                (least, Some(most)) if least == most => push_all(out, &["{", &least.to_string(), "}"]),
                (least, Some(most)) => push_all(out, &["{", &least.to_string(), ",", &most.to_string(), "}"]),
            }
            if *lazy {
                out.push('?');
            }
        }
        Node::Concat(list) => {
            for inner in list {
                match inner {
                    Node::Alternate(_) => out.push_str(&atom(inner, end)?),
                    _ => print(inner, end, out)?,
                }
            }
        }
        Node::Alternate(list) => {
            for (index, inner) in list.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                print(inner, end, out)?;
            }
        }
    }
    Ok(())
}

fn push_all(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

fn print_class(class: &Class, end: Option<char>, repeated: bool, out: &mut String) -> Result<(), RegexError> {
    let class = end.map_or_else(|| class.clone(), |end| class.without(u32::from(end)));
    let (ascii, beyond) = (class.ascii(), class.beyond_ascii());
    let beyond_count = beyond.len();
    if beyond_count == 0 {
        print_ascii(&ascii, out);
        return Ok(());
    }
    // What the bytes of characters beyond ASCII look like.
    if beyond.ranges() == [(0x80, LAST)] {
        let missing = ascii.negate().ascii();
        if repeated {
            print_bytes(&missing, "", true, out);
        } else {
            out.push_str("(?:");
            print_bytes(&missing, "\\x80-\\xff", true, out);
            out.push_str("|[\\xc2-\\xf4][\\x80-\\xbf]{1,3})");
        }
        return Ok(());
    }
    if beyond_count > MOST_SPELLED {
        return Err(RegexError::NotPortable(
            "a large set of characters beyond ASCII".to_owned(),
        ));
    }
    let spelled: Vec<String> = beyond
        .ranges()
        .iter()
        .flat_map(|(low, high)| *low..=*high)
        .filter_map(char::from_u32)
        .map(|character| {
            character.to_string().bytes().fold(String::new(), |mut bytes, byte| {
                let _ = write!(bytes, "\\x{byte:02x}");
                bytes
            })
        })
        .collect();
    out.push_str("(?:");
    if ascii.len() > 0 {
        print_ascii(&ascii, out);
        out.push('|');
    }
    out.push_str(&spelled.join("|"));
    out.push(')');
    Ok(())
}

fn print_ascii(ascii: &Class, out: &mut String) {
    match ascii.ranges() {
        // No character at all: nothing can match here.
        [] => out.push_str("(?!)"),
        [(low, high)] if low == high => out.push_str(&literal(*low)),
        _ => print_bytes(ascii, "", false, out),
    }
}

/// A bracketed class of ASCII characters, with `more` in it.
fn print_bytes(class: &Class, more: &str, negated: bool, out: &mut String) {
    if class.len() == 0 && more.is_empty() {
        out.push_str("[\\x00-\\xff]");
        return;
    }
    out.push_str(if negated { "[^" } else { "[" });
    for (low, high) in class.ranges() {
        out.push_str(&in_class(*low));
        if high > low {
            if *high > low + 1 {
                out.push('-');
            }
            out.push_str(&in_class(*high));
        }
    }
    out.push_str(more);
    out.push(']');
}

fn control(code: u32) -> Option<String> {
    Some(match code {
        0x09 => "\\t".to_owned(),
        0x0a => "\\n".to_owned(),
        0x0c => "\\f".to_owned(),
        0x0d => "\\r".to_owned(),
        0..0x20 | 0x7f => {
            let mut text = String::new();
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{code:02x}");
            text
        }
        _ => return None,
    })
}

fn in_class(code: u32) -> String {
    control(code).unwrap_or_else(|| {
        let character = char::from_u32(code).unwrap_or('\u{fffd}');
        if matches!(character, '[' | ']' | '\\' | '^' | '-') {
            format!("\\{character}")
        } else {
            character.to_string()
        }
    })
}

fn literal(code: u32) -> String {
    control(code).unwrap_or_else(|| {
        let character = char::from_u32(code).unwrap_or('\u{fffd}');
        let special = matches!(
            character,
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' | '\\'
        );
        if special {
            format!("\\{character}")
        } else {
            character.to_string()
        }
    })
}
