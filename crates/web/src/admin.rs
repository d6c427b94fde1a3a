//! Pages of administrators: accounts, domains with their DNS records, the queue, the service and its stages, continuity, the
//! audit trail, help. What the command line can, they can too, but for what needs files of the machine.

mod account;
mod accounts;
mod confirm;
mod continuity;
mod domain;
mod domain_addresses;
mod domains;
mod entry;
mod export;
mod frame;
mod help;
mod listed;
mod queue;
mod queue_many;
mod reports;
mod sending;
mod service;
mod signed_in;
mod spam;
mod trail;

use axum::routing::{MethodRouter, get};
use axum::{Router, middleware};

use crate::site::Site;

pub use frame::TABS;

/// Addresses below `/admin`, and what answers there.
fn table() -> Vec<(&'static str, MethodRouter<Site>)> {
    vec![
        ("/admin", get(accounts::list)),
        ("/admin/accounts", get(accounts::list).post(accounts::change)),
        ("/admin/accounts/{id}", get(account::one)),
        ("/admin/domains", get(domains::list).post(domains::change)),
        ("/admin/domains/{name}", get(domain::one).post(domain::change)),
        ("/admin/domains/{name}/reports", get(reports::page)),
        ("/admin/queue", get(queue::list).post(queue::change)),
        ("/admin/queue/{id}", get(queue::one)),
        ("/admin/service", get(service::page).post(service::change)),
        ("/admin/continuity", get(continuity::page).post(continuity::change)),
        ("/admin/spam", get(spam::page).post(spam::change)),
        ("/admin/audit", get(trail::page)),
        ("/admin/audit/export", get(export::file)),
        ("/admin/help", get(help::search)),
        ("/admin/help/{name}", get(help::page)),
    ]
}

/// The routes below `/admin`. Only administrators get to any of them, whatever a page asks for besides.
pub fn routes(site: &Site) -> Router<Site> {
    let pages = table().into_iter().fold(Router::new(), |router, (path, answers)| router.route(path, answers));
    pages.route_layer(middleware::from_fn_with_state(site.clone(), frame::only_administrators))
}

/// The addresses of the pages, as the router has them: tests try each.
pub fn paths() -> Vec<&'static str> {
    table().into_iter().map(|(path, _)| path).collect()
}
