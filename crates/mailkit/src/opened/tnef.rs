//! TNEF (`winmail.dat`): the format that Outlook sends to recipients it takes for Outlook users (MS-OXTNEF).

use super::found::{InnerFile, MAX_FILES, Opened};
use crate::charset;

const SIGNATURE: u32 = 0x223E_9F78;

const BODY: u32 = 0x0002_800C;
const ATTACH_TITLE: u32 = 0x0001_8010;
const ATTACH_DATA: u32 = 0x0006_800F;
const ATTACH_RENDDATA: u32 = 0x0006_9002;
const MESSAGE_PROPERTIES: u32 = 0x0006_9003;
const ATTACH_PROPERTIES: u32 = 0x0006_9005;
const CODE_PAGE: u32 = 0x0006_9007;

const PR_BODY: u16 = 0x1000;
const PR_RTF_COMPRESSED: u16 = 0x1009;
const PR_BODY_HTML: u16 = 0x1013;
const PR_ATTACH_DATA: u16 = 0x3701;
const PR_ATTACH_FILENAME: u16 = 0x3704;
const PR_ATTACH_LONG_FILENAME: u16 = 0x3707;
const PR_DISPLAY_NAME: u16 = 0x3001;

/// Most properties read of one block.
const MAX_PROPERTIES: u32 = 4_000;

/// Reads a container.
pub(super) fn read(bytes: &[u8]) -> Option<Opened> {
    let mut cursor = Cursor { rest: bytes };
    if cursor.u32()? != SIGNATURE {
        return None;
    }
    cursor.take(2)?;
    let mut found = Found::default();
    // One that was cut still gives what came before.
    while let Some((name, data)) = attribute(&mut cursor) {
        found.take(name, data);
    }
    let Found { text, rtf, html, files, .. } = found;
    let text = if text.trim().is_empty() && html.is_none() { rtf.unwrap_or_default() } else { text };
    let files = files.into_iter().filter(|file| !file.name.is_empty() || !file.content.is_empty()).collect();
    Some(Opened::Files { text, html, files })
}

fn attribute<'a>(cursor: &mut Cursor<'a>) -> Option<(u32, &'a [u8])> {
    // The level, of message or attachment, is also in the name.
    cursor.take(1)?;
    let name = cursor.u32()?;
    let length = cursor.u32()? as usize;
    let data = cursor.take(length)?;
    // Its checksum.
    cursor.take(2)?;
    Some((name, data))
}

#[derive(Default)]
struct Found {
    code_page: Option<String>,
    text: String,
    rtf: Option<String>,
    html: Option<String>,
    files: Vec<InnerFile>,
}

impl Found {
    fn take(&mut self, name: u32, data: &[u8]) {
        match name {
            CODE_PAGE => self.code_page = data.first_chunk().map(|page| format!("cp{}", u32::from_le_bytes(*page))),
            BODY => self.text = self.string(data),
            ATTACH_RENDDATA if self.files.len() < MAX_FILES => self.files.push(InnerFile::default()),
            ATTACH_TITLE => {
                let title = self.string(data);
                if let Some(file) = self.files.last_mut()
                    && file.name.is_empty()
                {
                    file.name = title;
                }
            }
            ATTACH_DATA => {
                if let Some(file) = self.files.last_mut() {
                    file.content = data.to_vec();
                }
            }
            MESSAGE_PROPERTIES => {
                properties(data, &mut |id, kind, value| match id {
                    PR_BODY if self.text.trim().is_empty() => self.text = self.text_of(kind, value),
                    PR_BODY_HTML => self.html = Some(self.text_of(kind, value)),
                    PR_RTF_COMPRESSED => self.rtf = crate::rtf::decompress(value).map(|rtf| crate::rtf::to_text(&rtf)),
                    _ => {}
                });
            }
            ATTACH_PROPERTIES => {
                let mut names = [String::new(), String::new(), String::new()];
                let mut content = None;
                properties(data, &mut |id, kind, value| match id {
                    PR_ATTACH_LONG_FILENAME => names[0] = self.text_of(kind, value),
                    PR_ATTACH_FILENAME => names[1] = self.text_of(kind, value),
                    PR_DISPLAY_NAME => names[2] = self.text_of(kind, value),
                    PR_ATTACH_DATA => content = Some(value.to_vec()),
                    _ => {}
                });
                if let Some(file) = self.files.last_mut() {
                    let [long, short, shown] = names;
                    let named = !file.name.is_empty();
                    if !long.is_empty() {
                        file.name = long;
                    } else if !named {
                        file.name = if short.is_empty() { shown } else { short };
                    }
                    if let (true, Some(content)) = (file.content.is_empty(), content) {
                        file.content = content;
                    }
                }
            }
            _ => {}
        }
    }

    fn string(&self, data: &[u8]) -> String {
        let end = memchr::memchr(0, data).unwrap_or(data.len());
        charset::decode_charset(self.code_page.as_deref(), &data[..end]).replace("\r\n", "\n")
    }

    fn text_of(&self, kind: u16, value: &[u8]) -> String {
        if kind == 0x1F {
            let text = encoding_rs::UTF_16LE.decode_without_bom_handling(value).0;
            return text.trim_end_matches('\0').replace("\r\n", "\n");
        }
        self.string(value)
    }
}

/// Calls for each property that has a value of bytes: its number, type, and first value.
fn properties<'a>(data: &'a [u8], visit: &mut dyn FnMut(u16, u16, &'a [u8])) -> Option<()> {
    let mut cursor = Cursor { rest: data };
    let count = cursor.u32()?.min(MAX_PROPERTIES);
    for _ in 0..count {
        let kind = cursor.u16()?;
        let id = cursor.u16()?;
        if id >= 0x8000 {
            cursor.take(16)?;
            if cursor.u32()? == 0 {
                cursor.take(4)?;
            } else {
                let length = cursor.u32()? as usize;
                cursor.take(padded(length)?)?;
            }
        }
        let (many, kind) = (kind & 0x1000 != 0, kind & !0x1000);
        let size = match kind {
            0x02 | 0x03 | 0x04 | 0x0A | 0x0B => Some(4),
            0x05 | 0x06 | 0x07 | 0x14 | 0x40 => Some(8),
            0x48 => Some(16),
            0x0D | 0x1E | 0x1F | 0x102 => None,
            0x00 | 0x01 => Some(0),
            _ => return None,
        };
        let values = if many || size.is_none() { cursor.u32()? } else { 1 };
        for at in 0..values {
            let length = match size {
                Some(size) => size,
                None => cursor.u32()? as usize,
            };
            let value = cursor.take(padded(length)?)?;
            if size.is_none() && at == 0 {
                // An object begins with the number of its interface.
                visit(
                    id,
                    kind,
                    if kind == 0x0D { value.get(16..length).unwrap_or_default() } else { &value[..length] },
                );
            }
            if size == Some(0) {
                break;
            }
        }
    }
    Some(())
}

fn padded(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(4)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(*self.take(2)?.first_chunk()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }
}
