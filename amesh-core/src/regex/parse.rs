//! RE2's syntax, as its own documentation and parser define it.

use std::iter::Peekable;
use std::str::Chars;

use super::class::{self, Class, LAST};
use super::{Node, RegexError};

/// The largest count that RE2 accepts in a repetition.
const MOST_REPEATS: u32 = 1000;

/// How deep groups may nest. RE2 allows 1000; recursion here must stay far from the end of the stack.
const DEEPEST: u32 = 200;

#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "RE2's four flags, each on or off")]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
    ungreedy: bool,
}

struct Parser<'p> {
    rest: Peekable<Chars<'p>>,
    flags: Flags,
    depth: u32,
}

fn invalid(what: impl Into<String>) -> RegexError {
    RegexError::Invalid(what.into())
}

pub(super) fn parse(pattern: &str) -> Result<Node, RegexError> {
    let mut parser = Parser {
        rest: pattern.chars().peekable(),
        flags: Flags::default(),
        depth: 0,
    };
    let node = parser.alternatives()?;
    match parser.rest.next() {
        None => Ok(node),
        Some(_) => Err(invalid("a closing parenthesis without an opening one")),
    }
}

impl Parser<'_> {
    /// Everything up to the end of the group or of the pattern.
    fn alternatives(&mut self) -> Result<Node, RegexError> {
        let mut all = Vec::new();
        loop {
            all.push(self.sequence()?);
            if self.rest.next_if_eq(&'|').is_none() {
                break;
            }
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Node::Alternate(all),
        })
    }

    fn sequence(&mut self) -> Result<Node, RegexError> {
        let mut list: Vec<Node> = Vec::new();
        // Whether the last element may be repeated, and whether it already is.
        let (mut repeatable, mut repeated) = (false, false);
        while let Some(&next) = self.rest.peek() {
            let bounds = match next {
                '|' | ')' => break,
                '*' => Some((0, None)),
                '+' => Some((1, None)),
                '?' => Some((0, Some(1))),
                '{' => self.bounds()?,
                _ => None,
            };
            let Some((least, most)) = bounds else {
                let element = self.element()?;
                repeatable = element.is_some();
                repeated = false;
                list.extend(element);
                continue;
            };
            if next != '{' {
                self.rest.next();
            }
            if repeated {
                return Err(invalid(format!("two repetitions in a row at {next:?}")));
            }
            let node = list
                .pop()
                .filter(|_| repeatable)
                .ok_or_else(|| invalid(format!("nothing to repeat before {next:?}")))?;
            let lazy = self.rest.next_if_eq(&'?').is_some() != self.flags.ungreedy;
            list.push(Node::Repeat {
                node: Box::new(node),
                least,
                most,
                lazy,
            });
            repeated = true;
        }
        Ok(match list.len() {
            0 => Node::Empty,
            1 => list.remove(0),
            _ => Node::Concat(list),
        })
    }

    /// `{2}`, `{2,}` or `{2,5}`, consumed; anything else after the brace is text and stays where it is.
    fn bounds(&mut self) -> Result<Option<(u32, Option<u32>)>, RegexError> {
        let mut ahead = self.rest.clone();
        ahead.next();
        let number = |ahead: &mut Peekable<Chars<'_>>| {
            let mut digits = String::new();
            while let Some(digit) = ahead.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            (!digits.is_empty()).then(|| digits.parse::<u32>().unwrap_or(u32::MAX))
        };
        let Some(least) = number(&mut ahead) else {
            return Ok(None);
        };
        let most = if ahead.next_if_eq(&',').is_some() {
            number(&mut ahead)
        } else {
            Some(least)
        };
        if ahead.next() != Some('}') {
            return Ok(None);
        }
        if least > MOST_REPEATS || most.is_some_and(|most| most > MOST_REPEATS || most < least) {
            return Err(invalid("a repetition out of bounds"));
        }
        self.rest = ahead;
        Ok(Some((least, most)))
    }

    /// One element, or `None` for flags that only change what follows.
    fn element(&mut self) -> Result<Option<Node>, RegexError> {
        let Some(next) = self.rest.next() else { return Ok(None) };
        Ok(Some(match next {
            '(' => return self.group(),
            '[' => self.class()?,
            '.' if self.flags.dot_newline => Node::Class(Class::of([(0, LAST)])),
            '.' => Node::Class(Class::single('\n').negate()),
            '^' => Node::Start {
                line: self.flags.multi_line,
            },
            '$' => Node::End {
                line: self.flags.multi_line,
            },
            '\\' => self.escape()?,
            literal => self.literal(literal),
        }))
    }

    fn literal(&self, character: char) -> Node {
        let class = Class::single(character);
        Node::Class(if self.flags.fold_case { class.fold() } else { class })
    }

    fn group(&mut self) -> Result<Option<Node>, RegexError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(RegexError::NotPortable(format!("a group more than {DEEPEST} deep")));
        }
        let outer = self.flags;
        let mut captures = true;
        if self.rest.next_if_eq(&'?').is_some() {
            let named = self.rest.next_if_eq(&'P').is_some();
            if self.rest.next_if_eq(&'<').is_some() {
                let mut name = String::new();
                while let Some(letter) = self.rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(letter);
                }
                if name.is_empty() || self.rest.next() != Some('>') {
                    return Err(invalid("a group with a bad name"));
                }
            } else if named {
                return Err(invalid("(?P without a name"));
            } else if self.set_flags()? {
                // `(?i)`: no group at all, the flags hold for the rest of the enclosing one.
                self.depth -= 1;
                return Ok(None);
            } else {
                captures = false;
            }
        }
        let node = self.alternatives()?;
        if self.rest.next() != Some(')') {
            return Err(invalid("a group without an end"));
        }
        self.depth -= 1;
        self.flags = outer;
        // A group around a repetition may be repeated again: keep it apart from `a**`.
        Ok(Some(match node {
            node if captures => Node::Capture(Box::new(node)),
            Node::Repeat { .. } => Node::Concat(vec![node]),
            other => other,
        }))
    }

    /// The flags after `(?`; true when the group ends with them.
    fn set_flags(&mut self) -> Result<bool, RegexError> {
        let (mut on, mut any) = (true, false);
        loop {
            let flag = self.rest.next().ok_or_else(|| invalid("a group without an end"))?;
            match flag {
                'i' => self.flags.fold_case = on,
                'm' => self.flags.multi_line = on,
                's' => self.flags.dot_newline = on,
                'U' => self.flags.ungreedy = on,
                '-' if on => {
                    (on, any) = (false, false);
                    continue;
                }
                ':' | ')' if any || on => return Ok(flag == ')'),
                other => return Err(invalid(format!("the group (?{other}"))),
            }
            any = true;
        }
    }

    fn escape(&mut self) -> Result<Node, RegexError> {
        let next = self.rest.next().ok_or_else(|| invalid("a backslash at the end"))?;
        Ok(match next {
            'A' => Node::Start { line: false },
            'z' => Node::End { line: false },
            'b' | 'B' => Node::WordBoundary { negated: next == 'B' },
            'C' => return Err(RegexError::NotPortable("\\C".to_owned())),
            'p' | 'P' => return Err(self.unicode_class(next)),
            'Q' => self.quotation(),
            _ => {
                if let Some(class) = class::perl(next) {
                    return Ok(Node::Class(class));
                }
                let character = self.escaped_character(next)?;
                self.literal(character)
            }
        })
    }

    fn unicode_class(&mut self, letter: char) -> RegexError {
        let mut name = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            name.push('{');
            name.extend(std::iter::from_fn(|| self.rest.next_if(|c| *c != '}')));
            name.push('}');
        } else {
            name.extend(self.rest.next());
        }
        RegexError::NotPortable(format!("\\{letter}{name}"))
    }

    /// `\Q...\E`
    fn quotation(&mut self) -> Node {
        let mut list = Vec::new();
        while let Some(character) = self.rest.next() {
            if character == '\\' && self.rest.next_if_eq(&'E').is_some() {
                break;
            }
            list.push(self.literal(character));
        }
        Node::Concat(list)
    }

    /// The character that an escape stands for.
    fn escaped_character(&mut self, next: char) -> Result<char, RegexError> {
        let bad = || invalid(format!("the escape \\{next}"));
        Ok(match next {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '0'..='7' => {
                // A single digit other than 0 would be a back reference, which RE2 does not have.
                if next != '0' && !self.rest.peek().is_some_and(|c| ('0'..='7').contains(c)) {
                    return Err(bad());
                }
                let mut code = next.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.rest.next_if(|c| ('0'..='7').contains(c)) else {
                        break;
                    };
                    code = code * 8 + digit.to_digit(8).unwrap_or(0);
                }
                char::from_u32(code).ok_or_else(bad)?
            }
            'x' => {
                let digits: String = if self.rest.next_if_eq(&'{').is_some() {
                    let digits = std::iter::from_fn(|| self.rest.next_if(char::is_ascii_hexdigit)).collect();
                    if self.rest.next() != Some('}') {
                        return Err(bad());
                    }
                    digits
                } else {
                    let digits: String = self.rest.by_ref().take(2).collect();
                    // Two digits, not one and whatever follows.
                    if digits.len() != 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return Err(bad());
                    }
                    digits
                };
                u32::from_str_radix(&digits, 16)
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or_else(bad)?
            }
            punctuation if punctuation.is_ascii() && !punctuation.is_ascii_alphanumeric() => punctuation,
            _ => return Err(bad()),
        })
    }

    fn class(&mut self) -> Result<Node, RegexError> {
        let unfinished = || invalid("a character class without an end");
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        let mut first = true;
        loop {
            let next = self.rest.next().ok_or_else(unfinished)?;
            if next == ']' && !first {
                break;
            }
            first = false;
            if next == '['
                && self.rest.peek() == Some(&':')
                && let Some(class) = self.posix_class()?
            {
                ranges.extend_from_slice(class.ranges());
                continue;
            }
            if next == '\\'
                && let Some(&letter) = self.rest.peek()
            {
                if let Some(class) = class::perl(letter) {
                    self.rest.next();
                    ranges.extend_from_slice(class.ranges());
                    continue;
                }
                if letter == 'p' || letter == 'P' {
                    self.rest.next();
                    return Err(self.unicode_class(letter));
                }
            }
            let low = self.class_character(next)?;
            let mut high = low;
            let mut ahead = self.rest.clone();
            // A dash before the closing bracket is a dash.
            if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
                self.rest.next();
                let next = self.rest.next().ok_or_else(unfinished)?;
                high = self.class_character(next)?;
            }
            if high < low {
                return Err(invalid("a character range that ends before it begins"));
            }
            ranges.push((u32::from(low), u32::from(high)));
        }
        let mut class = Class::of(ranges);
        if self.flags.fold_case {
            class = class.fold();
        }
        Ok(Node::Class(if negated { class.negate() } else { class }))
    }

    fn class_character(&mut self, next: char) -> Result<char, RegexError> {
        if next != '\\' {
            return Ok(next);
        }
        let escaped = self.rest.next().ok_or_else(|| invalid("a backslash at the end"))?;
        self.escaped_character(escaped)
    }

    /// `[:alpha:]`, whose bracket is consumed; `None` when it is no such class but a plain bracket.
    fn posix_class(&mut self) -> Result<Option<Class>, RegexError> {
        let mut ahead = self.rest.clone();
        ahead.next();
        let name: String = std::iter::from_fn(|| ahead.next_if(|c| *c != ':' && *c != ']')).collect();
        if ahead.next() != Some(':') || ahead.next() != Some(']') {
            return Ok(None);
        }
        let class = class::posix(&name).ok_or_else(|| invalid(format!("the character class [:{name}:]")))?;
        self.rest = ahead;
        Ok(Some(class))
    }
}
