//! The help pages, and the search in them.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::frame::{TABS, Tabs, admin, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::help::{self, HelpPage, Hit};
use crate::templates::Shell;
use crate::view::{self, Page};

const HERE: &str = "/admin/help";

#[derive(Template)]
#[template(path = "admin_help.html")]
struct SearchPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    question: String,
    found: Vec<Hit>,
    more: bool,
    pages: Vec<Listed>,
}

struct Listed {
    name: &'static str,
    title: String,
    about: &'static str,
}

#[derive(Template)]
#[template(path = "admin_help_page.html")]
struct DocumentPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    question: String,
    name: &'static str,
    title: String,
    contents: Vec<(String, String)>,
    html: String,
}

/// What was asked for.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    /// Words to search for.
    #[serde(default)]
    q: String,
    /// Words of a heading.
    #[serde(default)]
    at: String,
}

/// `GET /admin/help`: all documents, or what is found in them.
pub async fn search(caller: Caller, Query(asked): Query<Asked>) -> Result<Response> {
    admin(caller)?
        .blocking(move |caller| {
            let pages = caller.site.options.help;
            let (found, more) = help::search(pages, &asked.q);
            let listed = |page: &'static HelpPage| Listed { name: page.name, title: page.title(), about: page.about };
            Ok(view::html(&SearchPage {
                page: caller.page("Help"),
                shell: surroundings(caller, None, HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                question: asked.q,
                found,
                more,
                pages: pages.iter().map(listed).collect(),
            }))
        })
        .await
}

/// `GET /admin/help/NAME`: a document; with `at`, one of its sections.
pub async fn page(caller: Caller, Path(name): Path<String>, Query(asked): Query<Asked>) -> Result<Response> {
    let caller = admin(caller)?;
    let pages = caller.site.options.help;
    let Some(found) = help::named(pages, &name) else {
        return Err(Fault::NotFound("There is no such help page."));
    };
    if !asked.at.is_empty() {
        let anchor = found.anchor_of(&asked.at).map_or_else(String::new, |anchor| format!("#{anchor}"));
        return Ok(Redirect::to(&format!("{HERE}/{}{anchor}", found.name)).into_response());
    }
    caller
        .blocking(move |caller| {
            let title = found.title();
            let contents = found.sections().into_iter().filter(|section| section.level == 2);
            Ok(view::html(&DocumentPage {
                page: caller.page(&title),
                shell: surroundings(caller, None, HERE)?,
                tabs: TABS,
                here: HERE,
                problem: None,
                question: String::new(),
                name: found.name,
                title,
                contents: contents.map(|section| (section.anchor, section.title)).collect(),
                html: found.html(pages),
            }))
        })
        .await
}
