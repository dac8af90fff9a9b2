//! lua-resty-expr: the language of `vars`.

use std::cell::RefCell;
use std::collections::HashMap;

use pcre2::bytes::{Regex, RegexBuilder};
use serde_json::Value;

/// Whether an expression holds. `variable` tells the value of a variable, `None` for nil.
pub(crate) fn holds(expr: &Value, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let list = expr.as_array().unwrap_or_else(|| panic!("not an expression: {expr}"));
    match list.first() {
        // A list of expressions is their conjunction; an empty one, which only a whole `vars` may be, always holds.
        None | Some(Value::Array(_)) => list.iter().all(|expr| holds(expr, variable)),
        Some(Value::String(word)) => match word.as_str() {
            "AND" => logic(list).iter().all(|expr| holds(expr, variable)),
            "OR" => logic(list).iter().any(|expr| holds(expr, variable)),
            "!AND" => !logic(list).iter().all(|expr| holds(expr, variable)),
            "!OR" => !logic(list).iter().any(|expr| holds(expr, variable)),
            name => match list.as_slice() {
                [_, operator, value] => compare(variable(name), text(operator), value),
                [_, Value::String(not), operator, value] if not == "!" => {
                    !compare(variable(name), text(operator), value)
                }
                _ => panic!("not a comparison: {expr}"),
            },
        },
        Some(_) => panic!("not an expression: {expr}"),
    }
}

/// The operands of a logic list. APISIX refuses a route that has a list with less than two.
fn logic(list: &[Value]) -> &[Value] {
    assert!(list.len() > 2, "rule too short: {list:?}");
    &list[1..]
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

fn compare(left: Option<String>, operator: &str, right: &Value) -> bool {
    match operator {
        "==" => equal(left, right),
        "~=" => !equal(left, right),
        "<" => numbers(left, right).is_some_and(|(left, right)| left < right),
        "<=" => numbers(left, right).is_some_and(|(left, right)| left <= right),
        ">" => numbers(left, right).is_some_and(|(left, right)| left > right),
        ">=" => numbers(left, right).is_some_and(|(left, right)| left >= right),
        "~~" => left.is_some_and(|left| found(text(right), false, &left)),
        "~*" => left.is_some_and(|left| found(text(right), true, &left)),
        // Nothing is converted here: a text never equals a number.
        "in" => {
            let list = right.as_array().unwrap_or_else(|| panic!("not a list: {right}"));
            left.is_some_and(|left| list.iter().any(|value| value.as_str() == Some(&left)))
        }
        _ => panic!("no such operator: {operator}"),
    }
}

/// A number on the right makes it a comparison of numbers. There is no null: in YAML it is no nil.
fn equal(left: Option<String>, right: &Value) -> bool {
    match right {
        Value::Number(_) => numbers(left, right).is_some_and(|(left, right)| left.total_cmp(&right).is_eq()),
        _ => left.is_some_and(|left| left == text(right)),
    }
}

fn numbers(left: Option<String>, right: &Value) -> Option<(f64, f64)> {
    let right = match right {
        Value::Number(number) => number.as_f64(),
        other => number(text(other)),
    };
    Some((number(&left?)?, right?))
}

/// Lua's `tonumber`: also hexadecimal, with blanks around, but no signed infinity and no NaN as anyone here sends it.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t']);
    let digits = text.trim_start_matches(['+', '-']);
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let value = f64::from(u32::from_str_radix(hex, 16).ok()?);
        return Some(if text.starts_with('-') { -value } else { value });
    }
    if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        text.parse().ok()
    } else {
        None
    }
}

/// Whether a PCRE is found somewhere in a text. One that does not compile is found nowhere, and APISIX loads it all the
/// same: whoever wrote it made a mistake.
fn found(pattern: &str, ignore_case: bool, subject: &str) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<(String, bool), Regex>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        compiled
            .entry((pattern.to_owned(), ignore_case))
            .or_insert_with(|| {
                RegexBuilder::new()
                    .caseless(ignore_case)
                    .build(pattern)
                    .unwrap_or_else(|error| panic!("{pattern}: {error}"))
            })
            .is_match(subject.as_bytes())
            .unwrap_or_else(|error| panic!("{pattern}: {error}"))
    })
}
