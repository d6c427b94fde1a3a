//! Why a form was not done, as its page tells it: a text for people, and a code that stays when the text is reworded.
//!
//! The catalogue of these texts. A page shows one with `templates/problem.html`, where the code is the `data-code` of the
//! alert; tests and scripts read that. What has no form to go back to is a [`Fault`](crate::error::Fault).

use std::fmt;
use std::time::Duration;

use directory::DirectoryError;
use mailstore::MailError;
use people::PeopleError;
use rules::RulesError;

use crate::language::texts;
use crate::time::size;
use crate::wording::{capital, words_for};

/// Why a form was not done.
#[derive(Debug)]
pub enum Problem {
    /// The address or the password is wrong; which one isn't said.
    WrongLogin,
    /// The same, or the code.
    WrongLoginOrCode,
    /// The second step of signing in failed.
    WrongSignInCode,
    /// The second step took too long, or was tried too often.
    SignInExpired,
    /// The password is right, the account is disabled.
    AccountDisabled,
    /// A passkey that is not the account's, or whose answer is wrong.
    PasskeyRefused,
    /// The answer of a passkey took too long, or was sent twice.
    PasskeyExpired,
    /// The browser sent no answer of a passkey.
    PasskeyMissing,
    /// What the browser sent is no new passkey that we can use, and why.
    PasskeyUnusable(webauthn::Refusal),
    /// Try again after that time.
    TooManyAttempts(Duration),
    /// The token that the terminal shows is another one.
    WrongSetupToken,
    /// A new password was typed in two ways.
    PasswordsDiffer,
    /// The password that confirms a change is wrong.
    WrongCurrentPassword,
    /// An administrator has set the password; its owner has to choose another.
    MustChangePassword,
    /// The directory can't check a password now.
    PasswordNotChecked,
    /// The code that turns on two-step sign-in doesn't fit.
    WrongNewCode,
    /// There is no such time zone.
    UnknownTimeZone(String),
    /// A line of a list that is no sender.
    NotASender(filter::spam::NotASender),
    /// The lists of senders are too long.
    TooManySenders(usize),
    /// A text that is longer than so many bytes.
    TextTooLong(usize),
    /// A new mailbox without a name.
    MailboxNameMissing,
    /// A contact without a name and without an address.
    ContactNameMissing,
    /// An address of a contact that is none, and why.
    WrongAddress(String, mailkit::AddressError),
    /// A time to go back to that isn't understood, with what to type instead.
    WrongTime(String),
    /// A rewind that can't be done, with the reason as a sentence.
    RewindRefused(String),
    /// A rewind of selected messages with none selected.
    NothingSelected,
    /// An app password without a name.
    DeviceNameMissing,
    /// An import without a file.
    FileMissing,
    /// The service can't check codes of authenticator apps at the moment.
    CodesNotChecked,
    /// A message to nobody.
    RecipientMissing,
    /// Recipients to whom no mail can go, each with its reason, and how many more there are.
    WrongRecipients(Vec<String>, usize),
    /// A message to more recipients than it may have.
    TooManyRecipients {
        /// How many it may have.
        limit: usize,
        /// How many it has.
        count: usize,
    },
    /// A message that can't be made of what was typed, with the reason as a sentence.
    MessageRefused(String),
    /// Delivery takes no such message, with its reason.
    SendRefused(String),
    /// A field of a form is empty or not understood: what to write instead.
    Field(String),
    /// A rule that can't be written.
    RulesClash(rules::Clash),
    /// Rules that can't be kept.
    Rules(rules::RulesError),
    /// The directory refused.
    Directory(DirectoryError),
    /// The mail store refused.
    Mail(MailError),
    /// The address book refused.
    People(PeopleError),
}

