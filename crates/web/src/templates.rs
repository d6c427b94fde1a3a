//! What each page of the mail shell is filled with. No logic: handlers fill these, templates lay them out.

use askama::Template;
use mailstore::{EmailId, MailboxId, ThreadId};
use people::ContactId;
use texts::Text;

use crate::identity::Writer;
use crate::problem::Problem;
use crate::proof::Proof;
use crate::time::When;
use crate::view::Page;

/// What surrounds every page of someone signed in.
#[derive(Clone, Debug, Default)]
pub struct Shell {
    /// `list`, `reading` or `page`: what a narrow window shows.
    pub view: &'static str,
    /// The mailbox shown.
    pub current: Option<MailboxId>,
    /// The account's state when the page was made: live update tells by it what is new.
    pub state: u64,
    /// All mailboxes, the standard ones first.
    pub boxes: Vec<MailboxItem>,
    /// Saved searches: address, name, and whether it is the one shown.
    pub searches: Vec<(String, String, bool)>,
    /// The searches made last.
    pub recent: Vec<String>,
    /// What stands in the search field.
    pub query: String,
    /// Display name of the account.
    pub me_name: String,
    /// Its address.
    pub me_address: String,
    /// Its letter.
    pub me_initial: String,
    /// And its colour.
    pub me_hue: &'static str,
    /// Why its sending is stopped, if it is.
    pub stopped: Option<String>,
    /// Whether its mail is answered by a vacation reply now, with the key of the button that ends that.
    pub vacation: Option<String>,
    /// Whether it may administer.
    pub admin: bool,
    /// How much of the quota is used.
    pub space: Option<Space>,
    /// Until when a message can be snoozed.
    pub snooze: Vec<crate::snooze::Choice>,
    /// What has just happened.
    pub notice: Option<Notice>,
}

/// A mailbox in the side bar.
#[derive(Clone, Debug)]
pub struct MailboxItem {
    /// Which.
    pub id: MailboxId,
    /// Last part of its name.
    pub name: String,
    /// All of its name.
    pub full: String,
    /// Its icon, which is the name of its role in lower case.
    pub icon: &'static str,
    /// Class for how far it stands in.
    pub depth: &'static str,
    /// The number beside it: unread ones, or all of the drafts.
    pub count: u32,
    /// How many messages it has.
    pub total: u32,
    /// How many of them are unread.
    pub unread: u32,
    /// Whether it has a role.
    pub standard: bool,
    /// It is the one shown.
    pub current: bool,
}

/// How much of the quota is used.
#[derive(Clone, Debug)]
pub struct Space {
    /// 0 to 100.
    pub percent: u64,
    /// In words.
    pub text: String,
}

/// What has just happened, with what can be done about it.
#[derive(Clone, Debug, Default)]
pub struct Notice {
    /// Stands for the kind of notice, in every language (`data-code`).
    pub code: String,
    /// In words.
    pub text: String,
    /// It went wrong.
    pub bad: bool,
    /// What `/undo` is given to take it back.
    pub undo: Option<String>,
    /// A link: where, and what it says.
    pub link: Option<(String, Text)>,
    /// Where to go after the undo.
    pub back: String,
}

/// A list of conversations.
#[derive(Clone, Debug)]
pub struct List {
    /// Name of the mailbox, or what was searched.
    pub title: String,
    /// Beside it: how many.
    pub subtitle: String,
    /// The mailbox that actions act in; of searches, `all`.
    pub mailbox: String,
    /// Its role in lower case, or `folder`.
    pub role: &'static str,
    /// This page.
    pub here: String,
    /// This page without an open conversation.
    pub back: String,
    /// The first page.
    pub first: String,
    /// The page before, if there is one.
    pub previous: Option<String>,
    /// The page after, if there is one.
    pub next: Option<String>,
    /// Beside the pager.
    pub range: String,
    /// Whether the mailbox may be emptied with one button.
    pub can_empty: bool,
    /// How many messages *Mark all as read* changes; 0 hides it.
    pub unread: u32,
    /// What *Select all* offers, if there is more than the page shows: `296 messages in Inbox`.
    pub everything: Option<String>,
    /// The last UID that the page knows: what comes later is in no act on all of the mailbox.
    pub upto: u32,
    /// Of a search: sentences about what was not understood.
    pub problems: Vec<String>,
    /// What narrows a search down.
    pub chips: Vec<Chip>,
    /// What becomes of old messages by themselves, as a sentence; may be empty.
    pub aging: String,
    /// The lines.
    pub rows: Vec<Row>,
    /// For when there are none.
    pub empty_icon: &'static str,
    /// For when there are none.
    pub empty_title: Text,
    /// For when there are none.
    pub empty_text: String,
    /// What the reading pane says while nothing is open; empty is nothing.
    pub reading_title: String,
}

