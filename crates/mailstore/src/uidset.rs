//! A set of UIDs as ascending ranges: what IMAP writes as `1:4,7,9:12`.

use std::fmt;

use crate::Uid;

/// UIDs as ascending, disjoint, non-adjacent, inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// No UIDs.
    pub const EMPTY: Self = Self(Vec::new());

    /// From ranges in any order, overlapping or reversed (`9:4` means `4:9`). Zero is no UID and is left out.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut ranges: Vec<_> = ranges
            .into_iter()
            .map(|(a, b)| (a.min(b).max(1), a.max(b)))
            .filter(|(first, last)| first <= last)
            .collect();
        ranges.sort_unstable();
        let mut set: Vec<(u32, u32)> = Vec::new();
        for (first, last) in ranges {
            match set.last_mut() {
                Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
                _ => set.push((first, last)),
            }
        }
        Self(set)
    }

    /// The ranges, ascending, inclusive.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many UIDs there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether `uid` is among them. O(log ranges).
    pub fn contains(&self, uid: Uid) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= uid.0);
        after > 0 && self.0[after - 1].1 >= uid.0
    }

    /// All UIDs, ascending. Beware of `1:*`.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.0.iter().flat_map(|(first, last)| (*first..=*last).map(Uid))
    }

    /// The UIDs that are in either.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.0.iter().chain(&other.0).copied())
    }

    /// The UIDs that are in this set and not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        let mut holes = other.0.iter().peekable();
        for &(first, last) in &self.0 {
            let mut next = u64::from(first);
            while holes.next_if(|hole| hole.1 < first).is_some() {}
            while let Some(&&(from, to)) = holes.peek().filter(|hole| hole.0 <= last) {
                if u64::from(from) > next {
                    left.push((next as u32, from - 1));
                }
                next = next.max(u64::from(to) + 1);
                if to > last {
                    break;
                }
                holes.next();
            }
            if next <= u64::from(last) {
                left.push((next as u32, last));
            }
        }
        Self(left)
    }

    /// The UIDs from `first` to `last` that are not in this set.
    pub fn complement(&self, first: Uid, last: Uid) -> Self {
        let mut gaps = Vec::new();
        let mut next = u64::from(first.0.max(1));
        for &(a, b) in &self.0 {
            if u64::from(a) > next {
                gaps.push((next as u32, (a - 1).min(last.0)));
            }
            next = next.max(u64::from(b) + 1);
        }
        if next <= u64::from(last.0) {
            gaps.push((next as u32, last.0));
        }
        gaps.retain(|(a, b)| a <= b && *a <= last.0);
        Self(gaps)
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        Self::from_ranges(uids.into_iter().map(|uid| (uid.0, uid.0)))
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}:{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_join_and_print_as_imap_writes_them() {
        let set = UidSet::from_ranges([(9, 7), (1, 2), (3, 3), (0, 0), (8, 12)]);
        assert_eq!(set.to_string(), "1:3,7:12");
        assert_eq!(set.complement(Uid(1), Uid(14)).to_string(), "4:6,13:14");
        assert_eq!(UidSet::from_ranges([(1, u32::MAX)]).complement(Uid(1), Uid(u32::MAX)), UidSet::EMPTY);
    }

    proptest! {
        #[test]
        fn behaves_as_a_plain_set(a in prop::collection::vec((0u32..40, 0u32..40), 0..8),
                                  b in prop::collection::vec((0u32..40, 0u32..40), 0..8)) {
            let plain = |r: &[(u32, u32)]| -> BTreeSet<u32> {
                r.iter().flat_map(|(x, y)| *x.min(y)..=*x.max(y)).filter(|n| *n > 0).collect()
            };
            let (pa, pb) = (plain(&a), plain(&b));
            let (sa, sb) = (UidSet::from_ranges(a), UidSet::from_ranges(b));
            prop_assert_eq!(sa.iter().map(|u| u.0).collect::<BTreeSet<_>>(), pa.clone());
            prop_assert_eq!(sa.len(), pa.len() as u64);
            prop_assert_eq!(sa.difference(&sb).iter().map(|u| u.0).collect::<BTreeSet<_>>(), &pa - &pb);
            prop_assert_eq!(sa.union(&sb).iter().map(|u| u.0).collect::<BTreeSet<_>>(), &pa | &pb);
            for n in 0..41 { prop_assert_eq!(sa.contains(Uid(n)), pa.contains(&n)); }
            let gaps: BTreeSet<u32> = sa.complement(Uid(5), Uid(30)).iter().map(|u| u.0).collect();
            prop_assert_eq!(gaps, (5..=30).filter(|n| !pa.contains(n)).collect::<BTreeSet<_>>());
        }
    }
}