impl Problem {
    /// Stands for the kind of problem, in every language.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::WrongLogin => "login-wrong",
            Self::WrongLoginOrCode => "login-or-code-wrong",
            Self::WrongSignInCode | Self::WrongNewCode => "code-wrong",
            Self::SignInExpired => "sign-in-expired",
            Self::AccountDisabled => "account-disabled",
            Self::PasskeyRefused => "passkey-refused",
            Self::PasskeyExpired => "passkey-expired",
            Self::PasskeyMissing => "passkey-missing",
            Self::PasskeyUnusable(_) => "passkey-unusable",
            Self::TooManyAttempts(_) => "too-many-attempts",
            Self::WrongSetupToken => "setup-token-wrong",
            Self::PasswordsDiffer => "passwords-differ",
            Self::WrongCurrentPassword => "password-wrong",
            Self::MustChangePassword => "password-must-change",
            Self::PasswordNotChecked => "password-not-checked",
            Self::UnknownTimeZone(_) => "time-zone-unknown",
            Self::NotASender(_) => "sender-invalid",
            Self::TooManySenders(_) => "too-many-senders",
            Self::TextTooLong(_) => "text-too-long",
            Self::MailboxNameMissing => "mailbox-name-missing",
            Self::ContactNameMissing => "contact-name-missing",
            Self::WrongAddress(..) => "address-invalid",
            Self::WrongTime(_) => "time-invalid",
            Self::RewindRefused(_) => "rewind-refused",
            Self::NothingSelected => "nothing-selected",
            Self::DeviceNameMissing => "device-name-missing",
            Self::FileMissing => "file-missing",
            Self::CodesNotChecked => "codes-not-checked",
            Self::RecipientMissing => "recipient-missing",
            Self::WrongRecipients(..) => "recipients-invalid",
            Self::TooManyRecipients { .. } => "too-many-recipients",
            Self::MessageRefused(_) => "message-refused",
            Self::SendRefused(_) => "send-refused",
            Self::Field(_) => "field-invalid",
            Self::RulesClash(_) => "rules-clash",
            Self::Rules(error) => of_rules(error),
            Self::Directory(error) => of_directory(error),
            Self::Mail(error) => of_mail(error),
            Self::People(error) => of_people(error),
        }
    }

    /// What is wrong with a passkey.
    fn of_passkey(&self) -> String {
        match self {
            Self::PasskeyExpired => "That took too long. Try your passkey again.".to_owned(),
            Self::PasskeyMissing => {
                "Your browser sent no passkey. Passkeys need JavaScript; without it, use your password.".to_owned()
            }
            Self::PasskeyUnusable(why) => format!("This passkey can’t be used here: {why}."),
            _ => "This passkey was not accepted. Try another one, or sign in with your password.".to_owned(),
        }
    }

    fn text(&self) -> String {
        let t = texts();
        match self {
            Self::WrongLogin => t.signin_wrong().into_owned(),
            Self::WrongLoginOrCode => t.signin_wrong_or_code().into_owned(),
            Self::WrongSignInCode => t.signin_wrong_code().into_owned(),
            Self::SignInExpired => t.signin_expired().into_owned(),
            Self::AccountDisabled => t.signin_disabled().into_owned(),
            Self::PasskeyRefused | Self::PasskeyExpired | Self::PasskeyMissing | Self::PasskeyUnusable(_) => {
                self.of_passkey()
            }
            Self::TooManyAttempts(wait) => t.signin_too_many(words_for(*wait)).into_owned(),
            Self::WrongSetupToken => "That setup token is wrong. Copy it from the terminal again.".to_owned(),
            Self::PasswordsDiffer => "The passwords don’t match. Enter the same password twice.".to_owned(),
            Self::WrongCurrentPassword => "The current password is wrong.".to_owned(),
            Self::MustChangePassword => {
                "An administrator has set your password. Choose a new one now: the rest of your account opens then."
                    .to_owned()
            }
            Self::PasswordNotChecked => t.signin_not_checked().into_owned(),
            Self::WrongNewCode => "That code didn’t work. Wait for a new one in your app, then enter it.".to_owned(),
            Self::UnknownTimeZone(zone) => t.display_zone_unknown(zone).into_owned(),
            Self::NotASender(error) => format!("{}.", capital(&error.to_string())),
            Self::TooManySenders(limit) => format!("The lists can have {limit} senders together."),
            Self::TextTooLong(limit) => t.text_too_long(size(*limit as u64)).into_owned(),
            Self::MailboxNameMissing => "Enter a name for the mailbox.".to_owned(),
            Self::ContactNameMissing => "Enter a name or an address.".to_owned(),
            Self::WrongAddress(address, reason) => format!("“{address}” isn’t a valid address: {reason}."),
            Self::WrongTime(why) | Self::RewindRefused(why) => why.clone(),
            Self::NothingSelected => "Select the messages that you want to restore.".to_owned(),
            Self::DeviceNameMissing => "Enter a name for the device, such as Anna’s phone.".to_owned(),
            Self::FileMissing => "Choose a file first.".to_owned(),
            Self::CodesNotChecked => t.signin_codes_not_checked().into_owned(),
            Self::Directory(DirectoryError::NoSecretsKey(_)) => {
                "This service can’t store new secrets at the moment: its secrets key is missing. Ask your administrator, then try \
                 again."
                    .to_owned()
            }
            Self::RecipientMissing => t.compose_no_recipient().into_owned(),
            Self::WrongRecipients(named, further) => {
                let said = t.compose_wrong_recipients(named.join(". "));
                if *further > 0 { format!("{said} {}", t.compose_more_wrong(*further)) } else { said.into_owned() }
            }
            Self::TooManyRecipients { limit, count } => {
                t.compose_too_many(*count, *limit).into_owned()
            }
            Self::MessageRefused(why) => why.clone(),
            Self::SendRefused(why) => t.compose_not_sent(why.trim_end_matches('.')).into_owned(),
            Self::Field(what) => what.clone(),
            Self::RulesClash(rules::Clash::Dollar) => {
                "The characters ${ can’t be used in rules while a rule replies to messages. Remove them from the texts.".to_owned()
            }
            Self::Rules(error) => rules_refused(error),
            Self::Directory(DirectoryError::NoSuchDomain(domain)) => format!(
                "The domain {} is not one of this service. Add it under Administration, Domains.",
                mailkit::address::readable_domain(domain)
            ),
            Self::Directory(DirectoryError::NoSuchAccount(_)) => "This account no longer exists.".to_owned(),
            Self::Directory(error) => capital(&error.to_string()),
            Self::Mail(MailError::OverQuota { used, limit, .. }) => storage_full(*used, *limit),
            Self::Mail(error) => capital(&error.to_string()),
            Self::People(error) => capital(&error.to_string()),
        }
    }
}

