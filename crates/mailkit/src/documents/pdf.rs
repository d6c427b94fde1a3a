//! The text of PDF documents (ISO 32000-1), as far as they say which characters they show. Of scanned pages there is
//! none, and encrypted documents are not read.

mod content;
mod file;
mod font;
mod object;

use super::budget::{Budget, Reading};
use file::File;
use object::Object;

/// Pages that are read.
const MAX_PAGES: usize = 2_000;
/// How deep the tree of pages may be.
const MAX_DEPTH: usize = 40;

/// Reads a document.
pub fn read(bytes: &[u8], budget: &mut Budget) -> Option<Reading> {
    let file = File::open(bytes, budget)?;
    let mut pages = Vec::new();
    let root = file.catalogue(budget).and_then(|catalogue| catalogue.get("Pages").cloned());
    if let Some(root) = root {
        leaves(&file, &root, None, (0, &mut pages), budget);
    }
    if pages.is_empty() {
        // A damaged tree: the pages in the order in which they lie there.
        pages = file.of_type("Page", MAX_PAGES, budget).into_iter().map(|page| (page, None)).collect();
    }
    let mut reading = Reading { text: String::new(), is_partial: pages.is_empty() || pages.len() >= MAX_PAGES };
    let mut shown = content::Shown::new(&file);
    for (page, inherited) in pages {
        let resources = page.get("Resources").cloned().or(inherited);
        if content::page(&mut shown, &page, resources.as_ref(), budget).is_none() {
            shown.is_partial = true;
            break;
        }
        shown.text.push('\n');
    }
    if let Some(information) = file.information(budget) {
        for name in ["Title", "Subject", "Keywords", "Author"] {
            if let Some(Object::Text(text)) = file.resolved(information.get(name), budget) {
                shown.text.push_str(&object::text(&text));
                shown.text.push('\n');
            }
        }
    }
    reading.is_partial |= shown.is_partial;
    reading.text = shown.text;
    Some(reading)
}

type Page = (object::Dict, Option<Object>);

/// Adds the pages below a node of the tree.
fn leaves(
    file: &File<'_>,
    node: &Object,
    inherited: Option<&Object>,
    (depth, pages): (usize, &mut Vec<Page>),
    budget: &mut Budget,
) {
    if depth > MAX_DEPTH || pages.len() >= MAX_PAGES || budget.step().is_none() {
        return;
    }
    let Some(Object::Dict(node)) = file.resolved(Some(node), budget) else { return };
    let resources = node.get("Resources").or(inherited).cloned();
    match file.resolved(node.get("Kids"), budget) {
        Some(Object::Array(kids)) => {
            for kid in &kids {
                leaves(file, kid, resources.as_ref(), (depth + 1, pages), budget);
            }
        }
        _ => pages.push((node, resources)),
    }
}
