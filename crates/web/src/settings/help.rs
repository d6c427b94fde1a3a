//! `GET /help`: the help for those who read and write mail; administrators have more below `/admin/help`.

use askama::Template;
use axum::response::Response;

use super::common::surroundings;
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::help;
use crate::templates::Shell;
use crate::view::{self, Page};

/// The document that is shown.
const NAME: &str = "options";

#[derive(Template)]
#[template(path = "help_own.html")]
struct HelpOwnPage {
    page: Page,
    shell: Shell,
    title: String,
    contents: Vec<(String, String)>,
    html: String,
}

/// `GET /help`
pub async fn page(caller: Caller) -> Result<Response> {
    let pages = caller.site.options.help;
    let Some(found) = help::named(pages, NAME) else {
        return Err(Fault::NotFound("There is no such help page."));
    };
    caller
        .blocking(move |caller| {
            let title = found.title();
            let contents = found.sections().into_iter().filter(|section| section.level == 2);
            Ok(view::html(&HelpOwnPage {
                page: caller.page(&title),
                shell: surroundings(caller, None, "/help")?,
                contents: contents.map(|section| (section.anchor, section.title)).collect(),
                html: found.html(pages),
                title,
            }))
        })
        .await
}