/// Why rules can't be kept.
fn rules_refused(error: &RulesError) -> String {
    match error {
        RulesError::Changed(_) => {
            "The rules were changed in another window or program since you opened this page. Nothing was \
                                   saved. Check what is there now, then try again."
                .to_owned()
        }
        RulesError::Invalid(problems) => {
            let all: Vec<String> = problems.0.iter().map(|problem| capital(&problem.to_string())).collect();
            format!("The script has errors. {}", all.join(" "))
        }
        error => capital(&error.to_string()),
    }
}

/// What an account is told that has no storage left.
pub fn storage_full(used: u64, limit: u64) -> String {
    texts().compose_storage_full(size(limit), size(used)).into_owned()
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

impl From<&str> for Problem {
    fn from(what: &str) -> Self {
        Self::Field(what.to_owned())
    }
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self::Field(what)
    }
}

impl fmt::Display for Problem {
    /// In one piece: templates escape piece by piece.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

const fn of_directory(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::AddressTaken(_) => "address-taken",
        DirectoryError::NoSuchAccount(_) => "account-missing",
        DirectoryError::NoSuchDomain(_) => "domain-missing",
        DirectoryError::NotPublic(_) => "domain-not-public",
        DirectoryError::DomainTaken(_) => "domain-taken",
        DirectoryError::DomainInUse { .. } => "domain-in-use",
        DirectoryError::BadAddress(_) => "address-invalid",
        DirectoryError::BadPassword(_) => "password-refused",
        DirectoryError::TooLong { .. } => "too-long",
        DirectoryError::TooMany { .. } => "too-many",
        DirectoryError::Reserved(_) => "address-reserved",
        DirectoryError::LoginAddress(_) => "address-is-login",
        DirectoryError::LastAdmin => "last-administrator",
        DirectoryError::WrongCode => "code-wrong",
        DirectoryError::PasskeyKnown => "passkey-known",
        DirectoryError::LastSecondStep => "passkey-last",
        DirectoryError::NoSecretsKey(_) => "secrets-key-missing",
        _ => "refused",
    }
}

