//! Parts of a message by themselves: its HTML for the frame, attachments, the source.
//!
//! What these answers carry was written by strangers. It is never given as a page of this site: everything comes with
//! `sandbox` in its Content-Security-Policy, `nosniff`, and unless it is a harmless kind of picture as a download.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use mailkit::Parsed;
use mailkit::display::{self, ReadOptions};
use mailkit::transfer::Encoding;
use mailstore::{Email, EmailId};
use serde::Deserialize;

use crate::adapts::adapts;
use crate::caller::Caller;
use crate::error::{Fault, Result, form_urlencoded};
use crate::folding::folded;
use crate::rendering::{self, Cleaned};
use crate::{content, origin};

/// For the frame: nothing runs, nothing is fetched but pictures of the message itself, links open elsewhere.
/// `allow-same-origin` lets our page measure the frame's height; without `allow-scripts` the frame gains nothing by it.
fn frame_policy(pictures_from: &str, pictures: bool) -> String {
    let others = if pictures { " https: http:" } else { "" };
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src{pictures_from} data:{others}; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'self'; \
         sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox"
    )
}
/// For everything else from a message.
const PART_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
/// For a picture that is shown by itself: the browser's own page around it has styles.
pub const PICTURE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
/// Pictures that browsers show without running anything.
const PICTURES: [&str; 6] = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif"];
/// Largest picture that is shown small beside its name, in bytes.
const MAX_THUMBNAIL_BYTES: u64 = 8_000_000;
/// Most bytes of the source that are shown; a download gives all.
const MAX_SOURCE_BYTES: usize = 2_000_000;

/// Address of the HTML of a message.
pub fn frame_url(id: EmailId, pictures: bool, theme: Option<&str>) -> String {
    let theme = theme.map(|theme| format!("&theme={theme}")).unwrap_or_default();
    format!("/message/{id}/html?images={}{theme}", u8::from(pictures))
}

/// Address of a picture that the HTML of a message shows.
pub fn inline_url(id: EmailId, part: &str) -> String {
    format!("/message/{id}/inline/{}", form_urlencoded(part))
}

/// Address of an attachment.
pub fn part_url(id: EmailId, part: &str, name: &str) -> String {
    let name = form_urlencoded(&name.replace(['/', '\\'], "_"));
    format!("/message/{id}/part/{}/{}", form_urlencoded(part), if name.is_empty() { "file" } else { &name })
}

/// Address at which an attachment is shown rather than downloaded, if it is a picture that can be.
pub fn picture_url(id: EmailId, file: &display::Attachment) -> Option<String> {
    let shown = PICTURES.iter().any(|kind| file.content_type.eq_ignore_ascii_case(kind));
    (shown && file.size <= MAX_THUMBNAIL_BYTES).then(|| inline_url(id, &file.part))
}

/// `GET /message/{email}`: to where it is read.
pub async fn open(caller: Caller, Path(id): Path<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let gone = || Fault::NotFound("There is no such message.");
            let email: EmailId = id.parse().map_err(|_| gone())?;
            let mail = &caller.site.mailstore;
            let (mailbox, uid) = mail.places(caller.realm, email)?.into_iter().next().ok_or_else(gone)?;
            let entry = mail.entries(caller.realm, mailbox, &[uid])?.into_iter().next().ok_or_else(gone)?;
            Ok(Redirect::to(&format!("/mail/{mailbox}/{}?open={email}#{email}", entry.thread_id)).into_response())
        })
        .await
}

/// How the frame is asked for.
#[derive(Deserialize)]
pub struct Frame {
    #[serde(default)]
    images: u8,
    theme: Option<String>,
}

