//! Long requests: an upload or download stops when its session ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use directory::{Access, Ended, Role};
use http_body::{Frame, SizeHint};

use crate::cookies::Jar;
use crate::error::{Fault, Result};
use crate::site::Site;

/// Answers up to this size are sent at once and never cut off.
const SHORT_BYTES: u64 = 64 * 1024;

/// The access of the session in the request's cookie; `None` for a visitor.
fn access_of(site: &Site, jar: &Jar) -> Result<Option<Access>> {
    let Some(token) = jar.session() else { return Ok(None) };
    let Some(session) = site.directory.session(token)? else { return Ok(None) };
    let admin = site.directory.account(session.account)?.is_some_and(|account| account.role == Role::Admin);
    Ok(Some(site.directory.session_access(&session, admin)))
}

fn refused(ended: Ended) -> Fault {
    match ended {
        Ended::RoleLost => Fault::Forbidden("Only administrators can open these pages."),
        _ => Fault::SignIn("/".to_owned()),
    }
}

/// Reads a posted body for as long as its session lasts.
pub async fn while_signed_in<T>(site: &Site, jar: &Jar, read: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(mut access) = access_of(site, jar)? else { return read.await };
    let read = tokio::select! {
        biased;
        ended = access.ended() => return Err(refused(ended)),
        read = read => read?,
    };
    match access.is_over() {
        Some(ended) => Err(refused(ended)),
        None => Ok(read),
    }
}

/// Cuts off a large answer when its session ends, so that the client sees that the download is incomplete.
pub async fn answers(State(site): State<Site>, request: Request, next: Next) -> Response {
    let jar = Jar::of(request.headers(), request.extensions(), &site);
    let response = next.run(request).await;
    if response.body().size_hint().upper().is_some_and(|most| most <= SHORT_BYTES) {
        return response;
    }
    match access_of(&site, &jar) {
        Ok(Some(mut access)) => {
            let ended = Box::pin(async move { access.ended().await });
            response.map(|body| Body::new(WhileSignedIn { body, ended }))
        }
        _ => response,
    }
}

/// The body of a large answer.
struct WhileSignedIn {
    body: Body,
    ended: Pin<Box<dyn Future<Output = Ended> + Send>>,
}

impl http_body::Body for WhileSignedIn {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(ended) = self.ended.as_mut().poll(context) {
            return Poll::Ready(Some(Err(axum::Error::new(ended))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
