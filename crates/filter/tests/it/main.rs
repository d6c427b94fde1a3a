//! All integration tests of the crate, as one program.

mod arc;
mod dkim;
mod dmarc;
mod oracle;
mod seal;
mod spam_part;
mod spf;
mod yaml;

use std::path::PathBuf;

/// A file of the public suites that lie beside the project; `None`, visibly, where they are not there.
fn vectors(name: &str) -> Option<String> {
    let mut at = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // The project may be a work tree below the folder that has them.
    while at.pop() {
        let file = at.join("shared/vectors").join(name);
        if file.is_file() {
            return Some(std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
        }
    }
    eprintln!("shared/vectors/{name} is not there: passed over");
    None
}

/// Runs what waits for nothing but a zone in memory.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