/// Where a list's link to a conversation leads: to the first message that is unread, or else to the last.
pub const FIRST: &str = "#first";

/// Something that narrows a search down, on or off.
#[derive(Clone, Debug)]
pub struct Chip {
    /// What it says.
    pub text: Text,
    /// The search with it, or without it if it is on.
    pub href: String,
    /// Whether it is on.
    pub on: bool,
}

/// One line of a list.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which conversation: `t7`, among search results `m3.t7`.
    pub id: String,
    /// Where it opens.
    pub href: String,
    /// Who wrote.
    pub who: String,
    /// Letter of who wrote last.
    pub initial: String,
    /// And colour.
    pub hue: &'static str,
    /// How many messages.
    pub total: u32,
    /// How many of them a search found, where that is not all.
    pub found: Option<u32>,
    /// It is open.
    pub current: bool,
    /// Something is unread.
    pub unread: bool,
    /// Something is starred.
    pub starred: bool,
    /// Something has an attachment.
    pub attachment: bool,
    /// Never empty.
    pub subject: String,
    /// How the newest text begins.
    pub preview: String,
    /// When the newest came.
    pub when: When,
}

/// An open conversation.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Which.
    pub thread: ThreadId,
    /// Which, for actions: `m3.t7`.
    pub id: String,
    /// Never empty.
    pub subject: String,
    /// Something is starred.
    pub starred: bool,
    /// Until when it is snoozed.
    pub snoozed: Option<String>,
    /// This page, without what is open.
    pub here: String,
    /// The conversation above it in the list.
    pub newer: Option<String>,
    /// The one below.
    pub older: Option<String>,
    /// Opens all of it.
    pub all_href: String,
    /// How many messages are closed.
    pub shut: usize,
    /// How many early ones are left out.
    pub earlier: usize,
    /// How many messages there are, those not shown among them.
    pub total: usize,
    /// The message that a reader wants to see first.
    pub first: Option<EmailId>,
    /// This page with them.
    pub earlier_href: String,
    /// Oldest first.
    pub messages: Vec<Message>,
    /// The message that Reply answers.
    pub reply_to: Option<EmailId>,
    /// Whether it has more than one other person.
    pub many: bool,
}

/// A message of an open conversation.
#[derive(Clone, Debug)]
pub struct Message {
    /// Which.
    pub id: EmailId,
    /// Where it is.
    pub mailbox: MailboxId,
    /// Name of where it is, if that is not where the reader is.
    pub place: Option<String>,
    /// Idempotency key of its form.
    pub key: String,
    /// It is shown in full.
    pub open: bool,
    /// It was unread before this page.
    pub unread: bool,
    /// It is a draft.
    pub draft: bool,
    /// Name of the writer, or the address.
    pub from_name: String,
    /// Address of the writer.
    pub from_address: String,
    /// The writer is somebody else, whose address is valid and not in the address book.
    pub addable: bool,
    /// The writer in the address book.
    pub contact: Option<Sender>,
    /// Who really sent it, if that was checked when it came.
    pub proof: Option<Proof>,
    /// Letter of the writer.
    pub initial: String,
    /// And colour.
    pub hue: &'static str,
    /// To whom, short: `me, Ann`.
    pub to_short: String,
    /// In full.
    pub from_full: String,
    /// In full.
    pub to_full: String,
    /// In full.
    pub cc_full: String,
    /// In full.
    pub bcc_full: String,
    /// How it begins.
    pub preview: String,
    /// When it was written.
    pub when: When,
    /// How large it is.
    pub size: String,
    /// Where it is opened.
    pub open_href: String,
    /// What the spam filter said of it, if it was asked.
    pub why: Option<Why>,
    /// It lies in Spam.
    pub is_junk: bool,
    /// What there is to say of it: that it is encrypted or signed, what it invites to.
    pub notes: Vec<String>,
    /// It is a report that a message of one's own did not reach somebody: it can be written again.
    pub again: bool,
    /// Pictures that were not loaded.
    pub blocked: usize,
    /// Where they are.
    pub images_href: String,
    /// Address of its HTML, if that is shown.
    pub frame: Option<String>,
    /// Its HTML has no colours of its own: it follows the page's.
    pub adapts: bool,
    /// Its text as HTML, if that is shown.
    pub text: String,
    /// There is more of it than is shown.
    pub cut: bool,
    /// What is attached.
    pub files: Vec<File>,
}

