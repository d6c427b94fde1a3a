//! The account that is signed in, and what its pages need to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use continuity::stage::Feature;
use directory::{AccountId, AccountRealm, Display, Role, Session, Settings};
use jiff::Timestamp;
use texts::{Language, Texts};

use crate::cookies::{Jar, Peer};
use crate::csrf;
use crate::error::{Fault, Result};
use crate::language;
use crate::lasting;
use crate::relying::Relying;
use crate::site::Site;
use crate::time::{Calendar, Forms};
use crate::view::{Page, fresh_key};

/// Seconds in which sending can be undone, by default.
pub const DEFAULT_HOLD_SECONDS: u32 = 8;

/// The account's settings that pages need.
#[derive(Clone, Debug)]
pub struct Preferences {
    /// How long a sent message is held, so that sending can be undone.
    pub hold_seconds: u32,
    /// Show remote images without asking.
    pub remote_images: bool,
}

/// A signed-in account. Extracting it from a request redirects visitors to the sign-in page.
#[derive(Clone)]
pub struct Caller {
    /// The site.
    pub site: Site,
    /// The account.
    pub account: AccountId,
    /// The realm of its mail and address book.
    pub realm: AccountRealm,
    /// Its login.
    pub address: String,
    /// All its addresses, in lower case.
    addresses: Arc<[String]>,
    /// The name people see; may be empty.
    pub name: String,
    /// Whether it is an administrator.
    pub admin: bool,
    /// An administrator has set its password: its owner chooses another before anything else.
    pub must_change_password: bool,
    /// `auto`, `light` or `dark`.
    pub theme: &'static str,
    /// Settings.
    pub preferences: Preferences,
    /// The texts of its language.
    pub texts: Texts,
    /// What the account's owner has chosen to see.
    pub display: Display,
    /// All else that they have chosen, as stored.
    pub settings: Settings,
    /// The session.
    pub session: Session,
    /// The site as passkeys know it, if browsers have passkeys here.
    pub relying: Option<Relying>,
    /// Our name, the one that the request came by if it is ours.
    pub host: String,
    /// Where the request came from.
    pub peer: Peer,
    zone: String,
    token: String,
    /// The client no longer waits for the answer.
    gone: Arc<AtomicBool>,
}

/// Sets the flag if it is dropped before the work has ended.
struct Waiting(Option<Arc<AtomicBool>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(gone) = self.0.take() {
            gone.store(true, Ordering::Relaxed);
        }
    }
}

impl FromRequestParts<Site> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self> {
        let jar = Jar::of(&parts.headers, &parts.extensions, site);
        let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
        // Only pages, not forms, can be returned to after signing in.
        let here =
            parts.uri.path_and_query().map(ToString::to_string).filter(|_| parts.method == axum::http::Method::GET);
        let sign_in = || Fault::SignIn(here.clone().filter(|at| at != "/live").unwrap_or_else(|| "/".to_owned()));
        let Some(token) = jar.session() else { return Err(sign_in()) };
        let Some(session) = site.directory.session_when_restored(token).await? else { return Err(sign_in()) };
        let caller = Self::of(site.clone(), session, peer, &jar)?.ok_or_else(sign_in)?;
        lasting::hold(&parts.extensions, site, &caller.session, caller.admin);
        if caller.must_change_password && !leads_to_a_new_password(parts.uri.path()) && caller.may_change_settings() {
            return Err(Fault::ChangePassword);
        }
        Ok(caller)
    }
}

/// Whether a page is open while a new password has to be chosen.
fn leads_to_a_new_password(path: &str) -> bool {
    matches!(path, "/settings/security" | "/settings/password" | "/signout")
}

impl Caller {
    /// Whether the settings are switched on.
    fn may_change_settings(&self) -> bool {
        self.site.options.operator.as_ref().is_none_or(|operator| operator.situation().has(Feature::Options))
    }

