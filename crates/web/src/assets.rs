//! The files that pages refer to: style, scripts, icons. Built into the binary.
//!
//! They are served below `/assets/HASH/`, where HASH is over the contents of them all: an address never changes its
//! meaning, so browsers keep the files for a year and never ask again, and scripts import each other by plain relative
//! names.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/assets"]
struct Assets;

/// Hash over names and contents of all assets, 16 hex digits.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for name in Assets::iter() {
        if let Some(file) = Assets::get(&name) {
            hasher.update(name.as_bytes()).update(&[0]).update(&file.metadata.sha256_hash());
        }
    }
    hex::encode(&hasher.finalize().as_bytes()[..8])
});

/// The address of an asset.
pub fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// `GET /assets/{version}/{name}`
pub async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let Some(file) = Assets::get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // A page of another version of the program may still be open somewhere: it gets what there is now, uncached.
    let cache = if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-store" };
    let media_type = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    };
    (
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        ],
        file.data.into_owned(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_stay_small() {
        let total: usize = Assets::iter()
            .filter(|name| std::path::Path::new(name.as_ref()).extension().is_some_and(|e| e == "js"))
            .filter_map(|name| Assets::get(&name))
            .map(|file| file.data.len())
            .sum();
        assert!(total > 0 && total < 50 * 1024, "{total} bytes of script");
    }
}
