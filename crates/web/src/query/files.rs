//! Kinds of files, by how their names end.

use mailstore::SearchQuery;

/// Names of kinds, and the endings of such files.
const KINDS: [(&[&str], &[&str]); 9] = [
    (&["pdf"], &[".pdf"]),
    (
        &["image", "images", "picture", "pictures", "photo", "photos"],
        &[".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic", ".tif", ".svg", ".bmp"],
    ),
    (&["video", "videos"], &[".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"]),
    (&["audio", "music"], &[".mp3", ".m4a", ".wav", ".ogg", ".flac", ".aac", ".opus"]),
    (&["document", "documents", "doc"], &[".doc", ".odt", ".rtf", ".pdf", ".txt", ".pages"]),
    (&["spreadsheet", "spreadsheets", "sheet"], &[".xls", ".ods", ".csv", ".numbers"]),
    (&["presentation", "presentations", "slides"], &[".ppt", ".odp", ".key"]),
    (&["archive", "zip"], &[".zip", ".tar", ".gz", ".7z", ".rar", ".bz2", ".xz"]),
    (&["calendar", "invitation", "event"], &[".ics"]),
];

/// The condition that a message has a kind of file, or any.
pub(super) fn kind(name: &str) -> Option<SearchQuery> {
    let name = name.to_lowercase();
    if name.starts_with("attach") || name == "file" || name == "files" {
        return Some(SearchQuery::HasAttachment);
    }
    let (_, endings) = KINDS.iter().find(|(names, _)| names.contains(&name.as_str()))?;
    Some(match endings {
        [ending] => SearchQuery::FileName((*ending).to_owned()),
        endings => SearchQuery::Or(endings.iter().map(|ending| SearchQuery::FileName((*ending).to_owned())).collect()),
    })
}
