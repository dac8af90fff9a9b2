//! Fractions of requests.
//!
//! APISIX has no random variable that a route could compare, but nginx gives every request an id of 32 random
//! hexadecimal digits. A fraction is the requests whose digits, read as a number, lie below a bound: eight digits tell
//! fractions apart down to one in four thousand million, far below Envoy's own millionths.

use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;

use crate::apisix::Expr;
use crate::coverage::{Feature, Message, exact};

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

/// Which digits of the request id decide. Two decisions about one request must not share digits, or the second would
/// follow from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digits {
    /// Digits 1 to 8: whether a route takes the request.
    Match,
    /// Digits 9 to 16: which of several groups of clusters gets it.
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

/// The requests that make up a fraction. `None` when the denominator is newer than Amesh's types.
pub(crate) fn share(fraction: FractionalPercent, digits: Digits) -> Option<Share> {
    let FractionalPercent { numerator, denominator } = fraction;
    let denominator = match DenominatorType::try_from(denominator).ok()? {
        DenominatorType::Hundred => 100,
        DenominatorType::TenThousand => 10_000,
        DenominatorType::Million => 1_000_000,
    };
    if numerator == 0 {
        return Some(Share::None);
    }
    if numerator >= denominator {
        return Some(Share::All);
    }
    Some(Share::Some(below(
        u64::from(numerator) * WHOLE / u64::from(denominator),
        digits,
    )))
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
        Digits::Match => "",
        Digits::Split => ".{8}",
    };
    Expr::matches("request_id", format!("^{skip}(?:{})", choices.join("|")))
}

fn digits_below(value: u32) -> String {
    let last = char::from_digit(value - 1, 16).unwrap_or('0');
    if value <= 10 {
        format!("[0-{last}]")
    } else {
        format!("[0-9a-{last}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(numerator: u32, denominator: DenominatorType) -> String {
        let fraction = FractionalPercent {
            numerator,
            denominator: denominator.into(),
        };
        match share(fraction, Digits::Match) {
            Some(Share::Some(Expr::Compare {
                value: crate::apisix::Value::Text(text),
                ..
            })) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn half_is_half_of_the_first_digit() {
        assert_eq!(pattern(50, DenominatorType::Hundred), "^(?:[0-7])");
        assert_eq!(pattern(0, DenominatorType::Hundred), "Some(None)");
        assert_eq!(pattern(100, DenominatorType::Hundred), "Some(All)");
    }

    #[test]
    fn a_millionth_is_no_zero() {
        // 2^32 / 10^6 = 4294 = 0x000010c6
        assert_eq!(
            pattern(1, DenominatorType::Million),
            "^(?:00000|000010[0-9a-b]|000010c[0-5])"
        );
    }
}
