//! Names of character sets, as mail programs of forty years write them.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, IBM866, ISO_2022_JP, KOI8_R, KOI8_U, MACINTOSH, REPLACEMENT, SHIFT_JIS,
    UTF_8, UTF_16BE, UTF_16LE, WINDOWS_874, WINDOWS_1252, WINDOWS_1254, X_MAC_CYRILLIC,
};

use super::pages::PAGES;

/// A character set that a label names.
#[derive(Clone, Copy)]
pub(super) enum Set {
    /// One that browsers know.
    Known(&'static Encoding),
    /// Single bytes: the characters of 128 to 255.
    Page(&'static str),
    Utf7,
    /// UTF-16 in an order that is not said.
    Utf16,
    Utf32,
    /// Seven-bit Chinese (RFC 1843).
    Hz,
    /// Seven-bit Korean (RFC 1557).
    Iso2022Kr,
    /// Seven-bit Chinese (RFC 1922).
    Iso2022Cn,
}

/// The character set of a label; `None` if it names none: ASCII, "unknown", or what nobody knows.
pub(super) fn set_named(label: &str) -> Option<Set> {
    let label = label.trim_matches(|c: char| c.is_whitespace() || "\"'=<>".contains(c));
    let label = label.strip_prefix("charset=").unwrap_or(label).trim_matches('"');
    let label = &label[..label.find([';', ',', ' ', '\t', '"']).unwrap_or(label.len())];
    let plain: String = label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if let Some(set) = special(&plain) {
        return set;
    }
    if let Some(found) = Encoding::for_label(label.as_bytes()).filter(|found| *found != REPLACEMENT) {
        return Some(Set::Known(wider(found)));
    }
    family(&plain).map(|found| Set::Known(wider(found))).or_else(|| code_page(&plain)).or_else(|| macintosh(&plain))
}

/// The superset that people mean.
fn wider(set: &'static Encoding) -> &'static Encoding {
    if set == encoding_rs::GBK { GB18030 } else { set }
}

/// What no table of encodings decides. The inner `None`: it names nothing.
#[allow(clippy::option_option, reason = "known, and known to be none of ours, are two answers")]
fn special(plain: &str) -> Option<Option<Set>> {
    Some(match plain {
        "" | "usascii" | "ascii" | "ansix341968" | "ansix341986" | "iso646us" | "isoir6" | "646" | "csascii" | "us"
        | "unknown8bit" | "xunknown" | "unknown" | "8bit" | "7bit" | "binary" | "default" | "none" | "null"
        | "xuserdefined" | "replacement" => None,
        "utf7" | "unicode11utf7" | "xunicode20utf7" | "csunicode11utf7" => Some(Set::Utf7),
        "utf16" | "ucs2" | "iso10646ucs2" | "unicode" | "csunicode" => Some(Set::Utf16),
        "utf32" | "utf32le" | "utf32be" | "ucs4" | "iso10646ucs4" => Some(Set::Utf32),
        "hz" | "hzgb2312" | "hzgb" => Some(Set::Hz),
        "iso2022kr" | "csiso2022kr" => Some(Set::Iso2022Kr),
        "iso2022cn" | "iso2022cnext" | "csiso2022cn" => Some(Set::Iso2022Cn),
        _ => return None,
    })
}

/// Sets that are written in many ways.
fn family(plain: &str) -> Option<&'static Encoding> {
    let starts = |names: &[&str]| names.iter().any(|name| plain.starts_with(name));
    if starts(&["utf8", "unicode11utf8"]) {
        return Some(UTF_8);
    }
    if starts(&["iso2022jp", "csiso2022jp"]) {
        return Some(ISO_2022_JP);
    }
    if starts(&["gb2312", "gbk", "gb18030", "xgbk", "euccn", "xeuccn", "cngb", "gb231280", "csgb"]) {
        return Some(GB18030);
    }
    if starts(&["ksc", "ksx", "euckr", "xeuckr", "uhc", "xwindows949", "korean"]) {
        return Some(EUC_KR);
    }
    if starts(&["big5", "xxbig5", "cnbig5", "xbig5", "euctw", "xeuctw"]) {
        return Some(BIG5);
    }
    if starts(&["shiftjis", "sjis", "xsjis", "mskanji", "windows31j"]) {
        return Some(SHIFT_JIS);
    }
    if starts(&["eucjp", "xeucjp", "ujis"]) {
        return Some(EUC_JP);
    }
    if starts(&["koi8u", "koi8ru"]) {
        return Some(KOI8_U);
    }
    if starts(&["koi8", "koi"]) {
        return Some(KOI8_R);
    }
    if starts(&["tis620", "iso885911"]) {
        return Some(WINDOWS_874);
    }
    if let Some(number) = plain.strip_prefix("latin") {
        return iso_8859(match number.parse().ok()? {
            n @ 1..=4 => n,
            5 => 9,
            6 => 10,
            7 => 13,
            8 => 14,
            0 | 9 => 15,
            10 => 16,
            _ => return None,
        });
    }
    let bare = plain.strip_prefix('x').unwrap_or(plain);
    let bare = bare.strip_prefix("cs").unwrap_or(bare);
    let rest = bare.strip_prefix("iso").unwrap_or(bare).strip_prefix("8859")?;
    // "88591", "885915", and with a direction or a year behind it.
    let two = rest.get(..2).and_then(|digits| digits.parse().ok()).filter(|n| (10..=16).contains(n));
    iso_8859(two.or_else(|| rest.get(..1)?.parse().ok())?)
}

fn iso_8859(number: u32) -> Option<&'static Encoding> {
    match number {
        1 => Some(WINDOWS_1252),
        9 => Some(WINDOWS_1254),
        11 => Some(WINDOWS_874),
        _ => Encoding::for_label(format!("iso-8859-{number}").as_bytes()),
    }
}

/// `cp1251`, `win-1251`, `windows1251`, `ibm850`, `dos-866`, `csPC850Multilingual`, `850`.
fn code_page(plain: &str) -> Option<Set> {
    const PREFIXES: [&str; 14] = [
        "xwindows",
        "cswindows",
        "windows",
        "win",
        "xcp",
        "cp",
        "msansi",
        "ms",
        "ansi",
        "xibm",
        "csibm",
        "ibm",
        "dos",
        "oem",
    ];
    let rest = PREFIXES.iter().find_map(|prefix| plain.strip_prefix(prefix)).unwrap_or(plain);
    let rest = rest.strip_prefix("cspc").unwrap_or(rest);
    let rest = rest.rsplit("codepage").next().unwrap_or(rest);
    let rest = rest.strip_prefix("cp").unwrap_or(rest).trim_start_matches('0');
    let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
    let known = |found| Some(Set::Known(found));
    match digits.parse::<u32>().ok()? {
        number @ (1250..=1258 | 874) => known(Encoding::for_label(format!("windows-{number}").as_bytes())?),
        932 | 943 => known(SHIFT_JIS),
        936 | 1386 | 20936 | 51936 | 54936 => known(GB18030),
        949 | 970 | 1363 | 20949 | 51949 => known(EUC_KR),
        950 | 951 => known(BIG5),
        51932 | 20932 => known(EUC_JP),
        50220..=50222 => known(ISO_2022_JP),
        50225 => Some(Set::Iso2022Kr),
        50227 => Some(Set::Iso2022Cn),
        52936 => Some(Set::Hz),
        65000 => Some(Set::Utf7),
        65001 => known(UTF_8),
        1200 => known(UTF_16LE),
        1201 => known(UTF_16BE),
        12000 | 12001 => Some(Set::Utf32),
        819 => known(WINDOWS_1252),
        912 => known(iso_8859(2)?),
        915 => known(iso_8859(5)?),
        number @ 28591..=28606 => known(iso_8859(number - 28590)?),
        866 => known(IBM866),
        878 | 20866 => known(KOI8_R),
        1168 | 21866 => known(KOI8_U),
        10000 => known(MACINTOSH),
        10007 | 10017 => known(X_MAC_CYRILLIC),
        10006 => page("macgreek"),
        10010 => page("macromanian"),
        10029 => page("macce"),
        10079 => page("maciceland"),
        10081 => page("macturkish"),
        10082 => page("maccroatian"),
        _ => page(digits),
    }
}

fn macintosh(plain: &str) -> Option<Set> {
    let plain = plain.strip_prefix('x').unwrap_or(plain);
    let known = |found| Some(Set::Known(found));
    let rest = plain.strip_prefix("mac")?;
    match rest {
        "" | "intosh" | "roman" | "romanlatin1" | "latin1" => known(MACINTOSH),
        "cyrillic" | "ukrainian" | "ukraine" => known(X_MAC_CYRILLIC),
        "ce" | "latin2" | "centraleurope" | "centraleurroman" | "centraleuro" => page("macce"),
        "icelandic" => page("maciceland"),
        "romania" => page("macromanian"),
        "japanese" => known(SHIFT_JIS),
        "chinesesimp" => known(GB18030),
        "chinesetrad" => known(BIG5),
        "korean" => known(EUC_KR),
        _ => page(plain),
    }
}

fn page(name: &str) -> Option<Set> {
    PAGES.iter().find(|(page, _)| *page == name).map(|(_, characters)| Set::Page(characters))
}
