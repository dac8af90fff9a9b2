//! Sets of characters.

/// A set of Unicode scalar values: sorted ranges with gaps between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Class(Vec<(u32, u32)>);

/// The last character of Unicode.
pub(super) const LAST: u32 = 0x0010_FFFF;

impl Class {
    pub(super) fn of(ranges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut list: Vec<(u32, u32)> = ranges.into_iter().collect();
        list.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(list.len());
        for (low, high) in list {
            match merged.last_mut() {
                Some((_, end)) if low <= end.saturating_add(1) => *end = (*end).max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    pub(super) fn single(character: char) -> Self {
        Self(vec![(u32::from(character), u32::from(character))])
    }

    pub(super) fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    pub(super) fn contains(&self, character: u32) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&character))
    }

    /// Every character that is not in this set.
    pub(super) fn negate(&self) -> Self {
        let mut list = Vec::with_capacity(self.0.len() + 1);
        let mut next = 0;
        for (low, high) in &self.0 {
            if *low > next {
                list.push((next, low - 1));
            }
            next = high + 1;
        }
        if next <= LAST {
            list.push((next, LAST));
        }
        Self(list)
    }

    /// This set without one character.
    pub(super) fn without(&self, character: u32) -> Self {
        let split = |(low, high): (u32, u32)| {
            if (low..=high).contains(&character) {
                let before = (character > low).then(|| (low, character - 1));
                let after = (character < high).then(|| (character + 1, high));
                [before, after]
            } else {
                [Some((low, high)), None]
            }
        };
        Self(self.0.iter().copied().flat_map(split).flatten().collect())
    }

    /// This set with the other case of every ASCII letter in it.
    pub(super) fn fold(&self) -> Self {
        let shifted = |from: (u32, u32), up: bool| {
            self.0.iter().filter_map(move |(low, high)| {
                let (low, high) = ((*low).max(from.0), (*high).min(from.1));
                (low <= high).then(|| {
                    if up {
                        (low - 32, high - 32)
                    } else {
                        (low + 32, high + 32)
                    }
                })
            })
        };
        Self::of(
            self.0
                .iter()
                .copied()
                .chain(shifted((0x61, 0x7a), true))
                .chain(shifted((0x41, 0x5a), false)),
        )
    }

    /// The ASCII characters of the set.
    pub(super) fn ascii(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(low, _)| *low < 0x80)
                .map(|(low, high)| (*low, (*high).min(0x7f)))
                .collect(),
        )
    }

    /// The characters of the set beyond ASCII.
    pub(super) fn beyond_ascii(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(_, high)| *high >= 0x80)
                .map(|(low, high)| ((*low).max(0x80), *high))
                .collect(),
        )
    }

    /// How many characters there are.
    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|(low, high)| high - low + 1).sum()
    }

    /// Whether the set was written out rather than being "all but these".
    pub(super) fn is_narrow(&self) -> bool {
        !self.contains(LAST)
    }
}

/// `\d`, `\s`, `\w` and their opposites.
pub(super) fn perl(letter: char) -> Option<Class> {
    let ranges: &[(char, char)] = match letter.to_ascii_lowercase() {
        'd' => &[('0', '9')],
        's' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        'w' => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        _ => return None,
    };
    let class = Class::of(ranges.iter().map(|(low, high)| (u32::from(*low), u32::from(*high))));
    Some(if letter.is_ascii_uppercase() {
        class.negate()
    } else {
        class
    })
}

/// `[:alpha:]` and the like, by what is between the colons.
pub(super) fn posix(name: &str) -> Option<Class> {
    let (name, negated) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let ranges: &[(u32, u32)] = match name {
        "alnum" => &[(0x30, 0x39), (0x41, 0x5a), (0x61, 0x7a)],
        "alpha" => &[(0x41, 0x5a), (0x61, 0x7a)],
        "ascii" => &[(0, 0x7f)],
        "blank" => &[(0x09, 0x09), (0x20, 0x20)],
        "cntrl" => &[(0, 0x1f), (0x7f, 0x7f)],
        "digit" => &[(0x30, 0x39)],
        "graph" => &[(0x21, 0x7e)],
        "lower" => &[(0x61, 0x7a)],
        "print" => &[(0x20, 0x7e)],
        "punct" => &[(0x21, 0x2f), (0x3a, 0x40), (0x5b, 0x60), (0x7b, 0x7e)],
        "space" => &[(0x09, 0x0d), (0x20, 0x20)],
        "upper" => &[(0x41, 0x5a)],
        "word" => &[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)],
        "xdigit" => &[(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)],
        _ => return None,
    };
    let class = Class::of(ranges.iter().copied());
    Some(if negated { class.negate() } else { class })
}