/// The contact who wrote a message, in short.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Which.
    pub id: ContactId,
    /// The name in the address book.
    pub name: String,
    /// What they do, and where.
    pub position: String,
    /// All their addresses.
    pub addresses: Vec<String>,
    /// And numbers.
    pub phones: Vec<String>,
    /// There is a picture.
    pub picture: bool,
}

/// Why a message lies where it does.
#[derive(Clone, Debug)]
pub struct Why {
    /// The stable code of the main reason.
    pub code: String,
    /// In one line.
    pub line: String,
    /// All reasons: points and line.
    pub reasons: Vec<(String, String)>,
    /// Their sum.
    pub total: String,
    /// From which sum on mail goes to Spam.
    pub limit: Option<String>,
}

/// An attachment.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its size in words.
    pub size: String,
    /// Where it is.
    pub href: String,
    /// Where it is shown rather than downloaded, if it is a picture.
    pub picture: Option<String>,
}

/// A message that is being written, as the form has it.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Idempotency key.
    pub key: String,
    /// The draft's email id, empty before it was first saved.
    pub draft: String,
    /// What it answers: `reply:e7`, `forward:e7`, `forward-file:e7`, `again:e7` (a delivery report) or empty.
    pub answers: String,
    /// `html` if what is forwarded goes along as it looks (see [`crate::compose`]).
    pub original: String,
    /// Where to go afterwards.
    pub back: String,
    /// Own address.
    pub from: String,
    /// As typed.
    pub to: String,
    /// As typed.
    pub cc: String,
    /// As typed.
    pub bcc: String,
    /// As typed.
    pub subject: String,
    /// As typed.
    pub text: String,
}

/// A mailbox or a search.
#[derive(Template)]
#[template(path = "mailbox.html")]
pub struct MailboxPage {
    /// Frame.
    pub page: Page,
    /// Surroundings.
    pub shell: Shell,
    /// The list.
    pub list: List,
}

/// A conversation beside its list.
#[derive(Template)]
#[template(path = "conversation.html")]
pub struct ConversationPage {
    /// Frame.
    pub page: Page,
    /// Surroundings.
    pub shell: Shell,
    /// The list.
    pub list: List,
    /// The conversation.
    pub reading: Reading,
}

/// Writing.
#[derive(Template)]
#[template(path = "compose.html")]
pub struct ComposePage {
    /// Frame.
    pub page: Page,
    /// Surroundings.
    pub shell: Shell,
    /// `New message`, `Reply`…
    pub heading: Text,
    /// What was typed.
    pub form: Form,
    /// As whom the account may write.
    pub from: Vec<Writer>,
    /// What is attached.
    pub files: Vec<File>,
    /// Names of the pictures that the forwarded original shows.
    pub pictures: String,
    /// How many bytes that is.
    pub bytes: usize,
    /// How many it may be.
    pub most: usize,
    /// The same in words.
    pub most_text: String,
    /// What keeps it from being sent.
    pub problem: Option<Problem>,
    /// Names of the fields that are wrong.
    pub bad: Vec<&'static str>,
    /// Beside the buttons.
    pub status: String,
}
