//! The address book: the list, a contact, groups, import and export, 'add to address book', what completes an address.
//!
//! Here is only which page answers what. [`wanted`], [`choices`], [`says`] and [`outcome`] are the ground that the pages
//! share; [`asked`] is what other pages of the webmail take from here.

mod asked;
mod choices;
mod double;
mod files;
mod form;
mod list;
mod outcome;
mod person;
mod print;
mod says;
mod shelves;
pub mod staged;
mod wanted;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use people::import::MAX_IMPORT_BYTES;

pub use asked::{face, recipients, sender, suggestions};

use crate::site::Site;

/// The largest file that is received to be a picture: beyond it the form is not read.
const MAX_FACE_UPLOAD_BYTES: usize = 20 << 20;

/// The pages of the address book.
pub fn routes() -> Router<Site> {
    let upload = DefaultBodyLimit::max(MAX_IMPORT_BYTES + 64 * 1024);
    let face = DefaultBodyLimit::max(MAX_FACE_UPLOAD_BYTES);
    Router::new()
        .route("/people", get(list::page).post(list::bulk))
        .route("/people/new", get(form::new_page).post(form::create))
        .route("/people/add", post(files::add_sender))
        .route("/people/groups", post(list::group))
        .route("/people/books", post(shelves::act))
        .route("/people/written", get(shelves::written).post(shelves::change_written))
        .route("/people/duplicates", get(double::page))
        .route("/people/merge", get(double::preview))
        .route("/people/print", get(print::page))
        .route("/people/import", get(files::page).post(files::import).layer(upload))
        .route("/people/export/{name}", get(files::export))
        .route("/people/{id}", get(person::page).post(form::save))
        .route("/people/{id}/edit", get(form::edit))
        .route("/people/{id}/picture", get(person::picture).post(person::set_picture).layer(face))
}
