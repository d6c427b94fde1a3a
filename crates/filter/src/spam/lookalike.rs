//! Names that look like others.

/// Most characters of a name that are looked at.
const MAX_CHARS: usize = 100;

/// How a name looks: characters that can't be told apart at a glance are one, marks and blanks are left out.
pub fn skeleton(name: &str) -> String {
    let mut out = String::with_capacity(name.len().min(MAX_CHARS));
    for c in name.chars().take(MAX_CHARS).flat_map(char::to_lowercase) {
        let plain = match c {
            '\u{430}' | '\u{3b1}' | 'à'..='å' => 'a',
            '\u{441}' | '\u{3f2}' | 'ç' => 'c',
            '\u{501}' => 'd',
            '\u{435}' | '\u{451}' | '\u{3b5}' | 'è'..='ë' => 'e',
            '\u{4bb}' => 'h',
            '\u{456}' | '\u{457}' | '\u{3b9}' | '\u{131}' | 'ì'..='ï' | '1' | 'l' | '|' | '\u{4cf}' => 'i',
            '\u{458}' => 'j',
            '\u{43a}' | '\u{3ba}' => 'k',
            '\u{578}' | 'ñ' => 'n',
            '\u{43e}' | '\u{3bf}' | 'ò'..='ö' | '0' => 'o',
            '\u{440}' | '\u{3c1}' => 'p',
            '\u{51b}' => 'q',
            '\u{455}' | '5' => 's',
            '\u{442}' | '\u{3c4}' => 't',
            '\u{57d}' | '\u{3c5}' | 'ù'..='ü' => 'u',
            '\u{3bd}' => 'v',
            '\u{51d}' => 'w',
            '\u{445}' | '\u{3c7}' => 'x',
            '\u{443}' | 'ý' | 'ÿ' => 'y',
            '\u{261}' => 'g',
            c if c.is_alphanumeric() || c == '.' => c,
            _ => continue,
        };
        match (plain, out.chars().next_back()) {
            ('n', Some('r')) => {
                out.pop();
                out.push('m');
            }
            ('v', Some('v')) => {
                out.pop();
                out.push('w');
            }
            _ => out.push(plain),
        }
    }
    out
}

/// Whether two domains, as they are written, differ and yet look the same, or nearly so where they are long.
pub fn same_looks(one: &str, other: &str) -> bool {
    let read = |domain: &str| mailkit::address::readable_domain(domain).to_lowercase();
    let (one, other) = (read(one), read(other));
    if one == other {
        return false;
    }
    let (a, b) = (skeleton(&one), skeleton(&other));
    // A subdomain of the same owner is no imitation.
    if one.ends_with(&format!(".{other}")) || other.ends_with(&format!(".{one}")) {
        return false;
    }
    let same_end = a.rsplit_once('.').map(|(_, end)| end) == b.rsplit_once('.').map(|(_, end)| end);
    a == b || (same_end && a.len().min(b.len()) >= 11 && one_slip(&a, &b))
}

/// One character more, less or different, or two of them swapped.
fn one_slip(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let same = |(here, there): &(&char, &char)| here == there;
    let start = one.iter().zip(&other).take_while(same).count();
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(same).count();
    match (&one[..one.len() - end], &other[..other.len() - end]) {
        ([] | [_], [_]) | ([_], []) => true,
        ([first, second], [third, fourth]) => first == fourth && second == third,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_that_look_like_others_are_found() {
        for (one, other, same) in [
            ("paypal.com", "paypa1.com", true),
            ("paypal.com", "xn--pypal-4ve.com", true),
            ("microsoft.com", "rnicrosoft.com", true),
            ("microsoft.com", "micorsoft.com", true),
            ("example.org", "exarnple.org", true),
            ("waldmann.example", "vvaldmann.example", true),
            ("commerzbank.example", "commerzbamk.example", true),
            ("example.org", "example.org", false),
            ("example.org", "EXAMPLE.org", false),
            ("example.org", "mail.example.org", false),
            ("example.org", "example.net", false),
            ("web.de", "gmx.de", false),
            ("abc.de", "abd.de", false),
            ("sparkasse.example", "volksbank.example", false),
        ] {
            assert_eq!(same_looks(one, other), same, "{one} {other}");
            assert_eq!(same_looks(other, one), same, "{other} {one}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        assert_eq!(skeleton("Anna Weber"), skeleton("\u{410}nn\u{430}  W\u{435}ber"));
        assert_ne!(skeleton("Anna Weber"), skeleton("Anne Weber"));
    }
}
