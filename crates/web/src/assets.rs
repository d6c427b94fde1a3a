//! The files that pages refer to: style, scripts, icons. Built into the binary.
//!
//! They are served below `/assets/HASH/`, where HASH is over the contents of them all: an address never changes its
//! meaning, so browsers keep the files for a year and never ask again, and scripts import each other by plain relative
//! names.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Bytes;
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

/// What is sent, by name: made once, and shared by all answers, so that a client that reads nothing holds no copies.
static SERVED: LazyLock<BTreeMap<String, Bytes>> = LazyLock::new(|| {
    let embedded = Assets::iter().filter_map(|name| Some((Assets::get(&name)?, name)));
    embedded.map(|(file, name)| (name.to_string(), sent(&name, &file.data))).collect()
});

/// A file as it is sent: scripts and styles without lines that are comments, which are for readers of the source. Lines keep their
/// numbers.
fn sent(name: &str, data: &[u8]) -> Bytes {
    let has_comments = matches!(name.rsplit_once('.'), Some((_, "js" | "css")));
    let Some(text) = std::str::from_utf8(data).ok().filter(|_| has_comments) else {
        return Bytes::copy_from_slice(data);
    };
    let mut sent = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines() {
        let trimmed = line.trim();
        let begins = !in_comment && trimmed.starts_with("/*");
        let ends = trimmed.find("*/").is_some_and(|at| at + 2 == trimmed.len());
        // What begins with a comment and goes on behind it is kept whole.
        let is_comment = in_comment || trimmed.starts_with("//") || (begins && (ends || !trimmed.contains("*/")));
        in_comment = (in_comment || (begins && is_comment)) && !ends;
        if !is_comment {
            sent.push_str(line);
        }
        sent.push('\n');
    }
    sent.into()
}

/// The address of an asset.
pub fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// `GET /assets/{version}/{name}`
pub async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let Some(data) = SERVED.get(&name) else {
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
        data.clone(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_stay_small() {
        // What every page of the mail loads: `app.js`, and what is imported from there on.
        let mut loaded = vec!["app.js".to_owned()];
        for at in 0.. {
            let Some(name) = loaded.get(at) else { break };
            let source = String::from_utf8_lossy(&SERVED[name.as_str()]).into_owned();
            for (_, rest) in source.lines().filter_map(|line| line.strip_prefix("import ")?.split_once(" from './")) {
                let further = rest.trim_end_matches("';").to_owned();
                if !loaded.contains(&further) {
                    loaded.push(further);
                }
            }
        }
        assert!(loaded.len() > 5, "{loaded:?}");
        let total: usize = loaded.iter().map(|name| SERVED[name.as_str()].len()).sum();
        assert!(total < 50 * 1024, "{total} bytes of script on every page");
        // What single pages load beside them.
        let is_script = |name: &str| matches!(name.rsplit_once('.'), Some((_, "js")));
        for (name, data) in SERVED.iter().filter(|(name, _)| is_script(name) && !loaded.iter().any(|one| one == *name))
        {
            assert!(data.len() < 8 * 1024, "{name}: {} bytes", data.len());
        }
    }

    #[test]
    fn comments_are_not_sent_and_nothing_else_is_left_out() {
        let script =
            b"// What it does.\nconst a = 1; // kept\n/** One\n * two\n */\n  /* three */\nlet b = '/* no */';\n/* c */ d();\n";
        assert_eq!(sent("a.js", script), "\nconst a = 1; // kept\n\n\n\n\nlet b = '/* no */';\n/* c */ d();\n");
        assert_eq!(sent("a.svg", b"// <svg>"), "// <svg>");
        for (name, data) in SERVED.iter() {
            let source = Assets::get(name).unwrap().data;
            let (source, sent) = (String::from_utf8_lossy(&source), String::from_utf8_lossy(data));
            assert_eq!(source.lines().count(), sent.lines().count(), "{name}");
            for (before, after) in source.lines().zip(sent.lines()) {
                let is_comment = ["//", "/*", "*"].iter().any(|start| before.trim().starts_with(start));
                assert!(before == after || (after.is_empty() && is_comment), "{name}: {before}");
            }
        }
    }
}
