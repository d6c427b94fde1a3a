//! What people see of a message: lists, the page, files, words to search for.

mod boxes;
mod charsets;
mod files;
mod samples;
mod summary;
