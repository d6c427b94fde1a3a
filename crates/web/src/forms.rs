//! Posted forms: limited in size, accepted from our own pages only, with fields by name.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, FromRequestParts, Multipart, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::caller::Caller;
use crate::cookies::Jar;
use crate::csrf;
use crate::error::{Fault, Result};
use crate::lasting;
use crate::room::Share;
use crate::site::Site;
use crate::view::fresh_key;

/// Most fields that are read of one form.
const MAX_FIELDS: usize = 2_000;
/// Most files that are read of one form.
const MAX_FILES: usize = 100;
/// Longest name of a file, in characters.
const MAX_FILE_NAME: usize = 200;

/// A form posted by one of our pages.
#[derive(Debug, Default)]
pub struct Posted {
    fields: Vec<(String, String)>,
}

impl Posted {
    /// The value of a field; empty if it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// All values of a field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// All fields, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All values of a field whose name is made up.
    pub fn all_of(&self, name: &str) -> Vec<String> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.clone()).collect()
    }

    /// A field with a path of this site; `/` if it holds no such path.
    pub fn local(&self, name: &str) -> String {
        local(self.get(name)).unwrap_or("/").to_owned()
    }

    /// Where to go afterwards.
    pub fn back(&self) -> String {
        self.local("back")
    }

    /// The idempotency key of what the form asks for: the same form with the same content gives the same key.
    pub fn act_key(&self, content: &str) -> Vec<u8> {
        let key = match self.get("key") {
            "" => fresh_key(),
            key => key.to_owned(),
        };
        let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026 web act");
        hasher.update(key.as_bytes()).update(&[0]).update(content.as_bytes());
        hasher.finalize().as_bytes()[..16].to_vec()
    }

    /// Refuses forms that no page of ours made. A visitor’s token is good only for pages that need no session, so that
    /// planting a visitor's cookie gives no token for the actions of a session.
    fn check(self, headers: &HeaderMap, jar: &Jar, path: &str) -> Result<Self> {
        let token = self.get("csrf");
        let visitor = jar.visitor().filter(|_| matches!(path, "/signin" | "/setup" | "/forwarding"));
        let known = jar.session().into_iter().chain(visitor).any(|cookie| csrf::matches(cookie, token));
        if !known || !csrf::same_origin(headers) {
            metrics::counter!("holdfast_web_forms_refused_total").increment(1);
            return Err(Fault::Forbidden(
                "This form is out of date, or it came from another site. Go back, reload the page and try again.",
            ));
        }
        Ok(self)
    }
}

/// `text` if it is a path of this site that no browser takes for another site.
pub fn local(text: &str) -> Option<&str> {
    let ok = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.len() < 2_000
        && text.bytes().all(|b| b.is_ascii_graphic());
    ok.then_some(text)
}

impl FromRequest<Site> for Posted {
    type Rejection = Fault;

    async fn from_request(request: Request, site: &Site) -> Result<Self> {
        let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
        let access = lasting::held(request.extensions());
        let jar = Jar::of(&headers, request.extensions(), site);
        let form = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !form.starts_with("application/x-www-form-urlencoded") {
            return Err(Fault::Bad("Expected a form.".to_owned()));
        }
        let read = async {
            Bytes::from_request(request, site).await.map_err(|rejection| {
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    Fault::TooLarge("The form is too large to submit.".to_owned())
                } else {
                    Fault::Bad("The form arrived incomplete. Try again.".to_owned())
                }
            })
        };
        let body = lasting::while_signed_in(access, read).await?;
        let fields = form_urlencoded::parse(&body).take(MAX_FIELDS);
        let fields = fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { fields }.check(&headers, &jar, &path)
    }
}

/// A file that was posted.
#[derive(Debug)]
pub struct PostedFile {
    /// Its name, without folders.
    pub name: String,
    /// Its media type, as stated by the browser.
    pub content_type: String,
    /// What is in it.
    pub content: Vec<u8>,
}

/// A place among the uploads that may be in memory at once, taken before the form is read. `None` for a small form.
pub type Room = Option<(Share, OwnedSemaphorePermit)>;

/// Forms up to this size need no place among the uploads.
const SMALL_BYTES: usize = 1_000_000;

