//! What Envoy refuses of header matchers and of changes to headers.

use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::route::v3::HeaderMatcher;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::check::{self, Checked, not_empty, refuse};
use crate::field_path::Path;

/// A condition on a header.
#[expect(
    deprecated,
    reason = "Istio still sends the forms that are older than `string_match`"
)]
pub(super) fn matcher(matcher: &HeaderMatcher, at: Path<'_>) -> Checked {
    not_empty(&matcher.name, at.field("name"))?;
    match &matcher.header_match_specifier {
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => not_empty(text, at.field("prefix_match")),
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => not_empty(text, at.field("suffix_match")),
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => not_empty(text, at.field("contains_match")),
        Some(HeaderMatchSpecifier::SafeRegexMatch(regex)) => check::regex(regex, at.field("safe_regex_match")),
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => string(matcher, at.field("string_match")),
        Some(
            HeaderMatchSpecifier::ExactMatch(_)
            | HeaderMatchSpecifier::RangeMatch(_)
            | HeaderMatchSpecifier::PresentMatch(_),
        )
        | None => Ok(()),
    }
}

/// A condition on a text.
pub(super) fn string(matcher: &StringMatcher, at: Path<'_>) -> Checked {
    match &matcher.match_pattern {
        Some(MatchPattern::Prefix(text)) => not_empty(text, at.field("prefix")),
        Some(MatchPattern::Suffix(text)) => not_empty(text, at.field("suffix")),
        Some(MatchPattern::Contains(text)) => not_empty(text, at.field("contains")),
        Some(MatchPattern::SafeRegex(_)) if matcher.ignore_case => {
            refuse(at.field("ignore_case"), "has no effect on a safe_regex")
        }
        Some(MatchPattern::SafeRegex(regex)) => check::regex(regex, at.field("safe_regex")),
        Some(MatchPattern::Exact(_) | MatchPattern::Custom(_)) => Ok(()),
        None => refuse(at, "no pattern"),
    }
}

/// Headers that are added.
pub(super) fn added(headers: &[HeaderValueOption], at: Path<'_>) -> Checked {
    for (index, option) in headers.iter().enumerate() {
        let at = at.index(index);
        let Some(header) = &option.header else {
            return refuse(at, "no header");
        };
        let at = at.field("header");
        changed(&header.key, at.field("key"))?;
        if header.value.contains(['\0', '\r', '\n']) {
            return refuse(at.field("value"), "a header cannot hold a line break");
        }
    }
    Ok(())
}

/// Headers that are removed.
pub(super) fn removed(names: &[String], at: Path<'_>) -> Checked {
    for (index, name) in names.iter().enumerate() {
        changed(name, at.index(index))?;
    }
    Ok(())
}

fn changed(name: &str, at: Path<'_>) -> Checked {
    not_empty(name, at)?;
    if name.contains(['\0', '\r', '\n']) {
        return refuse(at, "a header's name cannot hold a line break");
    }
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        return refuse(at, format!("{name:?} cannot be changed as a header"));
    }
    Ok(())
}
