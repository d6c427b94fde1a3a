//! What all pages have in common: the frame around them, icons, rendering.

use askama::Template;
use askama::filters::Safe;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::assets;

/// What the outermost template needs.
#[derive(Clone, Debug, Default)]
pub struct Page {
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
        Self { title: title.to_owned(), theme: "auto", density: "normal", ..Self::default() }
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
