//! The judgement about one message for one recipient.

use mailkit::EmailAddress;

use super::bayes;
use super::kind::Kind;
use super::lists::{self, Entry};
use super::model::Model;
use super::reasons::Facts;
use super::reputation::Place;
use super::score::{Points, Score};
use super::settings::{Level, Settings};

/// Tenths of a point for each unit of [`bayes::evidence`] of what the account itself learned.
const TENTHS_BY_SIMILAR: f64 = 2.0;
/// The same of the wording, and of what others taught.
const TENTHS_PER_EVIDENCE: f64 = 3.0;
/// Most that what was learned of similar mail can count, in tenths.
const MOST_BY_SIMILAR: i32 = 80;
/// Most that the wording can count, in tenths.
const MOST_BY_WORDING: i32 = 80;
/// Most that what others taught can count, in tenths.
const MOST_BY_BASE: i32 = 60;
/// What the worst reputation of a domain, or of one that signed, counts, in tenths.
const WORST_DOMAIN: f64 = 20.0;
/// What the best counts.
const BEST_DOMAIN: f64 = 10.0;
/// What the worst reputation of a network counts, in tenths.
const WORST_NETWORK: f64 = 15.0;
/// What the best counts: there are other people in most networks too.
const BEST_NETWORK: f64 = 5.0;
/// What a list counts: more than all else together.
const LIST: i32 = 1_000;
/// What the user's own word about the very message counts.
const WORD: i32 = 3_000;
/// What it counts that only known senders are wanted.
const UNKNOWN: i32 = 500;

/// What the account has to do with the sender.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The address is in the address book.
    pub contact: bool,
    /// The account wrote to the address.
    pub written_to: bool,
    /// The message answers one that the account sent.
    pub answers_own: bool,
    /// Of a delivery report: whether the account sent the message that it is about.
    pub report_of_own: Option<bool>,
    /// The name in From is that of a contact, who has other addresses; one of them.
    pub name_of: Option<String>,
    /// The domain only looks like this one, which the account writes to.
    pub looks_like: Option<String>,
    /// The lists of the recipient's domain, then those of the service.
    pub domain_entries: Vec<Entry>,
}

/// What was decided.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// It goes to Spam.
    pub is_spam: bool,
    /// Why.
    pub score: Score,
    /// From which score on mail goes to Spam.
    pub limit: Option<Points>,
    /// The account knows the sender.
    pub is_known: bool,
    /// Mail of the sender, of a domain of it, or from its network came before, and the account or the service learned of it.
    pub has_history: bool,
}

/// How far from the limit a score is doubtful, in tenths.
const DOUBTFUL: i32 = 20;

impl Judgement {
    /// Whether it is doubtful that it is spam, and nothing is known of where it comes from.
    pub fn is_suspicious(&self) -> bool {
        let near = self.limit.is_some_and(|limit| (self.score.total().0 - limit.0).abs() <= DOUBTFUL);
        near && !self.is_known && !self.has_history
    }
}

/// Judges a message for an account.
pub fn judge(facts: &Facts, known: &Known, model: &Model, settings: &Settings) -> Judgement {
    let mut score = facts.common.clone();
    similar(facts, model, &mut score);
    reputation(facts, model, &mut score);
    let is_known = sender(facts, known, model, &mut score);
    let listed = facts.from.as_ref().and_then(|from| lists::says(&[&settings.entries, &known.domain_entries], from));
    match listed {
        // A forged sender is not who is on the list.
        Some(true) if facts.sender.is_genuine == Some(false) => {
            score.add("allowed_forged", 0, "The sender is on an allow list, but the message may be forged");
        }
        Some(true) if facts.sender.has_malware => {}
        Some(true) => score.add("allowed", -LIST, "The sender is on an allow list"),
        Some(false) => score.add("blocked", LIST, "The sender is on a block list"),
        None => {}
    }
    let word = model.word(&facts.name);
    match word {
        Some(Kind::Spam) => score.add("your_word", WORD, "You marked this message as spam"),
        Some(Kind::Wanted) if !facts.sender.has_malware => {
            score.add("your_word", -WORD, "You said that this message is not spam");
        }
        _ => {}
    }
    let is_known = is_known || listed == Some(true) || word == Some(Kind::Wanted);
    if settings.level == Level::KnownOnly && !is_known {
        score.add("unknown", UNKNOWN, "You only want mail from senders you know");
    }
    // Switched off, the filter does what it was told about senders and messages, and nothing else.
    let limit = settings.level.limit();
    let is_spam = match limit {
        Some(limit) => score.total() >= limit,
        None => score.total().0 >= LIST / 2 && (score.has("blocked") || score.has("your_word")),
    };
    Judgement { is_spam, score, limit, is_known, has_history: has_history(facts, model) }
}

