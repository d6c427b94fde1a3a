//! `:matches`: `*` and `?`, in time that grows with value times pattern at worst.

enum Piece {
    Char(char),
    One,
    Any,
}

/// What the wildcards of `pattern` stand for in `value`, after the whole of it; `None` if it does not match. `*` takes as
/// little as it can (RFC 5229 section 3.2). Besides: how many steps that took.
pub(super) fn find(value: &str, pattern: &str, same: impl Fn(char, char) -> bool) -> (Option<Vec<String>>, usize) {
    let pieces = pieces(pattern);
    let text: Vec<char> = value.chars().collect();
    let mut taken: Vec<(usize, usize)> = Vec::new();
    // The last `*`: its piece, how much it has taken, and how many wildcards came before it.
    let mut star: Option<(usize, usize, usize, usize)> = None;
    let (mut at, mut piece, mut steps) = (0, 0, 0);
    loop {
        steps += 1;
        match pieces.get(piece) {
            Some(Piece::Any) => {
                star = Some((piece, at, at, taken.len()));
                taken.push((at, at));
                piece += 1;
                continue;
            }
            Some(Piece::One) if at < text.len() => {
                taken.push((at, at + 1));
                (at, piece) = (at + 1, piece + 1);
                continue;
            }
            Some(Piece::Char(c)) if text.get(at).is_some_and(|other| same(*other, *c)) => {
                (at, piece) = (at + 1, piece + 1);
                continue;
            }
            None if at == text.len() => break,
            _ => {}
        }
        let Some((star_piece, begin, end, before)) = star else { return (None, steps) };
        if end >= text.len() {
            return (None, steps);
        }
        star = Some((star_piece, begin, end + 1, before));
        taken.truncate(before);
        taken.push((begin, end + 1));
        (at, piece) = (end + 1, star_piece + 1);
    }
    let part = |(begin, end): (usize, usize)| text[begin..end].iter().collect::<String>();
    let mut values = vec![value.to_owned()];
    values.extend(taken.into_iter().take(crate::limits::MAX_MATCH_VALUES).map(part));
    (Some(values), steps)
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Char(chars.next().unwrap_or('\\')),
            c => Piece::Char(c),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_take_what_stands_for_them() {
        for (value, pattern, found) in [
            ("frop.......frop.........frop....", "?*frop*", Some(vec!["f", "rop.......", ".........frop...."])),
            ("abc", "*", Some(vec!["abc"])),
            ("abc", "a?c", Some(vec!["b"])),
            ("abc", "a\\?c", None),
            ("a?c", "a\\?c", Some(vec![])),
            ("", "*", Some(vec![""])),
            ("", "?", None),
            ("aXbXc", "*X*", Some(vec!["a", "bXc"])),
            ("abab", "*ab", Some(vec!["ab"])),
            ("ABC", "abc", None),
        ] {
            let values = find(value, pattern, |a, b| a == b).0;
            let found = found.map(|mut rest| {
                rest.insert(0, value);
                rest.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()
            });
            assert_eq!(values, found, "{value} {pattern}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_value_times_pattern_at_most() {
        let (found, steps) = find(&"a".repeat(2_000), &"a*".repeat(50).replace("a*a", "*a"), |a, b| a == b);
        assert!(found.is_some() || steps < 2_000 * 200);
        let (found, steps) = find(&"a".repeat(2_000), &("*a".repeat(60) + "b"), |a, b| a == b);
        assert!(found.is_none() && steps < 2_000 * 130, "{steps}");
    }
}
