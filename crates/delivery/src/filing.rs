//! Filing into a mailbox here: the one place where a message enters an account.

use directory::AccountId;
use mailstore::{Appended, MailError, MailStore, NewMessage, Role};
use store::Tx;

/// Files a message for `account`. Rules, vacation notices and forwarding belong here; today all mail goes to INBOX.
///
/// [`MailError::OverQuota`] is returned before anything is written to the account; after any other error the commit must
/// be abandoned.
pub fn file_local_in(
    tx: &mut Tx<'_>,
    mailstore: &MailStore,
    account: AccountId,
    message: &NewMessage,
) -> Result<Appended, MailError> {
    let realm = account.realm();
    let inbox = match mailstore.mailbox_by_role_in(tx, realm, Role::Inbox)? {
        Some(mailbox) => mailbox.id,
        None => {
            // An account whose mailboxes were not made yet.
            mailstore.create_standard_mailboxes_in(tx, realm)?;
            let inbox = mailstore.mailbox_by_role_in(tx, realm, Role::Inbox)?;
            inbox.ok_or_else(|| MailError::NoSuchMailbox(Role::Inbox.standard_name().to_owned()))?.id
        }
    };
    mailstore.append_in(tx, realm, inbox, message)
}
