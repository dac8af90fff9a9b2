//! Names near a name that does not exist.

/// Below this likeness a suggestion would only puzzle.
const LIKE: f64 = 0.7;

/// So much less like than the likest is not worth naming beside it.
const NEARLY: f64 = 0.1;

/// Up to three of the known names that are most like the given one, the likest first.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = name.to_ascii_lowercase();
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| (likeness(&wanted, &candidate.to_ascii_lowercase()), candidate))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let best = scored.first().map_or(0.0, |(score, _)| *score);
    scored.retain(|(score, _)| *score >= LIKE.max(best - NEARLY));
    scored.dedup_by_key(|(_, candidate)| *candidate);
    scored.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// From 0 to 1. A part of a name counts as near: people remember the word, not what stands around it.
fn likeness(wanted: &str, candidate: &str) -> f64 {
    let whole = strsim::normalized_damerau_levenshtein(wanted, candidate);
    if wanted.len() >= 3 && candidate.contains(wanted) {
        whole.max(0.9)
    } else {
        whole
    }
}

/// `did you mean ...?` for up to three names; nothing when there are none.
pub(crate) fn question(names: &[&str]) -> Option<String> {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => None,
        [one] => Some(format!("did you mean {one}?")),
        [first @ .., last] => Some(format!("did you mean {} or {last}?", first.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_and_a_part_are_near_and_nonsense_is_not() {
        let known = ["istio-mutual-tls", "route-redirect", "cluster-original-dst"];
        assert_eq!(nearest("istio-mutal-tls", known), ["istio-mutual-tls"]);
        assert_eq!(nearest("mutual-tls", known), ["istio-mutual-tls"]);
        assert_eq!(nearest("zzzz", known), [""; 0]);
    }

    #[test]
    fn the_question_reads_like_a_sentence() {
        assert_eq!(question(&[]), None);
        assert_eq!(question(&["a"]).as_deref(), Some("did you mean `a`?"));
        assert_eq!(
            question(&["a", "b", "c"]).as_deref(),
            Some("did you mean `a`, `b` or `c`?")
        );
    }
}