const fn of_rules(error: &RulesError) -> &'static str {
    match error {
        RulesError::Changed(_) => "rules-changed",
        RulesError::Invalid(_) => "script-invalid",
        RulesError::NoSuchScript(_) => "script-missing",
        RulesError::Exists(_) => "script-taken",
        RulesError::Active(_) => "script-active",
        RulesError::BadName => "script-name-invalid",
        RulesError::TooMany => "too-many",
        RulesError::TooLarge | RulesError::ScriptTooLarge => "too-long",
        RulesError::Store(_) => "refused",
    }
}

const fn of_mail(error: &MailError) -> &'static str {
    match error {
        MailError::NoSuchMailbox(_) | MailError::MailboxGone(_) => "mailbox-missing",
        MailError::MailboxExists(_) => "mailbox-taken",
        MailError::BadName { .. } => "mailbox-name-invalid",
        MailError::TooManyMailboxes(_) => "too-many",
        MailError::OverQuota { .. } => "storage-full",
        _ => "refused",
    }
}

const fn of_people(error: &PeopleError) -> &'static str {
    match error {
        PeopleError::NoSuchContact => "contact-missing",
        PeopleError::NoSuchGroup => "group-missing",
        PeopleError::NoSuchBook => "book-missing",
        PeopleError::BookExists(_) => "book-taken",
        PeopleError::Picture(_) => "picture-refused",
        PeopleError::Changed => "contact-changed",
        PeopleError::Empty => "contact-empty",
        PeopleError::NoName => "group-name-missing",
        PeopleError::GroupExists(_) => "group-taken",
        PeopleError::BadAddress { .. } => "address-invalid",
        PeopleError::NothingToMerge => "too-few-to-merge",
        PeopleError::TooMany { .. } => "too-many",
        PeopleError::TooLong { .. } => "too-long",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_a_sentence_with_a_code() {
        let all = [
            Problem::WrongLogin,
            Problem::WrongLoginOrCode,
            Problem::WrongSignInCode,
            Problem::SignInExpired,
            Problem::AccountDisabled,
            Problem::TooManyAttempts(Duration::from_secs(200)),
            Problem::WrongSetupToken,
            Problem::PasswordsDiffer,
            Problem::WrongCurrentPassword,
            Problem::MustChangePassword,
            Problem::PasswordNotChecked,
            Problem::WrongNewCode,
            Problem::UnknownTimeZone("Mars/Phobos".to_owned()),
            Problem::TooManySenders(7),
            Problem::DeviceNameMissing,
            Problem::FileMissing,
            Problem::WrongTime("A reason.".to_owned()),
            Problem::RewindRefused("A reason.".to_owned()),
            Problem::NothingSelected,
            Problem::CodesNotChecked,
            Problem::RecipientMissing,
            Problem::WrongRecipients(vec!["one".to_owned()], 0),
            Problem::WrongRecipients(vec!["one".to_owned(), "two".to_owned()], 3),
            Problem::TooManyRecipients { limit: 100, count: 101 },
            Problem::MessageRefused("A reason.".to_owned()),
            Problem::SendRefused("a reason".to_owned()),
            Problem::Field("Type a name.".to_owned()),
            Problem::RulesClash(rules::Clash::Dollar),
            Problem::Rules(RulesError::Changed("a".to_owned())),
            Problem::Rules(RulesError::Invalid(rules::check("stop").unwrap_err())),
            Problem::Rules(RulesError::BadName),
            Problem::Rules(RulesError::TooMany),
            Problem::Directory(DirectoryError::LastAdmin),
            Problem::Directory(DirectoryError::NoSecretsKey("a reason".to_owned())),
            Problem::Directory(DirectoryError::NoSuchDomain("x.example".to_owned())),
            Problem::Directory(DirectoryError::NotPublic("localhost".to_owned())),
            Problem::Directory(DirectoryError::AddressTaken("a@x.example".to_owned())),
            Problem::Mail(MailError::Forbidden("a reason")),
            Problem::Mail(MailError::OverQuota { used: 1, limit: 2, needed: 3 }),
            Problem::People(PeopleError::Empty),
        ];
        for problem in all {
            let (code, text) = (problem.code(), problem.to_string());
            assert!(!code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
            assert!(text.starts_with(char::is_uppercase) && text.ends_with('.'), "{code}: {text}");
        }
    }
}
