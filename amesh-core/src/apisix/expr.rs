//! `vars`: the conditions of a route, in the language of lua-resty-expr.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

/// An operator between a variable and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `==`
    Equal,
    /// `>=`, numeric: a variable that is no number makes it false.
    AtLeast,
    /// `<`, numeric: a variable that is no number makes it false.
    Less,
    /// `~~`: a PCRE somewhere in the value. Anchor with `^` and `\z`.
    Matches,
    /// `~*`: the same, ignoring case.
    MatchesIgnoringCase,
    /// `in`: equal to one of a list.
    In,
}

impl Operator {
    /// The operator as lua-resty-expr writes it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::AtLeast => ">=",
            Self::Less => "<",
            Self::Matches => "~~",
            Self::MatchesIgnoringCase => "~*",
            Self::In => "in",
        }
    }
}

/// The right-hand side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// A list of texts, for [`Operator::In`].
    List(Vec<String>),
}

/// A condition. A variable that does not exist makes `==`, `~~` and `in` false, and their negations true.
///
/// lua-resty-expr takes a list with fewer than two conditions for an error that never matches: use [`Expr::all`] and
/// [`Expr::any`], which make a list of one into the one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expr {
    /// A variable compared with a value.
    Compare {
        /// The variable: `uri`, `http_x_user`, `server_port`.
        variable: Cow<'static, str>,
        /// Whether the result is negated.
        negated: bool,
        /// How they are compared.
        operator: Operator,
        /// What the variable is compared with.
        value: Value,
    },
    /// All of the conditions.
    All(Vec<Expr>),
    /// At least one of the conditions.
    Any(Vec<Expr>),
    /// Not all of the conditions: at least one is false.
    NotAll(Vec<Expr>),
    /// None of the conditions.
    NotAny(Vec<Expr>),
}

impl Expr {
    /// `variable operator value`
    #[must_use]
    pub fn compare(variable: impl Into<Cow<'static, str>>, operator: Operator, value: Value) -> Self {
        Self::Compare {
            variable: variable.into(),
            negated: false,
            operator,
            value,
        }
    }

    /// `variable == text`
    #[must_use]
    pub fn equal(variable: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self::compare(variable, Operator::Equal, Value::Text(text.into()))
    }

    /// `variable ~~ regex`
    #[must_use]
    pub fn matches(variable: impl Into<Cow<'static, str>>, regex: impl Into<String>) -> Self {
        Self::compare(variable, Operator::Matches, Value::Text(regex.into()))
    }

    /// The variable exists, even if it is empty.
    ///
    /// lua-resty-expr's own form, a comparison with null, does not survive `apisix.yaml`: a YAML null is no nil there,
    /// and `["http_x", "~=", null]` is then true for every request. A pattern that matches everything works in YAML,
    /// JSON and the shared dictionary alike.
    #[must_use]
    pub fn present(variable: impl Into<Cow<'static, str>>) -> Self {
        Self::matches(variable, ".*")
    }

    /// The variable does not exist.
    #[must_use]
    pub fn absent(variable: impl Into<Cow<'static, str>>) -> Self {
        Self::present(variable).negate()
    }

    /// All of the conditions, of which there must be at least one.
    #[must_use]
    pub fn all(mut list: Vec<Self>) -> Self {
        if list.len() == 1 {
            list.remove(0)
        } else {
            Self::All(list)
        }
    }

    /// At least one of the conditions, of which there must be at least one.
    #[must_use]
    pub fn any(mut list: Vec<Self>) -> Self {
        if list.len() == 1 {
            list.remove(0)
        } else {
            Self::Any(list)
        }
    }

    /// The opposite of this condition.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::Compare {
                variable,
                negated,
                operator,
                value,
            } => Self::Compare {
                variable,
                negated: !negated,
                operator,
                value,
            },
            Self::All(list) => Self::NotAll(list),
            Self::Any(list) => Self::NotAny(list),
            Self::NotAll(list) => Self::All(list),
            Self::NotAny(list) => Self::Any(list),
        }
    }
}

impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (word, list) = match self {
            Self::Compare {
                variable,
                negated,
                operator,
                value,
            } => {
                let mut seq = serializer.serialize_seq(Some(if *negated { 4 } else { 3 }))?;
                seq.serialize_element(variable)?;
                if *negated {
                    seq.serialize_element("!")?;
                }
                seq.serialize_element(operator.text())?;
                seq.serialize_element(value)?;
                return seq.end();
            }
            Self::All(list) => ("AND", list),
            Self::Any(list) => ("OR", list),
            Self::NotAll(list) => ("!AND", list),
            Self::NotAny(list) => ("!OR", list),
        };
        let mut seq = serializer.serialize_seq(Some(list.len() + 1))?;
        seq.serialize_element(word)?;
        for expr in list {
            seq.serialize_element(expr)?;
        }
        seq.end()
    }
}
