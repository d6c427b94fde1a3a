//! Files that do harm when they are opened.

/// Most files of a message that are looked at.
pub const MAX_FILES: usize = 100;
/// Most of an archive in which names are looked for, in bytes.
const MAX_ARCHIVE_BYTES: usize = 4 * 1024 * 1024;
/// Most names of one archive.
const MAX_NAMES: usize = 1_000;

/// Programs, scripts, shortcuts and disk images.
const PROGRAMS: [&str; 60] = [
    "ace",
    "ade",
    "adp",
    "apk",
    "appref-ms",
    "appx",
    "appxbundle",
    "bat",
    "cab",
    "chm",
    "cmd",
    "com",
    "cpl",
    "diagcab",
    "dll",
    "dmg",
    "exe",
    "gadget",
    "hta",
    "img",
    "ins",
    "iqy",
    "iso",
    "isp",
    "jar",
    "jnlp",
    "js",
    "jse",
    "library-ms",
    "lnk",
    "mde",
    "msc",
    "msh",
    "msi",
    "msix",
    "msp",
    "mst",
    "nsh",
    "one",
    "pif",
    "ps1",
    "psc1",
    "reg",
    "scf",
    "scr",
    "sct",
    "search-ms",
    "settingcontent-ms",
    "shb",
    "slk",
    "sys",
    "url",
    "vb",
    "vbe",
    "vbs",
    "vhd",
    "vhdx",
    "vxd",
    "wsf",
    "xll",
];
/// Documents with programs in them.
const MACROS: [&str; 12] =
    ["docm", "dotm", "xlsm", "xltm", "xlam", "xlsb", "pptm", "potm", "ppam", "ppsm", "sldm", "xlm"];
/// Ends of names that people take for harmless, before the true one.
const HARMLESS: [&str; 14] =
    ["pdf", "doc", "docx", "xls", "xlsx", "jpg", "jpeg", "png", "gif", "txt", "mp3", "mp4", "html", "zip"];

/// What is dangerous about a file of that name and content: how many tenths of a point, a code, and what it is called.
/// The content may be cut.
pub fn dangerous(name: &str, content: &[u8]) -> Option<(i32, &'static str, String)> {
    if let Some((tenths, code)) = by_name(name) {
        return Some((tenths, code, name.to_owned()));
    }
    if content.starts_with(b"MZ") && content.len() > 64 {
        return Some((60, "program", name.to_owned()));
    }
    if content.starts_with(b"\xD0\xCF\x11\xE0") && has(content, b"_VBA_PROJECT") {
        return Some((25, "macros", name.to_owned()));
    }
    if content.starts_with(b"PK\x03\x04") {
        for inner in zip_names(&content[..content.len().min(MAX_ARCHIVE_BYTES)]).take(MAX_NAMES) {
            if inner.ends_with("vbaProject.bin") {
                return Some((25, "macros", name.to_owned()));
            }
            if let Some((tenths, code)) = by_name(&inner) {
                return Some((tenths, code, format!("{inner} in {name}")));
            }
        }
    }
    None
}

fn by_name(name: &str) -> Option<(i32, &'static str)> {
    let name = name.to_lowercase();
    let name = name.trim_end_matches(['.', ' ']);
    let (stem, end) = name.rsplit_once('.')?;
    let (stem, end) = (stem.trim_end(), end.trim());
    let before = stem.rsplit_once('.').map(|(_, before)| before.trim());
    if PROGRAMS.contains(&end) {
        let is_disguised = before.is_some_and(|before| HARMLESS.contains(&before));
        return Some(if is_disguised { (80, "disguised") } else { (60, "program") });
    }
    MACROS.contains(&end).then_some((25, "macros"))
}

fn has(content: &[u8], what: &[u8]) -> bool {
    // Names in such files are of 16-bit characters, or of 8-bit ones in old files.
    let wide: Vec<u8> = what.iter().flat_map(|byte| [*byte, 0]).collect();
    let content = &content[..content.len().min(MAX_ARCHIVE_BYTES)];
    content.windows(what.len()).any(|window| window == what) || content.windows(wide.len()).any(|window| window == wide)
}

/// The names in the local headers of a ZIP archive.
fn zip_names(content: &[u8]) -> impl Iterator<Item = String> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let found = content.get(at..)?.windows(4).position(|window| window == b"PK\x03\x04")? + at;
            at = found + 4;
            let length = content.get(found + 26..found + 28)?;
            let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
            if (1..=1_000).contains(&length)
                && let Some(name) = content.get(found + 30..found + 30 + length)
            {
                at = found + 30 + length;
                return Some(String::from_utf8_lossy(name).into_owned());
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A local header as ZIP archives have them.
    fn zip(names: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for name in names {
            out.extend_from_slice(b"PK\x03\x04");
            out.extend_from_slice(&[0; 22]);
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"content");
        }
        out
    }

    #[test]
    fn programs_are_found_under_any_name_and_in_archives() {
        for (name, content, code) in [
            ("invoice.exe", &b"MZ"[..], Some("program")),
            ("invoice.pdf.exe", b"", Some("disguised")),
            ("Invoice.PDF     .EXE", b"", Some("disguised")),
            ("photo.jpg.lnk", b"", Some("disguised")),
            ("run.JS", b"", Some("program")),
            ("disk.iso", b"", Some("program")),
            ("setup.exe. ", b"", Some("program")),
            ("list.xlsm", b"", Some("macros")),
            ("report.pdf", b"%PDF-1.4", None),
            ("letter.docx", b"", None),
            ("README", b"", None),
            ("photo.jpg", &[b'M', b'Z'].repeat(40), Some("program")),
            ("old.doc", b"\xD0\xCF\x11\xE0 _VBA_PROJECT", Some("macros")),
            ("old.doc", b"\xD0\xCF\x11\xE0 text", None),
            ("a.zip", &zip(&["readme.txt", "b/invoice.js"]), Some("program")),
            ("letter.docx", &zip(&["word/document.xml", "word/vbaProject.bin"]), Some("macros")),
            ("a.zip", &zip(&["readme.txt"]), None),
            ("a.zip", b"PK\x03\x04", None),
        ] {
            assert_eq!(dangerous(name, content).map(|found| found.1), code, "{name}");
        }
    }
}
