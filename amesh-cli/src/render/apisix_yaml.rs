//! `apisix.yaml`, the file of a standalone APISIX.
//!
//! The layout is YAML's, one block for each object and one line for each condition and node; every value is JSON, which
//! YAML includes. That keeps any text a text for the YAML reader in APISIX (`on`, `1e3`, `~`, `0x10`), whatever version
//! of YAML's rules it follows. Two more things need care:
//!
//! - APISIX replaces `${{NAME}}` by environment variables in the text of the file, before it is parsed. Nothing in a
//!   mesh's configuration means that, so the `$` is written as an escape, which only the parser resolves.
//! - libyaml refuses raw control characters and folds Unicode line separators: they are written as escapes.

use std::fmt::Write as _;
use std::io::{self, Write};

use amesh_core::apisix::{Kind, Object, Objects};

use super::tree::Tree;

/// Lines are broken up where they would be longer than this.
const WIDTH: usize = 120;

/// APISIX reads the file only when this is its last line: half a file is never taken for a whole one.
const END: &str = "#END";

/// Writes the file.
///
/// # Errors
///
/// Besides those of `out`: when a text holds a NUL character.
pub(crate) fn write(objects: &Objects, out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    for kind in Kind::ALL {
        let mut of_kind = objects.iter().filter(|(key, _)| key.kind == kind).peekable();
        if of_kind.peek().is_none() {
            // A file without any list holds nothing for a YAML reader, and APISIX would keep its old objects.
            writeln!(out, "{kind}: []")?;
        } else {
            writeln!(out, "{kind}:")?;
        }
        for (key, object) in of_kind {
            let tree = Tree::of(object.as_ref())?;
            if tree.holds('\0') {
                let message = format!("{key} holds a NUL character, at which APISIX's YAML reader cuts a text short");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            text.clear();
            item(&mut text, &tree, 2);
            out.write_all(text.as_bytes())?;
        }
    }
    writeln!(out, "{END}")
}

/// One object as it stands in the file, for people to compare.
pub(crate) fn object(object: &Object) -> io::Result<String> {
    let mut text = String::new();
    block(&mut text, &Tree::of(object)?, 0);
    Ok(text)
}

/// A value on lines of its own, each indented.
fn block(out: &mut String, tree: &Tree, indent: usize) {
    match tree {
        Tree::Map(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                pad(out, indent);
                field(out, name, value, indent);
            }
        }
        Tree::List(items) if !items.is_empty() => {
            for value in items {
                item(out, value, indent);
            }
        }
        leaf => {
            pad(out, indent);
            flow(out, leaf);
            out.push('\n');
        }
    }
}

/// `name: value`, from the place where the name goes.
fn field(out: &mut String, name: &str, value: &Tree, indent: usize) {
    key(out, name);
    out.push(':');
    let simple = match value {
        Tree::Map(fields) => fields.iter().all(|(_, value)| value.is_scalar()),
        Tree::List(items) => items.iter().all(Tree::is_scalar),
        _ => true,
    };
    if simple && let Some(line) = one_line(value, indent + name.len() + 2) {
        out.push(' ');
        out.push_str(&line);
        out.push('\n');
    } else {
        out.push('\n');
        block(out, value, indent + 2);
    }
}

/// `- value`
fn item(out: &mut String, value: &Tree, indent: usize) {
    pad(out, indent);
    out.push_str("- ");
    // The objects themselves, which are the items of the outermost list, are blocks even if they are short.
    if (indent > 2 || !matches!(value, Tree::Map(_)))
        && let Some(line) = one_line(value, indent + 2)
    {
        out.push_str(&line);
        out.push('\n');
        return;
    }
    let mut inner = String::new();
    block(&mut inner, value, indent + 2);
    out.push_str(inner.trim_start_matches(' '));
}

/// The value in flow style, if the line is not too long or cannot be broken up anyway.
fn one_line(value: &Tree, column: usize) -> Option<String> {
    let mut line = String::new();
    flow(&mut line, value);
    let breakable = match value {
        Tree::Map(fields) => !fields.is_empty(),
        Tree::List(items) => !items.is_empty(),
        _ => false,
    };
    (!breakable || column + line.chars().count() <= WIDTH).then_some(line)
}

fn flow(out: &mut String, tree: &Tree) {
    match tree {
        Tree::Null => out.push_str("null"),
        Tree::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Tree::Integer(value) => number(out, value),
        // Never with an exponent, which some YAML readers take for a text.
        Tree::Float(value) => number(out, value),
        Tree::Text(value) => text(out, value),
        Tree::List(items) => {
            out.push('[');
            for (index, value) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                flow(out, value);
            }
            out.push(']');
        }
        Tree::Map(fields) => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                key(out, name);
                out.push_str(": ");
                flow(out, value);
            }
            out.push('}');
        }
    }
}

