//! Pages of administrators: accounts, domains with their DNS records, the queue, the service and its stages, continuity, the
//! audit trail, help. What the command line can, they can too, but for what needs files of the machine.

mod account;
mod accounts;
mod confirm;
mod domain;
mod domains;
mod entry;
mod frame;
mod help;
mod queue;
mod reports;
mod sending;
mod service;
mod spam;
mod trail;

use axum::Router;
use axum::routing::get;

use crate::site::Site;

pub use frame::TABS;

/// The routes below `/admin`.
pub fn routes() -> Router<Site> {
    Router::new()
        .route("/admin", get(accounts::list))
        .route("/admin/accounts", get(accounts::list).post(accounts::change))
        .route("/admin/accounts/{id}", get(account::one))
        .route("/admin/domains", get(domains::list).post(domains::change))
        .route("/admin/domains/{name}", get(domain::one).post(domain::change))
        .route("/admin/domains/{name}/reports", get(reports::page))
        .route("/admin/queue", get(queue::list).post(queue::change))
        .route("/admin/queue/{id}", get(queue::one))
        .route("/admin/service", get(service::page).post(service::change))
        .route("/admin/continuity", get(service::continuity).post(service::start))
        .route("/admin/spam", get(spam::page).post(spam::change))
        .route("/admin/audit", get(trail::page))
        .route("/admin/help", get(help::search))
        .route("/admin/help/{name}", get(help::page))
}