async fn room(parts: &mut Parts, site: &Site) -> Result<Room> {
    if announced(&parts.headers).is_some_and(|length| length <= SMALL_BYTES) {
        return Ok(None);
    }
    let caller = Caller::from_request_parts(parts, site).await?;
    let busy = || {
        let text = "There are too many uploads at once. Nothing is lost: try again in a moment.";
        Fault::Unavailable(Duration::from_secs(5), text.to_owned())
    };
    let (all, each) = &site.uploads;
    let share = each.take(caller.account).ok_or_else(busy)?;
    Ok(Some((share, all.clone().try_acquire_owned().map_err(|_| busy())?)))
}

/// The `Content-Length` of a request.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A form with files.
pub struct PostedFiles {
    /// The fields.
    pub form: Posted,
    /// The files.
    pub files: Vec<PostedFile>,
    /// Their place among the uploads.
    pub room: Room,
}

impl FromRequest<Site> for PostedFiles {
    type Rejection = Fault;

    async fn from_request(request: Request, site: &Site) -> Result<Self> {
        lasting::while_signed_in(lasting::held(request.extensions()), Self::read(request, site)).await
    }
}

impl PostedFiles {
    async fn read(request: Request, site: &Site) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let room = room(&mut parts, site).await?;
        let request = Request::from_parts(parts, body);
        let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
        let jar = Jar::of(&headers, request.extensions(), site);
        let too_large = || {
            let limit = crate::time::size(site.options.max_message_bytes as u64);
            Fault::TooLarge(format!("The files are too large. A message can have up to {limit}."))
        };
        if announced(&headers).is_some_and(|length| length > site.options.max_upload_bytes()) {
            pass_over(request.into_body(), site.options.max_upload_bytes()).await;
            return Err(too_large());
        }
        let broken = |error: MultipartError| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                too_large()
            } else {
                Fault::Bad("The form arrived incomplete. Nothing is lost: try again.".to_owned())
            }
        };
        let mut parts = Multipart::from_request(request, site)
            .await
            .map_err(|_| Fault::Bad("Expected a file upload.".to_owned()))?;
        let mut posted = Self { form: Posted::default(), files: Vec::new(), room };
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            let name = part.name().unwrap_or_default().to_owned();
            if let Some(file) = part.file_name().map(file_name) {
                let content_type = part.content_type().unwrap_or("application/octet-stream").to_owned();
                let content = part.bytes().await.map_err(broken)?.to_vec();
                if posted.files.len() < MAX_FILES && !(file.is_empty() && content.is_empty()) {
                    posted.files.push(PostedFile { name: file, content_type, content });
                }
            } else if posted.form.fields.len() < MAX_FIELDS {
                let value = String::from_utf8_lossy(&part.bytes().await.map_err(broken)?).into_owned();
                posted.form.fields.push((name, value));
            }
        }
        posted.form = posted.form.check(&headers, &jar, &path)?;
        Ok(posted)
    }
}

/// Reads and drops a body that is too large, because a browser listens for the reason only after it has sent
/// everything; at most three times the limit.
async fn pass_over(body: Body, limit: usize) {
    let mut left = limit.saturating_mul(3);
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        let Some(less) = left.checked_sub(piece.len()) else { return };
        left = less;
    }
}

/// The name of a file without folders and control characters.
fn file_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    name.chars().filter(|c| !c.is_control()).take(MAX_FILE_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_this_site_are_gone_back_to() {
        assert_eq!(local("/mail/m1?after=1.t2"), Some("/mail/m1?after=1.t2"));
        for bad in ["", "mail", "//evil.example", "/\\evil.example", "https://evil.example", "/a b", "/\u{e9}"] {
            assert_eq!(local(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_same_press_has_the_same_key() {
        let form = Posted { fields: vec![("key".into(), "k".into())] };
        assert_eq!(form.act_key("delete t1"), form.act_key("delete t1"));
        assert_ne!(form.act_key("delete t1"), form.act_key("delete t2"));
    }

    #[test]
    fn file_names_have_no_folders() {
        assert_eq!(file_name("C:\\x\\report.pdf"), "report.pdf");
        assert_eq!(file_name("../../etc/passwd\0"), "passwd");
    }
}
