//! What all pages have in common: the frame around them, icons, rendering.

use askama::Template;
use askama::filters::Safe;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use texts::{Language, Text, Texts};

use crate::assets;
use crate::language::{self, texts};
use crate::text::escape;

/// What the outermost template needs.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// All that it says.
    pub t: Texts,
    /// For the window's title.
    pub title: String,
    /// `auto`, `light` or `dark`.
    pub theme: &'static str,
    /// `comfortable`, `normal` or `compact`.
    pub density: &'static str,
    /// Token that the page's forms carry (see [`crate::csrf`]).
    pub csrf: String,
    /// Idempotency key of the page's main form.
    pub key: String,
    /// And of its second one.
    pub key2: String,
    /// What stands above the page; empty is nothing.
    pub announcement: String,
    /// What administrators must know; shown on their pages only.
    pub alarms: Vec<String>,
}

impl Page {
    /// A page without forms.
    pub fn plain(title: &str) -> Self {
        Self { t: texts(), title: title.to_owned(), theme: "auto", density: "normal", ..Self::default() }
    }

    /// The address of an asset.
    #[expect(clippy::unused_self, reason = "called from templates, which know the page only")]
    pub fn asset(&self, name: &str) -> String {
        assets::url(name)
    }

    /// An icon of the sprite, which says nothing to a screen reader.
    #[expect(clippy::unused_self, reason = "called from templates, which know the page only")]
    pub fn icon(&self, name: &str) -> Safe<String> {
        let url = assets::url("icons.svg");
        Safe(format!("<svg class=\"icon\" aria-hidden=\"true\"><use href=\"{url}#{name}\"/></svg>"))
    }

    /// The attributes of a part of a page that is in English in every language.
    pub fn english(&self) -> Safe<&'static str> {
        Safe(if self.t.language() == Language::English { "" } else { " lang=\"en\" dir=\"ltr\"" })
    }

    /// The same of the page of the settings at `path`.
    pub fn english_at(&self, path: &str) -> Safe<&'static str> {
        if matches!(path, "/settings" | "/settings/display") { Safe("") } else { self.english() }
    }

    /// What the page's scripts say.
    pub fn script_texts(&self) -> String {
        language::of_scripts(self.t)
    }

    /// A text in which the words in brackets lead to an address.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_value,
        reason = "called from templates, which know the page only"
    )]
    pub fn linked(&self, text: Text, href: &str) -> Safe<String> {
        let mut html = String::new();
        match text.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once(']')?))) {
            Some((before, (link, after))) => {
                escape(&mut html, before);
                html.push_str("<a href=\"");
                escape(&mut html, href);
                html.push_str("\">");
                escape(&mut html, link);
                html.push_str("</a>");
                escape(&mut html, after);
            }
            None => escape(&mut html, &text),
        }
        Safe(html)
    }

    /// The name of a page of the settings, which leads to `path`; `name` if the catalogue has none yet.
    pub fn tab(&self, path: &str, name: &'static str) -> Text {
        match path {
            "/settings" => self.t.tab_general(),
            "/settings/display" => self.t.tab_display(),
            "/settings/addresses" => self.t.tab_addresses(),
            "/settings/aliases" => self.t.tab_aliases(),
            "/settings/rules" => self.t.tab_rules(),
            "/settings/vacation" => self.t.tab_vacation(),
            "/settings/spam" => self.t.tab_spam(),
            "/settings/forwarding" => self.t.tab_forwarding(),
            "/settings/fetching" => self.t.tab_fetching(),
            "/settings/export" => self.t.tab_export(),
            "/settings/check" => self.t.tab_test(),
            "/settings/security" => self.t.tab_security(),
            "/settings/apps" => self.t.tab_apps(),
            "/settings/sessions" => self.t.tab_sessions(),
            "/rewind" => self.t.rewind(),
            _ => Text::Borrowed(name),
        }
    }

    /// The mark of Holdfast: a cleat with its rope.
    #[expect(clippy::unused_self, reason = "called from templates, which know the page only")]
    pub fn mark(&self) -> Safe<String> {
        Safe(format!("<img class=\"mark\" src=\"{}\" alt=\"\" width=\"28\" height=\"28\">", assets::url("mark.svg")))
    }
}

/// A fresh key for a form that acts.
pub fn fresh_key() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// A rendered template. Pages are for one reader: they are never kept by anyone in between.
pub fn html<T: Template>(template: &T) -> Response {
    match template.render() {
        Ok(body) => (
            [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
                (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
            ],
            body,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "a template failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
