//! Words of a text, as features.

use std::collections::BTreeMap;

/// Longest word that is taken as it is, in characters; of a longer one its length counts.
const LONGEST_WORD: usize = 24;
/// Words before a word that make a pair with it.
const WINDOW: usize = 3;

/// What a feature is of: its upper bits, so that what is known of each kind can be weighed on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Section {
    /// A word of the text.
    #[default]
    Text = 0,
    /// Two words of the text that stand near each other.
    Pair = 1,
    /// Which fields the header has and in which form.
    Header = 2,
    /// Words of the subject.
    Subject = 3,
    /// Hosts and networks in the trace.
    Trace = 4,
    /// Where links lead.
    Link = 5,
    /// Tags and attributes of HTML.
    Html = 6,
    /// Sender and recipients.
    People = 7,
}

impl Section {
    pub(crate) const ALL: usize = 8;

    pub(crate) fn of(feature: u32) -> usize {
        (feature >> 29) as usize
    }
}

/// Where features gather.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub(crate) section: Section,
    pub(crate) hashes: Vec<u32>,
    /// What features are for people, if it is asked for.
    pub(crate) names: Option<BTreeMap<u32, String>>,
    pub(crate) most: usize,
}

impl Sink {
    pub(crate) fn is_full(&self) -> bool {
        self.hashes.len() >= self.most
    }

    /// One feature of a kind.
    pub(crate) fn add(&mut self, kind: &str, text: &str) {
        let hash = fold(hash(hash(SEED, kind.as_bytes()), text.as_bytes()), self.section);
        self.push(hash);
        if let Some(names) = &mut self.names {
            let name = if kind.is_empty() { text.to_owned() } else { format!("{kind}:{text}") };
            names.entry(hash).or_insert(name);
        }
    }

    fn push(&mut self, hash: u32) {
        if !self.is_full() {
            self.hashes.push(hash);
        }
    }
}

const SEED: u64 = 0xCBF2_9CE4_8422_2325;

fn hash(mut state: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    (state ^ 0xFF).wrapping_mul(0x0000_0100_0000_01B3)
}

fn fold(state: u64, section: Section) -> u32 {
    let mixed = (state ^ (state >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 35) as u32 | u32::from(section as u8) << 29
}

/// Takes the words of running text and the pairs of words that stand near each other.
pub(crate) struct Words<'a> {
    kind: &'a str,
    pairs: usize,
    before: [u64; WINDOW],
    word: String,
    chars: usize,
    shape: String,
}

impl<'a> Words<'a> {
    /// Of that kind; with that many pairs for each word.
    pub(crate) fn new(kind: &'a str, pairs: usize) -> Self {
        Self {
            kind,
            pairs: pairs.min(WINDOW),
            before: [0; WINDOW],
            word: String::new(),
            chars: 0,
            shape: String::new(),
        }
    }

    /// The next piece of text; it ends with a word.
    pub(crate) fn text(&mut self, text: &str, sink: &mut Sink) {
        for c in text.chars() {
            if sink.is_full() {
                return;
            }
            if is_script_without_blanks(c) {
                self.end(sink);
                self.word.push(c);
                self.chars = 1;
                self.end(sink);
            } else if c.is_alphanumeric() || matches!(c, '$' | '\'' | '-' | '_' | '!' | '%' | '€' | '£') {
                self.chars += 1;
                if self.chars <= LONGEST_WORD {
                    self.word.push(c);
                }
            } else if matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}') {
                // What can't be seen doesn't part words.
                sink.add("hidden", "");
            } else {
                self.end(sink);
            }
        }
        self.end(sink);
    }

    fn end(&mut self, sink: &mut Sink) {
        let chars = std::mem::take(&mut self.chars);
        let mut word = std::mem::take(&mut self.word);
        let bare = word.trim_matches(['\'', '-', '_']);
        if bare.is_empty() {
            word.clear();
            self.word = word;
            return;
        }
        normal(bare, chars, &mut self.shape);
        sink.add(self.kind, &self.shape);
        let own = hash(SEED, self.shape.as_bytes());
        for (distance, before) in self.before.iter().enumerate().take(self.pairs) {
            if *before != 0 {
                let pair = hash(before.rotate_left(distance as u32 + 1), self.kind.as_bytes()) ^ own.rotate_left(17);
                let section = if sink.section == Section::Text { Section::Pair } else { sink.section };
                sink.push(fold(hash(pair, &[distance as u8]), section));
            }
        }
        self.before.rotate_right(1);
        self.before[0] = own;
        word.clear();
        self.word = word;
    }
}

/// One word in the form that counts: digits are alike, and so are capitals at the beginning; shouting is not talking.
fn normal(word: &str, chars: usize, out: &mut String) {
    out.clear();
    if chars > LONGEST_WORD {
        *out = format!("long {}", chars.min(200) / 10);
        return;
    }
    if word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        out.push_str(word);
        return;
    }
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    let shouted = letters > 1 && word.chars().all(|c| !c.is_lowercase());
    for c in word.chars() {
        if c.is_ascii_digit() {
            out.push(if letters == 0 && chars <= 4 { c } else { '0' });
        } else if shouted {
            out.push(c);
        } else {
            out.extend(c.to_lowercase());
        }
    }
}

fn is_script_without_blanks(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{e00}'..='\u{eff}')
}
