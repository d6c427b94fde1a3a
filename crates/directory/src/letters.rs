//! Random secrets in letters that people can read and type.

/// Without those that look like others.
pub(crate) const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Random bytes as letters in groups, for people to type: five bits of each.
pub(crate) fn grouped(random: &[u8], size: usize) -> String {
    let letters: Vec<u8> = random.iter().map(|byte| LETTERS[usize::from(byte % 32)]).collect();
    let groups: Vec<_> = letters.chunks(size).map(|group| String::from_utf8_lossy(group)).collect();
    groups.join("-")
}
