//! The page on which an account takes everything with it, as a ZIP.

use std::io::{self, Write};
use std::sync::Arc;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use exporting::Exporter;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::common::{Ask, TABS, Tabs, fresh, note, surroundings};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;
use crate::listing::Place;
use crate::problem::Problem;
use crate::templates::Shell;
use crate::view::{self, Page};

const HERE: &str = "/settings/export";
/// Bytes sent at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for the browser: memory of one export.
const MAX_PIECES: usize = 8;

#[derive(Template)]
#[template(path = "settings_export.html")]
struct ExportPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<Problem>,
    ask: Option<Ask>,
    messages: u64,
    size: String,
}

/// `GET /settings/export`
pub async fn page(caller: Caller, Query(place): Query<Place>) -> Result<Response> {
    show(caller, None, None, place.done).await
}

async fn show(caller: Caller, ask: Option<Ask>, problem: Option<Problem>, done: Option<String>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let failed = ask.is_some() || problem.is_some();
            let quota = caller.site.mailstore.quota(caller.realm)?;
            let mut response = view::html(&ExportPage {
                page: caller.page("Export"),
                shell: surroundings(caller, done.as_deref(), HERE)?,
                tabs: TABS,
                here: HERE,
                problem,
                ask,
                messages: quota.messages,
                size: crate::size(quota.used_bytes),
            });
            if failed {
                *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            }
            Ok(response)
        })
        .await
}

/// `POST /settings/export`: the ZIP, as it is made.
pub async fn take(caller: Caller, form: Posted) -> Result<Response> {
    // Someone who finds a browser open must not take everything away.
    if let Err(wrong) = fresh(&caller, &form).await? {
        let ask = Ask { wrong, ..Ask::new(HERE, "Export everything", &form, &[]) };
        return show(caller, Some(ask), None, None).await;
    }
    let Ok(room) = Arc::clone(&caller.site.exporting).try_acquire_owned() else {
        let text = "Too many exports are being made right now. Try again in a few minutes.";
        return show(caller, None, Some(Problem::Field(text.to_owned())), None).await;
    };
    note(&caller, "exported everything as a ZIP").await?;
    let site = &caller.site;
    let exporter = Exporter {
        directory: site.directory.clone(),
        mailstore: site.mailstore.clone(),
        people: site.people.clone(),
        rules: site.rules.clone(),
        saved: site.saved.clone(),
        delivery: site.delivery.clone(),
    };
    let (account, sources) = (caller.account, sources(&caller)?);
    let (pieces, received) = mpsc::channel(MAX_PIECES);
    tokio::task::spawn_blocking(move || {
        let mut out = Pieces { pieces: pieces.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
        let written = exporter.write(account, sources, &mut out, &mut |_, _| {});
        let ended = written.map_err(io::Error::other).and_then(|_| out.flush());
        if let Err(error) = ended {
            tracing::info!(%error, account = account.0, "an export ended early");
            // The browser sees that the file is not whole.
            let _ = pieces.blocking_send(Err(error));
        }
        drop(room);
    });
    let body = Body::from_stream(stream::unfold(received, async |mut received: mpsc::Receiver<io::Result<Bytes>>| {
        received.recv().await.map(|piece| (piece, received))
    }));
    let name = format!("attachment; filename=\"{}.zip\"", file_name(&caller.address));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// The address in letters that every file system has.
fn file_name(address: &str) -> String {
    address.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_@+".contains(c) { c } else { '_' }).collect()
}

fn sources(caller: &Caller) -> Result<Value> {
    let one = |source: fetching::Source| {
        let settings = source.settings;
        json!({
            "user": settings.user, "host": settings.host, "port": settings.port,
            "protocol": settings.protocol.name(), "keep": settings.keeps_on,
        })
    };
    let all: Vec<Value> = caller.site.fetching.list(caller.account)?.into_iter().map(one).collect();
    Ok(json!({ "other_accounts": all }))
}

/// Gives what is written to the browser, piece by piece; waits when it does not read.
struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.pieces.blocking_send(Ok(piece.into())).map_err(gone)
    }
}