/// `GET /message/{email}/html`
pub async fn html(
    caller: Caller,
    Path(id): Path<String>,
    Query(frame): Query<Frame>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let own = origin::of(&headers, &uri, caller.site.options.public_url.as_deref());
    let own = own.known_as(&caller.site.options.also_known_as);
    caller
        .rendering(move |caller| {
            let email = record(caller, &id)?;
            let pictures = frame.images == 1;
            let shown = cleaned(caller, email.id, &email.parsed, pictures)?;
            // Colours of our own where the message has none; paper and ink as its writer saw them where it has.
            let (scheme, colours) = match frame.theme.as_deref() {
                Some("light") => ("light", ADAPTED),
                Some("dark") => ("dark", ADAPTED),
                Some(_) => ("light dark", ADAPTED),
                None => ("light", WRITTEN),
            };
            let head = format!(
                "<!doctype html><html lang=\"\"><head><meta charset=\"utf-8\"><title>Message</title>\
                 <base target=\"_blank\"><meta name=\"color-scheme\" content=\"{scheme}\"><style>\
                 html{{color-scheme:{scheme}}}body{{margin:0;display:flow-root;font:15px/1.55 system-ui,sans-serif;overflow-wrap:anywhere;\
                 overflow-x:auto}}img{{max-width:100%}}img[src]{{height:auto}}\
                 img:not([src]),img[src=\"\"]{{display:inline-block;max-height:96px;overflow:hidden;background:#8aa3a826;\
                 border-radius:6px;font-size:13px}}pre{{white-space:pre-wrap}}\
                 .m-fold>summary{{display:inline-block;list-style:none;cursor:pointer;padding:0 9px;line-height:16px;\
                 font-weight:700;letter-spacing:.1em;border:1px solid #8aa3a888;border-radius:9px;margin:6px 0}}\
                 @media print{{.m-fold>summary{{display:none}}.m-fold::details-content{{content-visibility:visible;block-size:auto}}}}\
                 blockquote{{margin:0 0 0 2px;padding-left:14px;border-left:3px solid #8aa3a833}}{colours}\
                 </style></head><body>"
            );
            let html = shown.html.clone().unwrap_or_default();
            let html = std::str::from_utf8(&html).ok().and_then(folded).map_or(html, Bytes::from);
            let html = if pictures { origin::without_own_pictures(&html, &own) } else { html };
            let mut response = rendering::answer_of(vec![head.into(), html, "</body></html>".into()]);
            let policy = frame_policy(&own.sources(&format!("/message/{}/inline/", email.id)), pictures);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.parse().map_err(Fault::internal)?);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            Ok(response)
        })
        .await
}

/// A message as it is shown, made ready now or kept from before.
pub fn cleaned(caller: &Caller, id: EmailId, parsed: &Parsed, pictures: bool) -> Result<Arc<Cleaned>> {
    let rendering = &caller.site.rendering;
    let key = (caller.realm, id, pictures);
    if let Some(kept) = rendering.kept(key) {
        return Ok(kept);
    }
    caller.awaited()?;
    let raw = shown_part(caller, id, parsed)?;
    let inline = |part: &str| inline_url(id, part);
    let shown = display::show(&raw, parsed, &ReadOptions { remote_images: pictures, inline_url: &inline });
    let cleaned = Arc::new(Cleaned {
        adapts: shown.html.as_deref().is_some_and(adapts),
        text: if shown.html.is_some() { String::new() } else { shown.text },
        html: shown.html.map(Bytes::from),
        blocked: shown.remote_images_blocked,
        attachments: shown.attachments,
        notes: shown.notes,
    });
    rendering.keep(key, &cleaned);
    Ok(cleaned)
}

/// Colours for what has colours of its own. The words for a picture that is not shown would have the ink of text that may
/// not be meant for where the picture stands.
const WRITTEN: &str = "body{background:#fff;color:#1b2b30;padding:14px}\
    :is(img:not([src]),img[src=\"\"])[alt]:not([alt=\"\"]){background:#e6ecee!important;color:#1b2b30!important}";

/// Colours for what has none. Pictures get paper: what is drawn dark on nothing, as many logos are, must be seen in the dark.
const ADAPTED: &str = "body{background:transparent;color:light-dark(#14252b,#e9eef0)}\
    a{color:light-dark(#0b5e68,#63d2cb)}hr{border-color:#8aa3a8}\
    img[src]:not([src=\"\"]){background:light-dark(transparent,#eef2f3);border-radius:2px}\
    @media print{html{color-scheme:light}}";

/// `GET /message/{email}/inline/{part}`
pub async fn inline(caller: Caller, Path((id, part)): Path<(String, String)>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let (content, media_type) = part_of(caller, &id, &part)?;
            let Some(kind) = PICTURES.iter().find(|kind| media_type.eq_ignore_ascii_case(kind)) else {
                return Err(Fault::NotFound("This part of the message isn’t an image."));
            };
            Ok((
                [
                    (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
                    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PICTURE_POLICY)),
                    (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600")),
                ],
                content,
            )
                .into_response())
        })
        .await
}

/// `GET /message/{email}/part/{part}/{name}`
pub async fn part(caller: Caller, Path((id, part, name)): Path<(String, String, String)>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let (content, media_type) = part_of(caller, &id, &part)?;
            Ok(download(content, &name, &harmless(&media_type)))
        })
        .await
}

/// `GET /message/{email}/source`
pub async fn source(caller: Caller, Path(id): Path<String>) -> Result<Response> {
    caller
        .rendering(move |caller| {
            let email = record(caller, &id)?;
            let shown = caller.site.mailstore.body(caller.realm, email.id)?.read_range(0, MAX_SOURCE_BYTES)?;
            Ok((
                [
                    (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
                    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PART_POLICY)),
                    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
                ],
                shown,
            )
                .into_response())
        })
        .await
}