    fn of(site: Site, session: Session, peer: Peer, jar: &Jar) -> Result<Option<Self>> {
        doorkit::span::note_account(session.account.0);
        let Some(account) = site.directory.account(session.account)? else { return Ok(None) };
        let settings = site.directory.settings(account.id)?;
        let display = site.directory.display(account.id)?;
        if let Some(language) = Language::of_tag(&display.language) {
            language::speak(language);
        }
        let addresses = site.addresses_of(account.id)?;
        let zone =
            if display.time_zone.is_empty() { jar.zone().unwrap_or("UTC") } else { &display.time_zone }.to_owned();
        Ok(Some(Self {
            host: jar.host().to_owned(),
            relying: jar.relying().cloned(),
            account: account.id,
            realm: account.id.realm(),
            address: account.address.to_string(),
            addresses,
            name: if settings.display_name.is_empty() { account.name } else { settings.display_name.clone() },
            admin: account.role == Role::Admin,
            must_change_password: account.must_change_password,
            theme: match display.theme.as_str() {
                "light" => "light",
                "dark" => "dark",
                _ => "auto",
            },
            preferences: Preferences {
                hold_seconds: if settings.undo_send_seconds == 0 {
                    DEFAULT_HOLD_SECONDS
                } else {
                    settings.undo_send_seconds
                },
                remote_images: settings.remote_images,
            },
            texts: language::texts(),
            display,
            settings,
            token: jar.session().unwrap_or_default().to_owned(),
            session,
            peer,
            zone,
            gone: Arc::default(),
            site,
        }))
    }

    /// The frame of a page.
    pub fn page(&self, title: &str) -> Page {
        Page {
            t: self.texts,
            title: title.to_owned(),
            theme: self.theme,
            density: match self.display.density.as_str() {
                "comfortable" => "comfortable",
                "compact" => "compact",
                _ => "normal",
            },
            csrf: csrf::token(&self.token),
            key: fresh_key(),
            key2: fresh_key(),
            announcement: self.site.options.announcement.borrow().clone(),
            alarms: self.site.options.alarms.borrow().clone(),
        }
    }

    /// Dates in the account's time zone, as its owner wants them.
    pub fn calendar(&self) -> Calendar {
        Calendar::new(&self.zone, Timestamp::now()).showing(Forms::of(&self.display, self.texts))
    }

    /// Milliseconds since 1970 UTC.
    #[expect(clippy::unused_self, reason = "time may become the store's")]
    pub fn now_ms(&self) -> i64 {
        Timestamp::now().as_millisecond()
    }

    /// Whether an address belongs to the account.
    pub fn is_me(&self, address: &str) -> bool {
        let address = address.to_lowercase();
        self.addresses.contains(&address)
    }

    /// The addresses that the account may send as, the login first, without catch-alls.
    pub fn senders(&self) -> Vec<String> {
        let login = self.address.to_lowercase();
        let others = self.addresses.iter().filter(|address| !address.starts_with('@') && **address != login);
        std::iter::once(&self.address).chain(others).cloned().collect()
    }

    /// Runs `work` on a thread that may block.
    pub async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.blocking_owned(move |caller| work(&caller)).await
    }

    /// [`Self::blocking`] for work that hands the caller back.
    pub async fn blocking_owned<T: Send + 'static>(
        self,
        work: impl FnOnce(Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut waiting = Waiting(Some(self.gone.clone()));
        let done = doorkit::span::spawn_blocking(move || {
            self.awaited()?;
            language::within(self.texts, || work(self))
        });
        let done = done.await;
        waiting.0 = None;
        done.map_err(Fault::internal)?
    }

    /// Called between two pieces of work: fails if the client has gone or the request has taken too long, so that the
    /// work is cancelled.
    pub fn awaited(&self) -> Result<()> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Fault::Unavailable(Duration::from_secs(5), "The request was cancelled.".to_owned()));
        }
        Ok(())
    }

    /// Makes an answer out of messages: in turn with other requests of the same account, and of the service, and
    /// within the bytes of answers that may wait for their readers (see [`crate::rendering`]).
    pub async fn rendering(self, work: impl FnOnce(&Self) -> Result<Response> + Send + 'static) -> Result<Response> {
        let (site, account) = (self.site.clone(), self.account);
        let turn = site.rendering.turn(account).await;
        // The turn goes with the work: it is not over when its client goes.
        let (response, turn) = self.blocking(move |caller| Ok((work(caller)?, turn))).await?;
        let response = site.rendering.held(account, response).await;
        drop(turn);
        Ok(response)
    }
}
