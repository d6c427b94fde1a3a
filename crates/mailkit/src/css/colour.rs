//! Colours: as CSS and as old HTML write them, and how well one can be read on another.

/// Red, green, blue and opacity, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Colour {
    pub(crate) rgb: [f32; 3],
    pub(crate) alpha: f32,
}

impl Colour {
    pub(crate) const WHITE: Self = Self::grey(1.0);
    pub(crate) const TRANSPARENT: Self = Self { rgb: [0.0; 3], alpha: 0.0 };

    pub(crate) const fn grey(level: f32) -> Self {
        Self { rgb: [level; 3], alpha: 1.0 }
    }

    pub(crate) fn of_bytes(red: u8, green: u8, blue: u8) -> Self {
        Self { rgb: [red, green, blue].map(|byte| f32::from(byte) / 255.0), alpha: 1.0 }
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(self) -> f32 {
        let [r, g, b] =
            self.rgb.map(|level| if level <= 0.040_45 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// This over an opaque ground.
    pub(crate) fn over(self, ground: Self) -> Self {
        let mix = |at: usize| self.rgb[at] * self.alpha + ground.rgb[at] * (1.0 - self.alpha);
        Self { rgb: [mix(0), mix(1), mix(2)], alpha: 1.0 }
    }

    /// Contrast ratio (WCAG 2.2) of this as text on an opaque ground: 1 to 21.
    pub(crate) fn contrast(self, ground: Self) -> f32 {
        let (a, b) = (self.over(ground).luminance(), ground.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
}

/// A colour by its name, `transparent` among them.
pub(crate) fn named(name: &str) -> Option<Colour> {
    if name.eq_ignore_ascii_case("transparent") {
        return Some(Colour::TRANSPARENT);
    }
    let (red, green, blue) = cssparser::color::parse_named_color(&name.to_ascii_lowercase()).ok()?;
    Some(Colour::of_bytes(red, green, blue))
}

/// A colour by its digits, without the `#`: 3, 4, 6 or 8.
pub(crate) fn hash(digits: &str) -> Option<Colour> {
    if !digits.is_ascii() {
        return None;
    }
    let (red, green, blue, alpha) = cssparser::color::parse_hash_color(digits.as_bytes()).ok()?;
    Some(Colour { alpha, ..Colour::of_bytes(red, green, blue) })
}

/// A colour by a function of CSS, its arguments read: numbers as they are, percentages as their hundredth part.
pub(crate) fn function(name: &str, arguments: &[Number]) -> Option<Colour> {
    let [a, b, c, rest @ ..] = arguments else { return None };
    let alpha = rest.first().map_or(1.0, |alpha| alpha.value).clamp(0.0, 1.0);
    let rgb = match name {
        "rgb" | "rgba" => {
            [a, b, c].map(|level| if level.percent { level.value } else { level.value / 255.0 }.clamp(0.0, 1.0))
        }
        "hsl" | "hsla" => of_hue(a.value, share(*b), share(*c)),
        "hwb" => {
            let (white, black) = (share(*b), share(*c));
            let most = (white + black).max(1.0);
            of_hue(a.value, 1.0, 0.5).map(|level| level * (1.0 - (white + black) / most) + white / most)
        }
        // Only their lightness is told; that is enough to judge whether text can be read on them.
        "lab" | "lch" => [a.share_of(100.0); 3],
        "oklab" | "oklch" => [a.share_of(1.0); 3],
        _ => return None,
    };
    Some(Colour { rgb, alpha })
}

/// An argument of a colour function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) value: f32,
    pub(crate) percent: bool,
}

impl Number {
    fn share_of(self, whole: f32) -> f32 {
        if self.percent { self.value } else { self.value / whole }.clamp(0.0, 1.0)
    }
}

fn share(number: Number) -> f32 {
    number.share_of(100.0)
}

fn of_hue(hue: f32, saturation: f32, lightness: f32) -> [f32; 3] {
    let chroma = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|n: f32| {
        let k = (n + hue.rem_euclid(360.0) / 30.0) % 12.0;
        lightness - chroma * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
    })
}

/// A colour as attributes of old HTML write it (`bgcolor="0b3d66"`): as CSS writes it, by the rules of HTML section
/// 2.4.6 for what is no colour by any other rule. `None` for what means no colour.
pub(crate) fn legacy(value: &str) -> Option<String> {
    let value = value.trim();
    if value.is_empty() || value.eq_ignore_ascii_case("transparent") || value.len() > 128 {
        return None;
    }
    if value.bytes().all(|b| b.is_ascii_alphabetic()) && named(value).is_some() {
        return Some(value.to_owned());
    }
    if let Some(digits) = value.strip_prefix('#')
        && matches!(digits.len(), 3 | 6)
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Some(value.to_owned());
    }
    let digit = |c: char| if c.is_ascii_hexdigit() { c } else { '0' };
    let mut digits: Vec<char> = value.trim_start_matches('#').chars().map(digit).collect();
    while digits.is_empty() || !digits.len().is_multiple_of(3) {
        digits.push('0');
    }
    let length = digits.len() / 3;
    let mut parts: Vec<&[char]> = digits.chunks(length).collect();
    if length > 8 {
        parts = parts.iter().map(|part| &part[length - 8..]).collect();
    }
    while parts[0].len() > 2 && parts.iter().all(|part| part[0] == '0') {
        parts = parts.iter().map(|part| &part[1..]).collect();
    }
    let two = |part: &[char]| match part {
        [one] => format!("0{one}"),
        part => part[..2].iter().collect(),
    };
    Some(format!("#{}{}{}", two(parts[0]), two(parts[1]), two(parts[2])))
}

/// What [`legacy`] or a keyword of CSS means.
pub(crate) fn read(text: &str) -> Option<Colour> {
    text.strip_prefix('#').map_or_else(|| named(text), hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_colours_are_read_as_browsers_read_them() {
        for (value, expected) in [
            ("#0b3d66", Some("#0b3d66")),
            ("#fff", Some("#fff")),
            ("0b3d66", Some("#0b3d66")),
            ("Navy", Some("Navy")),
            (" white ", Some("white")),
            ("chucknorris", Some("#c00000")),
            ("fff", Some("#0f0f0f")),
            ("#12", Some("#010200")),
            ("#0000ff00", Some("#00ff00")),
            ("", None),
            ("transparent", None),
        ] {
            assert_eq!(legacy(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn contrast_is_that_of_the_guidelines() {
        let near = |a: f32, b: f32| (a - b).abs() < 0.02;
        assert!(near(hash("000").unwrap().contrast(Colour::WHITE), 21.0));
        assert!(near(hash("767676").unwrap().contrast(Colour::WHITE), 4.54));
        assert!(near(hash("eeeeee").unwrap().contrast(Colour::WHITE), 1.16));
        assert!(near(Colour { alpha: 0.0, ..Colour::grey(0.0) }.contrast(Colour::WHITE), 1.0));
        let n = |value, percent| Number { value, percent };
        let teal = function("hsl", &[n(180.0, false), n(1.0, true), n(0.25, true)]).unwrap();
        assert!(near(teal.rgb[1], 0.5) && near(teal.rgb[0], 0.0), "{teal:?}");
        assert_eq!(
            function("rgb", &[n(255.0, false), n(0.0, false), n(0.0, false), n(0.5, true)]).unwrap().alpha.to_string(),
            "0.5"
        );
    }
}
