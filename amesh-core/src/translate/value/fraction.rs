//! Fractions of requests.
//!
//! APISIX has no random variable that a route could compare, but nginx gives every request an id of 32 random
//! hexadecimal digits. Eight of them, read as a number, tell fractions apart down to one in four thousand million.
//!
//! Envoy draws one number for a request and looks at its remainder by the fraction's denominator. So two fractions of a
//! hundred are about the same draw: 10 % and then 25 % take 25 % together, not 32.5 %; a fraction of a hundred and one of
//! ten thousand share the last two decimal places only. Three groups of digits stand for three pairs of decimal places.

use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;

use crate::apisix::Expr;
use crate::apisix::plugin::Part;
use crate::feature::{Feature, Message, exact};

pub(crate) const FEATURE: Feature = Feature {
    name: "value/fraction",
    summary: "Fractions of requests are decided by the digits of nginx's random request id.",
    messages: &[Message {
        name: "envoy.type.v3.FractionalPercent",
        fields: &[
            exact("numerator", "route.vars[]: request_id"),
            exact("denominator", "route.vars[]: request_id"),
        ],
    }],
    extensions: &[],
    rules: &[],
};

/// The whole: all values that eight hexadecimal digits can have.
pub(crate) const WHOLE: u64 = 1 << 32;

/// Which digits of the request id decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digits {
    /// Digits 1 to 8: the last two decimal places of Envoy's number.
    Hundredths,
    /// Digits 9 to 16: the two places before.
    TenThousandths,
    /// Digits 17 to 24: the two places before those.
    Millionths,
    /// Digits 25 to 32: which of several groups of clusters gets the request.
    Split,
}

/// What a fraction comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Share {
    /// No request.
    None,
    /// Every request.
    All,
    /// The requests that meet the condition.
    Some(Expr),
}

/// A fraction in numbers, at most the whole. `None` when the denominator is newer than Amesh's types.
pub(crate) fn part(fraction: FractionalPercent) -> Option<Part> {
    let FractionalPercent { numerator, denominator } = fraction;
    let denominator = match DenominatorType::try_from(denominator).ok()? {
        DenominatorType::Hundred => 100,
        DenominatorType::TenThousand => 10_000,
        DenominatorType::Million => 1_000_000,
    };
    Some(Part {
        numerator: numerator.min(denominator),
        denominator,
    })
}

/// The requests that make up a fraction. `None` when the denominator is newer than Amesh's types.
pub(crate) fn share(fraction: FractionalPercent) -> Option<Share> {
    let FractionalPercent { numerator, denominator } = fraction;
    let (denominator, places): (u32, &[Digits]) = match DenominatorType::try_from(denominator).ok()? {
        DenominatorType::Hundred => (100, &[Digits::Hundredths]),
        DenominatorType::TenThousand => (10_000, &[Digits::TenThousandths, Digits::Hundredths]),
        DenominatorType::Million => (
            1_000_000,
            &[Digits::Millionths, Digits::TenThousandths, Digits::Hundredths],
        ),
    };
    Some(match numerator {
        0 => Share::None,
        numerator if numerator >= denominator => Share::All,
        numerator => remainder_below(numerator, places).map_or(Share::None, Share::Some),
    })
}

/// The requests whose number, by these pairs of decimal places from the front, is below a limit.
fn remainder_below(limit: u32, places: &[Digits]) -> Option<Expr> {
    let (first, rest) = places.split_first()?;
    let unit = 100_u32.pow(u32::try_from(rest.len()).ok()?);
    let (pair, after) = (limit / unit, limit % unit);
    let smaller = (pair > 0).then(|| pair_below(pair, *first));
    // The first pair is smaller, or it is equal and what follows is smaller.
    let equal = remainder_below(after, rest)
        .filter(|_| after > 0)
        .map(|rest| match pair {
            99 => rest,
            pair => Expr::All(vec![pair_below(pair + 1, *first), rest]),
        });
    match (smaller, equal) {
        (Some(smaller), Some(equal)) => Some(Expr::Any(vec![smaller, equal])),
        (smaller, equal) => smaller.or(equal),
    }
}

/// The requests whose pair of decimal places is below a number between 1 and 99.
fn pair_below(pair: u32, digits: Digits) -> Expr {
    below(u64::from(pair) * WHOLE / 100, digits)
}

/// The requests whose digits, read as a number, are below a bound between 1 and [`WHOLE`].
pub(crate) fn below(bound: u64, digits: Digits) -> Expr {
    // For the bound 4ab…: a first digit below 4, or 4 and a second digit below a, or 4a and a third digit below b…
    let text = format!("{:08x}", bound.min(WHOLE - 1));
    let mut choices = Vec::new();
    for (position, digit) in text.char_indices() {
        let (before, _) = text.split_at(position);
        match digit.to_digit(16).unwrap_or(0) {
            0 => {}
            1 => choices.push(format!("{before}0")),
            value => choices.push(format!("{before}{}", digits_below(value))),
        }
    }
    if bound >= WHOLE {
        choices.push(text);
    }
    let skip = match digits {
        Digits::Hundredths => "",
        Digits::TenThousandths => ".{8}",
        Digits::Millionths => ".{16}",
        Digits::Split => ".{24}",
    };
    Expr::matches("request_id", format!("^{skip}(?:{})", choices.join("|")))
}

fn digits_below(value: u32) -> String {
    let last = char::from_digit(value - 1, 16).unwrap_or('0');
    if value == 11 {
        "[0-9a]".to_owned()
    } else if value <= 10 {
        format!("[0-{last}]")
    } else {
        format!("[0-9a-{last}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(numerator: u32, denominator: DenominatorType) -> String {
        let fraction = FractionalPercent {
            numerator,
            denominator: denominator.into(),
        };
        match share(fraction) {
            Some(Share::Some(expr)) => serde_json::to_string(&expr).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn half_is_half_of_the_first_digit() {
        assert_eq!(
            condition(50, DenominatorType::Hundred),
            r#"["request_id","~~","^(?:[0-7])"]"#
        );
        assert_eq!(condition(0, DenominatorType::Hundred), "Some(None)");
        assert_eq!(condition(100, DenominatorType::Hundred), "Some(All)");
    }

    #[test]
    fn a_millionth_is_one_hundredth_of_a_hundredth_of_a_hundredth() {
        // 2^32 / 100 = 42949672 = 0x028f5c28
        let pair = "0[0-1]|02[0-7]|028[0-9a-e]|028f[0-4]|028f5[0-9a-b]|028f5c[0-1]|028f5c2[0-7]";
        assert_eq!(
            condition(1, DenominatorType::Million),
            format!(
                r#"["AND",["request_id","~~","^.{{16}}(?:{pair})"],["AND",["request_id","~~","^.{{8}}(?:{pair})"],["request_id","~~","^(?:{pair})"]]]"#
            )
        );
    }

    #[test]
    fn a_fraction_in_one_pair_of_places_needs_no_other() {
        assert_eq!(
            condition(5_000, DenominatorType::TenThousand),
            r#"["request_id","~~","^.{8}(?:[0-7])"]"#
        );
    }
}