fn similar(facts: &Facts, model: &Model, score: &mut Score) {
    let tenths = |evidence: f64, most: i32| {
        let most = f64::from(most);
        (evidence * TENTHS_PER_EVIDENCE).round().clamp(-most, most) as i32
    };
    let own = bayes::evidence(&model.counts, &facts.features) * TENTHS_BY_SIMILAR / TENTHS_PER_EVIDENCE;
    match tenths(own, MOST_BY_SIMILAR) {
        0 => {}
        own @ 1.. => score.add("similar", own, "It is like mail that you reported as spam"),
        own => score.add("similar", own, "It is like mail that you keep"),
    }
    match tenths(model.wording.evidence(&facts.grams), MOST_BY_WORDING) {
        0 => {}
        own @ 1.. => score.add("wording", own, "It is worded like mail that you reported as spam"),
        own => score.add("wording", own, "It is worded like mail that you keep"),
    }
    match tenths(facts.base * bayes::asks_base(model.counts.totals()), MOST_BY_BASE) {
        0 => {}
        base @ 1.. => score.add("base", base, "It is like mail that others here reported as spam"),
        base => score.add("base", base, "It is like mail that others here keep"),
    }
}

/// What became of earlier mail from the same domain, with the same signature, and from the same network.
fn reputation(facts: &Facts, model: &Model, score: &mut Score) {
    let forged = facts.sender.is_genuine == Some(false);
    let signer = worst_signer(facts, model);
    let places = [
        facts.from.as_ref().filter(|_| !forged).map(|from| ("domain", Place::Domain(from.domain()))),
        signer.map(|signer| ("signer", Place::Signer(signer))),
        facts.sender.origin.network.as_deref().map(|network| ("network", Place::Network(network))),
    ];
    for (code, place) in places.into_iter().flatten() {
        let (worst, best, what) = match place {
            Place::Domain(name) => (WORST_DOMAIN, BEST_DOMAIN, format!("from the domain {name}")),
            Place::Signer(name) => (WORST_DOMAIN, BEST_DOMAIN, format!("signed by {name}")),
            Place::Network(name) => (WORST_NETWORK, BEST_NETWORK, format!("from the network {name}")),
        };
        let says = model.reputation.of(facts.service_reputation(), place);
        // Without proof a good domain is only a name that anybody can write.
        let is_proved = code != "domain" || facts.sender.is_genuine == Some(true);
        let best = if is_proved { best } else { 0.0 };
        match (says * if says > 0.0 { worst } else { best }).round() as i32 {
            0 => {}
            tenths @ 1.. => score.add(code, tenths, format!("Earlier mail {what} was mostly reported as spam")),
            tenths => score.add(code, tenths, format!("Earlier mail {what} was mostly wanted")),
        }
    }
}

/// Of the domains that signed, other than the sender's own, the one of the worst reputation.
fn worst_signer<'a>(facts: &'a Facts, model: &Model) -> Option<&'a str> {
    let own = facts.from.as_ref().map(EmailAddress::domain).unwrap_or_default();
    let others = facts.sender.origin.signers.iter().filter(|signer| !signer.eq_ignore_ascii_case(own));
    let says = |signer: &str| model.reputation.of(facts.service_reputation(), Place::Signer(signer));
    others.max_by(|a, b| says(a).total_cmp(&says(b))).map(String::as_str)
}

fn has_history(facts: &Facts, model: &Model) -> bool {
    let knows = |place| model.reputation.knows(place) || facts.service_reputation().knows(place);
    let domain = facts.from.as_ref().filter(|_| facts.sender.is_genuine == Some(true)).map(EmailAddress::domain);
    domain.is_some_and(|domain| knows(Place::Domain(domain)))
        || facts.sender.origin.signers.iter().any(|signer| knows(Place::Signer(signer)))
        || facts.sender.origin.network.as_deref().is_some_and(|network| knows(Place::Network(network)))
}

