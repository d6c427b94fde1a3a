//! What someone sets for themselves: name, signature, colours; password, second factor, app passwords, sessions.

mod addresses;
mod aliases;
mod apps;
mod check;
mod common;
mod display;
mod export;
mod fetching;
mod forwarding;
mod general;
mod help;
mod passkeys;
mod rules;
mod security;
mod sessions;
pub(crate) mod spam;
mod vacation;

use axum::Router;
use axum::routing::{get, post};

use crate::site::Site;

pub use common::{TABS, browser, confirm as confirm_password, tell, tell_by};
pub use sessions::said as said_of;

/// The routes below `/settings`.
pub fn routes() -> Router<Site> {
    Router::new()
        .route("/settings", get(general::page).post(general::save))
        .route("/settings/display", get(display::page).post(display::save))
        .route("/help", get(help::page))
        .route("/settings/addresses", get(addresses::page).post(addresses::save))
        .route("/settings/aliases", get(aliases::page))
        .route("/settings/aliases/mask", post(aliases::mask))
        .route("/settings/aliases/change", post(aliases::change))
        .route("/settings/aliases/add", post(aliases::add))
        .route("/settings/aliases/remove", post(aliases::remove))
        .route("/settings/spam", get(spam::page).post(spam::save))
        .route("/settings/spam/reset", post(spam::reset))
        .route("/settings/export", get(export::page).post(export::take))
        .route("/settings/fetching", get(fetching::page).post(fetching::act))
        .route("/settings/fetching/add", post(fetching::add))
        .route("/settings/forwarding", get(forwarding::page).post(forwarding::save))
        .route("/settings/forwarding/add", post(forwarding::add))
        .route("/settings/forwarding/remove", post(forwarding::remove))
        .route("/settings/rules", get(rules::page).post(rules::act))
        .route("/settings/vacation", get(vacation::page).post(vacation::save))
        .route("/settings/rules/rule", get(rules::rule_page).post(rules::save_rule))
        .route("/settings/rules/try", get(rules::try_page).post(rules::apply))
        .route("/settings/rules/text", get(rules::text_page).post(rules::save_text))
        .route("/settings/rules/scripts", get(rules::scripts_page).post(rules::manage_script))
        .route("/settings/rules/scripts/import", post(rules::import))
        .route("/settings/rules/script", get(rules::editor).post(rules::save_script))
        .route("/settings/rules/export", get(rules::export))
        .route("/forwarding", get(forwarding::asked).post(forwarding::agreed))
        .route("/settings/security", get(security::page))
        .route("/settings/password", post(security::change_password))
        .route("/settings/password/check", post(security::check_password))
        .route("/settings/totp", post(security::enrol))
        .route("/settings/totp/on", post(security::totp_on))
        .route("/settings/totp/off", post(security::totp_off))
        .route("/settings/passkeys", post(passkeys::begin))
        .route("/settings/passkeys/add", post(passkeys::add))
        .route("/settings/passkeys/remove", post(passkeys::remove))
        .route("/settings/passkeys/step", post(passkeys::step_on))
        .route("/settings/codes", post(passkeys::renew_codes))
        .route("/settings/check", get(check::page))
        .route("/settings/check/mend", post(check::mend))
        .route("/settings/check/message", post(check::message))
        .route("/settings/aliases/arriving", post(aliases::arriving))
        .route("/settings/apps", get(apps::page).post(apps::create))
        .route("/settings/apps/profile", post(apps::profile))
        .route("/settings/apps/revoke", post(apps::revoke))
        .route("/settings/sessions", get(sessions::page))
        .route("/settings/sessions/end", post(sessions::end))
        .route("/settings/sessions/known", post(sessions::known))
}
