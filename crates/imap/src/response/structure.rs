//! BODY and BODYSTRUCTURE (RFC 9051 section 7.5.2).

use mailkit::parsed::{Param, Part};

use super::{envelope, text};

/// Stands for a part that is not there: a multipart must have one.
const NO_PART: &[u8] = b"(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)";

/// Writes the structure of a part; with `extended`, BODYSTRUCTURE. The parser bounds the depth.
pub(crate) fn write(out: &mut Vec<u8>, part: &Part, extended: bool, utf8: bool) {
    out.push(b'(');
    if part.is_multipart() {
        multipart(out, part, extended, utf8);
    } else {
        single(out, part, extended, utf8);
    }
    if extended {
        extension(out, part, utf8);
    }
    out.push(b')');
}

fn multipart(out: &mut Vec<u8>, part: &Part, extended: bool, utf8: bool) {
    for child in &part.parts {
        write(out, child, extended, utf8);
    }
    if part.parts.is_empty() {
        out.extend_from_slice(NO_PART);
    }
    out.push(b' ');
    text::string(out, part.subtype.as_bytes(), utf8);
    if extended {
        out.push(b' ');
        params(out, &part.params, utf8);
    }
}

fn single(out: &mut Vec<u8>, part: &Part, extended: bool, utf8: bool) {
    text::string(out, part.media_type.as_bytes(), utf8);
    out.push(b' ');
    text::string(out, part.subtype.as_bytes(), utf8);
    out.push(b' ');
    params(out, &part.params, utf8);
    out.push(b' ');
    text::nstring(out, part.content_id.as_deref(), utf8);
    out.push(b' ');
    text::nstring(out, part.description.as_deref(), utf8);
    out.push(b' ');
    text::string(out, part.encoding.as_bytes(), utf8);
    out.push(b' ');
    text::number(out, part.octets());
    if part.media_type == "message" && matches!(part.subtype.as_str(), "rfc822" | "global") {
        out.push(b' ');
        match (&part.envelope, part.embedded_message()) {
            (Some(inner), Some(root)) => {
                envelope::write(out, inner, utf8);
                out.push(b' ');
                write(out, root, extended, utf8);
            }
            // Its inside was beyond a limit of the parser; the grammar wants these fields all the same.
            _ => {
                envelope::write_unknown(out);
                out.push(b' ');
                out.extend_from_slice(NO_PART);
            }
        }
        out.push(b' ');
        text::number(out, part.lines);
    } else if part.media_type == "text" {
        out.push(b' ');
        text::number(out, part.lines);
    }
    if extended {
        out.push(b' ');
        text::nstring(out, part.md5.as_deref(), utf8);
    }
}

/// Disposition, language, location: common to all parts.
fn extension(out: &mut Vec<u8>, part: &Part, utf8: bool) {
    out.push(b' ');
    match &part.disposition {
        Some(disposition) => {
            out.push(b'(');
            text::string(out, disposition.kind.as_bytes(), utf8);
            out.push(b' ');
            params(out, &disposition.params, utf8);
            out.push(b')');
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    match part.languages.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        languages => {
            out.push(b'(');
            for (i, language) in languages.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                text::string(out, language.as_bytes(), utf8);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    text::nstring(out, part.location.as_deref(), utf8);
}

fn params(out: &mut Vec<u8>, list: &[Param], utf8: bool) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for (i, param) in list.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        text::string(out, param.name.as_bytes(), utf8);
        out.push(b' ');
        text::string(out, &param.value, utf8);
    }
    out.push(b')');
}
