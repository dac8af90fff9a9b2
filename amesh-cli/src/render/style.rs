//! Colours: a compiler's. They reach only terminals that show them, which `anstream` sees to.

use anstyle::{AnsiColor, Style};

use amesh_core::Outcome;

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Green.on_default().bold();
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const PLACE: Style = AnsiColor::Blue.on_default().bold();
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const ADDED: Style = AnsiColor::Green.on_default();
pub(crate) const REMOVED: Style = AnsiColor::Red.on_default();
pub(crate) const CHANGED: Style = AnsiColor::Yellow.on_default();

/// The word and the colour of a finding. A permitted one is a warning: traffic goes on without what was guarded.
pub(crate) const fn severity(outcome: Outcome, permitted: bool) -> (&'static str, Style) {
    match outcome {
        Outcome::FailsClosed if permitted => ("warning", WARNING),
        Outcome::FailsClosed => ("error", ERROR),
        Outcome::LeftOut => ("warning", WARNING),
        Outcome::Approximated | Outcome::Ignored => ("note", NOTE),
    }
}

/// What an outcome does to traffic, as half a sentence.
pub(crate) const fn effect(outcome: Outcome, permitted: bool) -> &'static str {
    match outcome {
        Outcome::FailsClosed if permitted => "served without what this guards, because it was permitted",
        Outcome::FailsClosed => "refused, because serving it without this could be unsafe",
        Outcome::LeftOut => "served without this, or not served",
        Outcome::Approximated => "served, with this difference",
        Outcome::Ignored => "served as Envoy would",
    }
}