/// Gives whether the account knows the sender.
fn sender(facts: &Facts, known: &Known, model: &Model, score: &mut Score) -> bool {
    let may_be_forged = facts.sender.is_genuine == Some(false);
    if known.answers_own {
        score.add("answer", -60, "It answers a message that you sent");
    }
    // Anybody can write a known address into From.
    if (known.contact || known.written_to) && may_be_forged {
        score.add("known_forged", 10, "It claims to be from someone you know");
    } else if known.contact {
        score.add("contact", -50, "The sender is in your address book");
    } else if known.written_to {
        score.add("written_to", -40, "You have written to the sender");
    }
    if known.report_of_own == Some(false) {
        score.add("report", 40, "It reports about a message that you did not send");
    }
    if let Some(address) = known.name_of.as_ref().filter(|_| !known.contact && !known.written_to) {
        score.add("name", 30, format!("The sender has the name of your contact {address}, but another address"));
    }
    if let Some(domain) = known.looks_like.as_ref().filter(|_| !known.contact && !known.written_to) {
        score.add("lookalike", 40, format!("The sender's domain looks like {domain}, but is another one"));
    }
    let of_sender = facts.from.as_ref().map(|from| model.sender(&from.canonical().to_lowercase())).unwrap_or_default();
    let count = |number: u32| i32::try_from(number.min(3)).unwrap_or(3);
    if of_sender.spam > of_sender.ham {
        score.add(
            "reported",
            15 + 10 * count(of_sender.spam - of_sender.ham),
            "You reported mail of this sender as spam",
        );
    } else if of_sender.ham > 0 && !may_be_forged {
        score.add("rescued", -30, "You said that mail of this sender is not spam");
    }
    let trusted = (known.contact || known.written_to || of_sender.ham > of_sender.spam) && !may_be_forged;
    trusted || known.answers_own || known.report_of_own == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spam::reasons::Sender;

    fn facts(is_genuine: Option<bool>, malware: bool) -> Facts {
        Facts {
            from: Some(EmailAddress::parse("Ann@Example.org").unwrap()),
            sender: Sender { is_genuine, has_malware: malware, ..Sender::default() },
            ..Facts::default()
        }
    }

    fn listed(allowed: bool) -> Vec<Entry> {
        vec![Entry::new("example.org", allowed).unwrap()]
    }

    #[test]
    fn lists_win_over_contacts_and_everything_learned_but_not_over_malware() {
        let model = Model::default();
        for level in Level::ALL {
            let blocked = Settings { level, entries: listed(false), ..Settings::default() };
            let known = Known { contact: true, written_to: true, answers_own: true, ..Known::default() };
            assert!(judge(&facts(Some(true), false), &known, &model, &blocked).is_spam, "{level}");
            let mut bad = facts(None, false);
            (0..30).for_each(|_| bad.common.add("listed", 30, ""));
            let allowed = Settings { level, entries: listed(true), ..Settings::default() };
            let judged = judge(&bad, &Known::default(), &model, &allowed);
            assert!(!judged.is_spam && judged.is_known, "{level}");
        }
        let allowed = Settings { entries: listed(true), ..Settings::default() };
        let mut bad = facts(None, true);
        bad.common.add("malware", 100, "");
        assert!(judge(&bad, &Known::default(), &model, &allowed).is_spam);
    }

    #[test]
    fn the_own_list_wins_over_the_domains() {
        let known = Known { domain_entries: listed(false), ..Known::default() };
        let model = Model::default();
        assert!(judge(&facts(None, false), &known, &model, &Settings::default()).is_spam);
        let allowed = Settings { entries: listed(true), ..Settings::default() };
        assert!(!judge(&facts(None, false), &known, &model, &allowed).is_spam);
    }

    #[test]
    fn levels_order_what_goes_to_spam() {
        let mut mail = facts(None, false);
        mail.common.add("x", 40, "");
        let at = |level, known: &Known| {
            judge(&mail, known, &Model::default(), &Settings { level, ..Settings::default() }).is_spam
        };
        let nobody = Known::default();
        assert_eq!(Level::ALL.map(|level| at(level, &nobody)), [false, false, false, true, true]);
        let friend = Known { contact: true, ..Known::default() };
        assert_eq!(Level::ALL.map(|level| at(level, &friend)), [false; 5]);
    }

    #[test]
    fn a_forged_friend_is_no_friend() {
        let friend = Known { contact: true, ..Known::default() };
        let only_known = Settings { level: Level::KnownOnly, ..Settings::default() };
        assert!(judge(&facts(Some(false), false), &friend, &Model::default(), &only_known).is_spam);
        assert!(!judge(&facts(Some(true), false), &friend, &Model::default(), &only_known).is_spam);
    }
}