fn number(out: &mut String, value: &impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

/// A key is plain when no YAML reader can take it for anything but a text.
fn key(out: &mut String, name: &str) {
    let plain = name.len() > 3
        && !["null", "true", "false"].contains(&name)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-')
        && name.starts_with(|first: char| first.is_ascii_lowercase());
    // The one short key that every object has, and that is no word of YAML.
    if plain || ["id", "uri"].contains(&name) {
        out.push_str(name);
    } else {
        text(out, name);
    }
}

/// A text in double quotes.
fn text(out: &mut String, value: &str) {
    out.push('"');
    let mut rest = value.chars();
    while let Some(character) = rest.next() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' if rest.as_str().starts_with("{{") => out.push_str("\\u0024"),
            _ if needs_escape(character) => {
                let _ = write!(out, "\\u{:04X}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// What YAML does not take raw, or takes for the end of a line or of the text. All of it fits in four digits.
fn needs_escape(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}'
        )
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a YAML reader makes of a value in the place of an object of a list.
    fn read_back(tree: &Tree) -> Tree {
        let mut text = "routes:\n".to_owned();
        item(&mut text, tree, 2);
        let whole: Tree = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let Tree::Map(mut kinds) = whole else { panic!("{text}") };
        let Some((_, Tree::List(mut items))) = kinds.pop() else {
            panic!("{text}")
        };
        items.pop().unwrap_or(Tree::Null)
    }

    /// Numbers compare by value: `1.0` is written `1`.
    fn same(a: &Tree, b: &Tree) -> bool {
        match (a, b) {
            (Tree::Float(a), Tree::Integer(b)) | (Tree::Integer(b), Tree::Float(a)) => a.to_string() == b.to_string(),
            (Tree::Float(a), Tree::Float(b)) => a.to_bits() == b.to_bits(),
            (Tree::List(a), Tree::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Tree::Map(a), Tree::Map(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
            }
            (a, b) => a == b,
        }
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let awkward = prop::sample::select(vec![
            "on",
            "Off",
            "yes",
            "NO",
            "y",
            "true",
            "null",
            "~",
            "",
            " ",
            "1e3",
            "0x10",
            "0o7",
            "1_000",
            "12:30:45",
            "1.0",
            "-",
            "- a",
            "*a",
            "&a",
            "!a",
            "#",
            "a #b",
            "a: b",
            "{",
            "[",
            "%",
            "@",
            "`",
            "|",
            ">",
            "?",
            "---",
            "...",
            "<<",
            "2001-01-01",
            "${{HOME}}",
            "$${{X}}",
            "\u{85}\u{2028}\u{feff}\u{7f}\u{0}",
            "a\n  b\n",
            "\t",
            "\u{1F600}é",
        ]);
        let leaf = prop_oneof![
            any::<bool>().prop_map(Tree::Bool),
            any::<i64>().prop_map(|value| Tree::Integer(value.into())),
            (-1e6..1e6f64).prop_map(Tree::Float),
            (0.0..1e-6f64).prop_map(Tree::Float),
            any::<String>().prop_map(Tree::Text),
            awkward.prop_map(|text| Tree::Text(text.to_owned())),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
                prop::collection::btree_map("[a-zA-Z_0-9-]{1,12}|on|null|é", inner, 0..6)
                    .prop_map(|map| Tree::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(tree in trees()) {
            let back = read_back(&tree);
            prop_assert!(same(&tree, &back), "{tree:?} became {back:?}");
        }

        #[test]
        fn apisix_finds_no_environment_variable(text: String) {
            let mut out = String::new();
            self::text(&mut out, &format!("${{{{{text}${{{{"));
            prop_assert!(!out.contains("${{"), "{out}");
        }
    }

    #[test]
    fn an_object_is_a_block_and_a_condition_is_a_line() {
        let route: Tree = serde_json::from_str(
            r#"{"id": "9080.reviews", "uri": "/*", "priority": 10, "timeout": {"connect": 0.0000001, "read": 60.0},
                "vars": [["server_port", "==", "9080"], ["OR", ["uri", "==", "on"], ["uri", "~~", "^/a\\.b"]]],
                "nodes": [{"host": "10.0.0.1", "port": 80}], "none": [], "plugins": {"cors": {"rules": [{"a": 1}]}}}"#,
        )
        .unwrap_or(Tree::Null);
        let mut text = String::new();
        item(&mut text, &route, 2);
        insta::assert_snapshot!(text, @r##"
        - id: "9080.reviews"
          uri: "/*"
          priority: 10
          timeout: {connect: 0.0000001, read: 60}
          vars:
            - ["server_port", "==", "9080"]
            - ["OR", ["uri", "==", "on"], ["uri", "~~", "^/a\\.b"]]
          nodes:
            - {host: "10.0.0.1", port: 80}
          none: []
          plugins:
            cors:
              rules:
                - {"a": 1}
        "##);
    }
}
