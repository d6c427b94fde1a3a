//! What programs ask for without a login: settings for mail programs, and the TLS policies of hosted domains.
//!
//! All answers depend on the domain alone: whether an address exists is never told. A domain that is not hosted here gets 404.

pub mod apple;
mod autoconfig;
mod autodiscover;
mod policy;
pub mod profiles;
pub mod ways;
mod xml;

use axum::Router;
use axum::routing::get;

use crate::site::Site;

/// The pages for programs.
pub fn routes() -> Router<Site> {
    let mut router = Router::new()
        .route("/.well-known/mta-sts.txt", get(policy::show))
        .route("/.well-known/autoconfig/mail/config-v1.1.xml", get(autoconfig::show))
        .route("/mail/config-v1.1.xml", get(autoconfig::show))
        .route("/profile/{name}", get(apple::show))
        .route("/autodiscover/autodiscover.json", get(autodiscover::json))
        .route("/autodiscover/autodiscover.json/v1.0/{address}", get(autodiscover::json_of));
    // Programs write it in several ways.
    for path in ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"] {
        router = router.route(path, get(autodiscover::by_query).post(autodiscover::by_form));
    }
    router
}

/// Whether a path is one of these: they are answered before there is any account, too.
pub fn is_one(path: &str) -> bool {
    path.starts_with("/.well-known/")
        || path == "/mail/config-v1.1.xml"
        || path.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("/autodiscover/"))
}
