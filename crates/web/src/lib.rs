//! The webmail door.
//!
//! Pages are rendered here, work without JavaScript, and are made quicker by small modules in `assets/`. A request is
//! translated into calls of `directory`, `mailstore`, `people` and `delivery`; this crate stores nothing. All forms that act carry
//! a token against other sites ([`csrf`]) and a key by which doing them twice does them once.
//!
//! What this crate must never do: give a browser anything of a message as a page of this site; act on a GET (but for
//! marking as read what is being read); make a browser ask another site without the reader's wish; keep anything that
//! is lost with the process and would be missed.
//!
//! Start reading at [`WebDoor`] for the routes, [`listing`] and [`reading`] for what is seen most, [`compose`] for Send.

mod action;
mod adapts;
mod admin;
mod answers;
mod assets;
mod away;
mod caller;
mod challenges;
mod complete;
mod compose;
mod contacts;
mod content;
mod cookies;
mod csrf;
mod discovery;
mod error;
mod folding;
mod forms;
mod found;
mod guard;
mod help;
mod identity;
mod known;
mod language;
mod lasting;
mod listing;
mod live;
mod mailboxes;
mod message;
mod notice;
mod operate;
mod options;
mod origin;
mod passkey;
mod problem;
mod proof;
mod qr;
mod query;
mod queue_work;
mod reading;
mod relying;
mod rendering;
mod rewind;
mod room;
mod search;
mod searches;
mod second_step;
mod settings;
mod shell;
mod signin;
mod site;
mod snooze;
mod templates;
mod text;
mod time;
mod view;
mod why;
mod wording;
mod wrong;

use axum::extract::DefaultBodyLimit;
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

pub use admin::paths as admin_paths;
pub use cookies::Peer;
pub use error::EndsWithoutAnswer;
pub use help::HelpPage;
pub use operate::{Job, JobReport, OpenAlarm, Operator, Paired, PairedKind};
pub use options::{Panel, Server, WebOptions};
pub use site::{Site, WebState};
pub use time::size;

/// The webmail.
pub struct WebDoor;

impl WebDoor {
    /// The pages, as a service for a listener. Each request should have a [`Peer`] among its extensions.
    #[expect(clippy::new_ret_no_self, reason = "the door is a router")]
    pub fn new(state: WebState) -> Router {
        let site = Site::new(state);
        let upload = DefaultBodyLimit::max(site.options.max_upload_bytes());
        let form = DefaultBodyLimit::max(site.options.max_form_bytes);
        // What may be compressed: pages and assets. Streams would be held back, attachments often are already.
        let packed = CompressionLayer::new().compress_when(
            SizeAbove::new(600)
                .and(NotForContentType::new("text/event-stream"))
                .and(NotForContentType::new("application/"))
                .and(NotForContentType::new("image/p"))
                .and(NotForContentType::new("image/j"))
                .and(NotForContentType::new("image/w"))
                .and(NotForContentType::new("video/"))
                .and(NotForContentType::new("audio/")),
        );
        let timed = Router::new()
            .route("/", get(async || Redirect::to("/mail/inbox")))
            .route("/setup", get(signin::setup_page).post(signin::setup))
            .route("/signin", get(signin::page).post(signin::post))
            .route("/signout", post(signin::out))
            .route("/mail/{mailbox}", get(listing::mailbox))
            .route("/mail/{mailbox}/{thread}", get(reading::conversation))
            .route("/message/{email}", get(message::open))
            .route("/message/{email}/html", get(message::html))
            .route("/message/{email}/inline/{part}", get(message::inline))
            .route("/message/{email}/part/{part}/{name}", get(message::part))
            .route("/message/{email}/source", get(message::source))
            .route("/message/{email}/download", get(message::download_whole))
            .route("/act", post(action::act))
            .route("/undo", post(action::undo))
            .route("/compose", get(compose::page).post(compose::post).layer(upload))
            .route("/complete", get(complete::complete))
            .route("/search", get(search::results))
            .route("/mailboxes", get(mailboxes::page).post(mailboxes::post))
            .merge(contacts::routes())
            .merge(searches::routes())
            .merge(settings::routes())
            .merge(admin::routes(&site))
            .merge(rewind::routes())
            .merge(discovery::routes())
            .fallback(async || error::Fault::NotFound("There is no such page."))
            .layer(middleware::from_fn_with_state(site.clone(), guard::acknowledged))
            .layer(middleware::from_fn_with_state(site.clone(), guard::timed))
            .layer(middleware::from_fn(lasting::answers));
        Router::new()
            .route("/live", get(live::stream))
            .route("/assets/{version}/{name}", get(assets::serve))
            .merge(timed)
            .layer(form)
            .layer(middleware::from_fn_with_state(site.clone(), guard::stage))
            .layer(middleware::from_fn(guard::destination))
            .layer(packed)
            .layer(middleware::from_fn(guard::named))
            .layer(middleware::from_fn(language::heard))
            .layer(middleware::from_fn_with_state(site.clone(), guard::headers))
            .with_state(site)
    }
}
