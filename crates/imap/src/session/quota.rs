//! GETQUOTA and GETQUOTAROOT (RFC 9208). An account has one quota root, named by the empty string.

use mailstore::MailError;

use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::{Code, mailbox_name, text};

impl Session {
    pub(super) fn get_quota(&mut self, root: &str) -> Outcome {
        if !root.is_empty() {
            return Err(Failure::no(Code::NONEXISTENT, "No such quota root; the only one is \"\""));
        }
        self.write_quota()?;
        Ok(Done::text("GETQUOTA completed"))
    }

    pub(super) fn get_quota_root(&mut self, name: &str) -> Outcome {
        let realm = self.realm()?;
        let name = self.mailbox_name(name)?;
        if self.door.mailstore.mailbox_by_name(realm, &name)?.is_none() {
            return Err(MailError::NoSuchMailbox(name.to_string()).into());
        }
        let utf8 = self.enabled.utf8;
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* QUOTAROOT ");
        mailbox_name::write(out, name.as_str(), utf8);
        out.extend_from_slice(b" \"\"\r\n");
        self.write_quota()?;
        Ok(Done::text("GETQUOTAROOT completed"))
    }

    fn write_quota(&mut self) -> Outcome<()> {
        let quota = self.door.mailstore.quota(self.realm()?)?;
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* QUOTA \"\" (");
        if let Some(limit) = quota.limit_bytes {
            // STORAGE counts units of 1024 bytes.
            out.extend_from_slice(b"STORAGE ");
            text::number(out, quota.used_bytes.div_ceil(1024));
            out.push(b' ');
            text::number(out, limit / 1024);
        }
        out.extend_from_slice(b")\r\n");
        Ok(())
    }
}
