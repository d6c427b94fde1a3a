//! File names: untrusted names made safe for a page and a disk, or generated.

use crate::parsed::Part;
use crate::words::decode_text_or;

/// Longest file name given, in bytes.
const MAX_FILE_NAME_BYTES: usize = 200;

/// Longest name made of a subject or description, in bytes.
const MAX_MADE_UP_BYTES: usize = 100;

/// A name for the file that a part is, `siblings` being the subtype of the multipart that it stands in and `hint` the
/// character set of raw text: without path, control and hidden characters, and with an extension where its type has one.
pub(crate) fn file_name(part: &Part, siblings: &str, hint: Option<&str>) -> String {
    let given = part.file_name_or(hint).map(|name| clean(&name)).filter(|name| !name.is_empty());
    let Some(name) = given else {
        return made_up_name(part, siblings, hint);
    };
    match extension(part) {
        // Text needs none: README, Makefile.
        Some(extension) if part.media_type != "text" && !has_extension(&name) => {
            shorten(&format!("{name}.{extension}"))
        }
        _ => name,
    }
}

/// A name as it may stand on a page and in a folder; empty if nothing is left of it.
pub(crate) fn clean(given: &str) -> String {
    let last = given.trim().rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name = String::with_capacity(last.len());
    for c in last.chars() {
        if c.is_control() || is_hidden(c) || (is_joiner(c) && name.is_empty()) {
            continue;
        }
        name.push(c);
    }
    // Windows drops dots and blanks at the end, and a name that begins with a dot is hidden elsewhere.
    let name = name.trim().trim_matches('\'').trim_start_matches('.').trim_end_matches(['.', ' ']).trim();
    shorten(name)
}

/// Cuts the stem: the end tells what a file is.
fn shorten(name: &str) -> String {
    if name.len() <= MAX_FILE_NAME_BYTES {
        return name.to_owned();
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let extension = &extension[..extension.floor_char_boundary(20)];
    let room = MAX_FILE_NAME_BYTES - 1 - extension.len();
    format!("{}.{extension}", &stem[..stem.floor_char_boundary(room)])
}

/// Characters that turn text around or can't be seen: a name with them is not the name that one reads.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Joiners belong into words of several scripts and into emoji.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// The media type that the extension of a name tells.
pub(crate) fn type_of(name: &str) -> String {
    mime_guess::from_path(name).first_or_octet_stream().essence_str().to_owned()
}

fn has_extension(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty() && (1..=10).contains(&extension.len()) && extension.chars().all(char::is_alphanumeric)
    })
}

/// The extension that tells what kind of file a part is.
fn extension(part: &Part) -> Option<&'static str> {
    let content_type = part.content_type();
    Some(match content_type.as_str() {
        "application/octet-stream" => return None,
        "image/jpeg" | "image/jpg" | "image/pjpeg" => "jpg",
        "text/plain" => "txt",
        "text/calendar" => "ics",
        "message/rfc822" | "message/global" => "eml",
        "image/heic" => "heic",
        "text/rtf" | "application/rtf" => "rtf",
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => "p7m",
        "audio/mpeg" => "mp3",
        "video/mpeg" => "mpg",
        other => mime_guess::get_mime_extensions_str(other).and_then(|list| list.first())?,
    })
}

/// A name for a part that has none: what it is.
fn made_up_name(part: &Part, siblings: &str, hint: Option<&str>) -> String {
    let content_type = part.content_type();
    if let Some(name) = report_name(&content_type, siblings) {
        return name.to_owned();
    }
    let described = |text: &[u8]| {
        let text = decode_text_or(text, hint).replace(['/', '\\'], "_");
        let text = clean(&text);
        let cut = text[..text.floor_char_boundary(MAX_MADE_UP_BYTES)].trim();
        (!cut.is_empty()).then(|| cut.to_owned())
    };
    let subject = part.envelope.as_ref().and_then(|envelope| described(envelope.subject.as_deref()?));
    let described = subject.or_else(|| described(part.description.as_deref()?));
    let extension = extension(part).unwrap_or(if part.media_type == "text" { "txt" } else { "bin" });
    match described {
        Some(text) if part.envelope.is_none() && has_extension(&text) => text,
        Some(text) => format!("{text}.{extension}"),
        None if part.is_message() => "message.eml".to_owned(),
        None if part.is_text("calendar") => "invitation.ics".to_owned(),
        None => format!("attachment.{extension}"),
    }
}

/// Names for what reports bring along (RFC 6522): what they say to machines, and what of the message comes back.
fn report_name(content_type: &str, siblings: &str) -> Option<&'static str> {
    Some(match content_type {
        "message/delivery-status"
        | "message/global-delivery-status"
        | "message/disposition-notification"
        | "message/global-disposition-notification"
        | "message/feedback-report" => "Technical details.txt",
        "text/rfc822-headers" | "text/rfc822-header" | "message/rfc822-headers" | "message/global-headers" => {
            "Your message (header).txt"
        }
        "message/rfc822" | "message/global" if siblings == "report" => "Your message.eml",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_of_its_path_and_what_one_reads() {
        for (given, name) in [
            ("report.pdf", "report.pdf"),
            ("C:\\Users\\ines\\report.pdf", "report.pdf"),
            ("\\\\server\\share\\report.pdf", "report.pdf"),
            ("/home/ines/report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("..", ""),
            ("a/", ""),
            (".htaccess", "htaccess"),
            ("The \"last\" offer.pdf", "The \"last\" offer.pdf"),
            ("'report.pdf'", "report.pdf"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("in\u{61c}voice\u{200b}.p\u{ad}df", "invoice.pdf"),
            ("x\u{e0041}\u{e007f}\u{feff}\u{2066}.txt", "x.txt"),
            ("a\r\nb\0c\u{2028}.txt", "abc.txt"),
            ("report.pdf. . ", "report.pdf"),
            ("\u{645}\u{6cc}\u{200c}\u{62e}.txt", "\u{645}\u{6cc}\u{200c}\u{62e}.txt"),
            ("Rechnung März.pdf", "Rechnung März.pdf"),
        ] {
            assert_eq!(clean(given), name, "{given:?}");
        }
        let long = clean(&format!("{}.pdf", "ä".repeat(300)));
        assert!(long.len() <= MAX_FILE_NAME_BYTES && long.strip_suffix(".pdf").is_some());
    }
}
