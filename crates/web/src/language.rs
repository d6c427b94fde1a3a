//! The language of the request at hand: its account's, or else the one that the browser wants most.
//!
//! A page has its texts in its frame. What is said without a page at hand, such as an error, asks
//! [`texts`]. Outside of requests it is English.

use std::cell::Cell;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use texts::{Language, Texts};

/// Longest `Accept-Language` that is looked at.
const MAX_ACCEPTED_BYTES: usize = 1_000;

tokio::task_local! {
    static SPOKEN: Cell<Language>;
}

/// The texts of the request at hand.
pub fn texts() -> Texts {
    Texts::of(SPOKEN.try_with(Cell::get).unwrap_or_default())
}

/// From here on the request at hand is answered in that language.
pub fn speak(language: Language) {
    // Outside of a request nobody hears it.
    let _ = SPOKEN.try_with(|spoken| spoken.set(language));
}

/// Does work of a request on another thread in the request's language.
pub fn within<T>(texts: Texts, work: impl FnOnce() -> T) -> T {
    SPOKEN.sync_scope(Cell::new(texts.language()), work)
}

/// The language that a browser wants most.
pub fn wanted(headers: &HeaderMap) -> Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.len() > MAX_ACCEPTED_BYTES { Language::English } else { Language::wanted(accepted) }
}

/// Begins each request in the language that its browser wants.
pub async fn heard(request: Request, next: Next) -> Response {
    SPOKEN.scope(Cell::new(wanted(request.headers())), next.run(request)).await
}

/// What scripts say, as JSON: `{0}` stands for a value.
pub fn of_scripts(t: Texts) -> String {
    serde_json::json!({
        "no-answer": t.js_no_answer(),
        "no-answer-safe": t.js_no_answer_safe(),
        "signed-out": t.js_signed_out(),
        "sign-in": t.js_sign_in(),
        "try-again": t.js_try_again(),
        "copied": t.js_copied(),
        "copy-refused": t.js_copy_refused(),
        "selected": t.js_selected("{0}"),
        "selected-all": t.js_selected_all(),
        "suggestions": t.js_suggestions(),
        "people": t.js_people(),
        "adding": t.js_adding(),
        "adding-percent": t.js_adding_percent("{0}"),
        "saving": t.js_saving(),
        "saved-at": t.js_saved_at("{0}"),
        "not-saved-signed-out": t.js_not_saved_signed_out(),
        "not-saved-because": t.js_not_saved_because("{0}"),
        "not-saved-yet": t.js_not_saved_yet(),
        "files-not-attached": t.js_files_not_attached(),
        "files-too-large": t.js_files_too_large("{0}"),
        "attached": t.js_attached("{0}"),
        "attached-many": t.js_attached_many("{0}"),
        "sending": t.js_sending(),
        "not-sent": t.js_not_sent(),
        "draft-kept": t.js_draft_kept(),
        "draft-lost": t.js_draft_lost(),
        "draft-edit": t.js_draft_edit(),
        "remove": t.js_remove("{0}"),
        "close": t.js_close(),
        "shortcuts": t.shortcuts(),
        "keys": keys(t),
    })
    .to_string()
}

/// The list of keys: its groups, each with keys and what they do.
fn keys(t: Texts) -> serde_json::Value {
    serde_json::json!([
        [
            t.js_keys_lists(),
            [
                ["j / k", t.js_key_step()],
                ["o", t.js_key_open()],
                ["u", t.js_key_back()],
                ["x", t.js_key_select()],
                ["Shift+A", t.js_key_select_all()],
                ["/", t.js_key_search()],
            ]
        ],
        [
            t.js_keys_messages(),
            [
                ["e", t.js_key_archive()],
                ["#", t.js_key_delete()],
                ["!", t.js_key_spam()],
                ["v", t.js_key_move()],
                ["s", t.js_key_star()],
                ["Shift+I", t.js_key_read()],
                ["Shift+U", t.js_key_unread()],
                ["z", t.js_key_undo()],
            ]
        ],
        [
            t.js_keys_compose(),
            [
                ["c", t.js_key_compose()],
                ["r", t.js_key_reply()],
                ["a", t.js_key_reply_all()],
                ["f", t.js_key_forward()],
                ["Ctrl+Enter", t.js_key_send()],
            ]
        ],
        [
            t.js_keys_go(),
            [
                ["g i", t.inbox()],
                ["g s", t.sent()],
                ["g d", t.drafts()],
                ["g a", t.archive()],
                ["g t", t.trash()],
                ["g j", t.spam()],
                ["g c", t.js_key_people()],
                ["?", t.js_key_help()],
            ]
        ],
    ])
}