/// `GET /message/{email}/download`
pub async fn download_whole(caller: Caller, Path(id): Path<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let email = record(caller, &id)?;
            let reader = caller.site.mailstore.body(caller.realm, email.id)?;
            let size = reader.len();
            let subject = email.parsed.subject.chars().filter(|c| !c.is_control()).take(80).collect::<String>();
            let name = if subject.trim().is_empty() { email.id.to_string() } else { subject };
            let content = Body::from_stream(content::pieces(reader, 0..size, Encoding::Identity));
            let mut response = download(content, &format!("{name}.eml"), "message/rfc822");
            // Said beforehand, so that a download that was cut off is seen to be.
            response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
            Ok(response)
        })
        .await
}

/// The record of a message.
fn record(caller: &Caller, id: &str) -> Result<Email> {
    let gone = || Fault::NotFound("There is no such message.");
    let id: EmailId = id.parse().map_err(|_| gone())?;
    caller.site.mailstore.email(caller.realm, id)?.ok_or_else(gone)
}

/// The record and the bytes of a message.
pub fn load(caller: &Caller, id: &str) -> Result<(Email, Bytes)> {
    let email = record(caller, id)?;
    let raw = caller.site.mailstore.body(caller.realm, email.id)?.read_all()?;
    Ok((email, raw))
}

/// The first bytes of a message: all that is shown of it, without what comes after as attachments.
pub fn shown_part(caller: &Caller, id: EmailId, parsed: &Parsed) -> Result<Bytes> {
    let end = usize::try_from(display::shown_bytes(parsed)).unwrap_or(usize::MAX);
    Ok(caller.site.mailstore.body(caller.realm, id)?.read_range(0, end)?)
}

/// An attachment as it was before it was encoded, and its media type.
fn part_of(caller: &Caller, id: &str, part: &str) -> Result<(Body, String)> {
    let email = record(caller, id)?;
    let gone = || Fault::NotFound("This message has no such part.");
    let mut reader = caller.site.mailstore.body(caller.realm, email.id)?;
    if display::is_within(part) {
        let raw = reader.read_all()?;
        let known = display::files(&raw, &email.parsed).into_iter().find(|file| file.part == part).ok_or_else(gone)?;
        let content = display::part_content(&raw, &email.parsed, part).ok_or_else(gone)?;
        return Ok((Body::from(content), known.content_type));
    }
    let head =
        |range: std::ops::Range<u64>| reader.read_range(range.start, (range.end - range.start) as usize).map(Vec::from);
    let media_type = display::part_type(&email.parsed, part, head)?.ok_or_else(gone)?;
    let (range, encoding) = display::part_place(&email.parsed, part).ok_or_else(gone)?;
    Ok((Body::from_stream(content::pieces(reader, range, encoding)), media_type))
}

/// A media type that no browser runs, whatever it is told: what could be a page becomes plain bytes.
fn harmless(media_type: &str) -> String {
    let lower = media_type.to_ascii_lowercase();
    let kind = lower.split('/').next().unwrap_or_default();
    let well_formed = lower.split_once('/').is_some_and(|(kind, sub)| {
        let token = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.".contains(&b));
        token(kind) && token(sub)
    });
    let page = ["html", "xml", "svg", "script", "x-shockwave"].iter().any(|word| lower.contains(word));
    let known = ["image", "audio", "video", "application", "text", "message"].contains(&kind);
    if well_formed && known && !page { lower } else { "application/octet-stream".to_owned() }
}

pub fn download(content: impl Into<Body>, name: &str, media_type: &str) -> Response {
    let name = name.replace(['/', '\\'], "_");
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' { c } else { '_' }).collect();
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", form_urlencoded(&name));
    let mut response = (StatusCode::OK, content.into()).into_response();
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, media_type.parse().unwrap_or(octets));
    headers.insert(
        header::CONTENT_DISPOSITION,
        disposition.parse().unwrap_or_else(|_| HeaderValue::from_static("attachment")),
    );
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PART_POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_page_is_plain_bytes() {
        for bad in
            ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "x", "a b/c", "multipart/mixed"]
        {
            assert_eq!(harmless(bad), "application/octet-stream", "{bad}");
        }
        assert_eq!(harmless("Application/PDF"), "application/pdf");
    }

    #[test]
    fn a_file_name_can_not_break_out_of_its_header() {
        let response = download("x", "a\"; x=\r\n\u{e9}.txt", "text/plain");
        let value = response.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned();
        assert_eq!(value, "attachment; filename=\"a_; x=___.txt\"; filename*=UTF-8''a%22%3B%20x%3D%0D%0A%C3%A9.txt");
    }
}
