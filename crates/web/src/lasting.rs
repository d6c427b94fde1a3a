//! Long requests: an upload or download stops when its session ends.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::Response;
use directory::{Access, Ended, Session};
use http_body::{Frame, SizeHint};

use crate::error::{Fault, Result};
use crate::site::Site;

/// Answers up to this size are sent at once and never cut off.
const SHORT_BYTES: u64 = 64 * 1024;

/// The access that a request has, from the moment at which its session was found valid. What ends later, also while
/// the request is still being read, is noticed by code that looks here; a visitor's request has none.
#[derive(Clone, Default)]
struct Held(Arc<OnceLock<Access>>);

/// Notes that the request goes on for as long as this session does. To be called before anything is done for it.
pub fn hold(extensions: &Extensions, site: &Site, session: &Session, admin: bool) {
    if let Some(held) = extensions.get::<Held>() {
        let _ = held.0.get_or_init(|| site.directory.session_access(session, admin));
    }
}

fn refused(ended: Ended) -> Fault {
    match ended {
        Ended::RoleLost => Fault::Forbidden("Only administrators can open these pages."),
        _ => Fault::SignIn("/".to_owned()),
    }
}

/// The access that was noted of a request; `None` for a visitor's.
pub fn held(extensions: &Extensions) -> Option<Access> {
    extensions.get::<Held>()?.0.get().cloned()
}

/// Reads a posted body for as long as its request's access lasts.
pub async fn while_signed_in<T>(access: Option<Access>, read: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(mut access) = access else { return read.await };
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
pub async fn answers(mut request: Request, next: Next) -> Response {
    let held = Held::default();
    request.extensions_mut().insert(held.clone());
    let response = next.run(request).await;
    if response.body().size_hint().upper().is_some_and(|most| most <= SHORT_BYTES) {
        return response;
    }
    let Some(mut access) = held.0.get().cloned() else { return response };
    let ended = Box::pin(async move { access.ended().await });
    response.map(|body| Body::new(WhileSignedIn { body, ended }))
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
