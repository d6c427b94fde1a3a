//! The greeting, CAPABILITY, ENABLE, ID.

use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::response::{Code, text};

/// What everybody may know.
const BEFORE_LOGIN: &str = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE";
/// What a client may use once it has logged in.
const AFTER_LOGIN: &str = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE UIDPLUS MOVE UNSELECT NAMESPACE \
                           CHILDREN SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE ESEARCH \
                           SEARCHRES WITHIN PARTIAL SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES \
                           THREAD=REFS I18NLEVEL=1 CONDSTORE QRESYNC BINARY OBJECTID PREVIEW MULTIAPPEND NOTIFY \
                           UTF8=ACCEPT QUOTA QUOTA=RES-STORAGE UIDONLY INPROGRESS UNAUTHENTICATE SAVEDATE REPLACE \
                           CATENATE MULTISEARCH METADATA LIST-METADATA CONTEXT=SEARCH CONTEXT=SORT \
                           SEARCH=FUZZY";

impl Session {
    pub(super) fn greet(&mut self) -> Outcome<()> {
        let options = &self.door.options;
        let name = self.wire.conn().ok().and_then(|conn| conn.came_by(&options.also_known_as));
        let name = name.unwrap_or(&options.host_name);
        let line = format!("* OK [CAPABILITY {}] {name} Holdfast is ready\r\n", self.capabilities()?);
        self.wire.out.extend_from_slice(line.as_bytes());
        Ok(())
    }

    pub(super) fn capability(&mut self) -> Outcome {
        let line = format!("* CAPABILITY {}\r\n", self.capabilities()?);
        self.wire.out.extend_from_slice(line.as_bytes());
        Ok(Done::text("CAPABILITY completed"))
    }

    /// What can be used now, in the state that the connection is in.
    pub(super) fn capabilities(&self) -> Outcome<String> {
        if self.user.is_some() {
            let compress = if self.wire.is_compressed() { "" } else { " COMPRESS=DEFLATE" };
            return Ok(format!("{AFTER_LOGIN} APPENDLIMIT={}{compress}", self.door.options.max_message_bytes));
        }
        let mut all = String::from(BEFORE_LOGIN);
        if self.can_start_tls()? {
            all.push_str(" STARTTLS");
        }
        if self.passwords_allowed()? {
            let offers_scram = self.door.directory.offers_scram();
            if offers_scram && self.wire.conn()?.tls_exporter().is_some() {
                all.push_str(" AUTH=SCRAM-SHA-256-PLUS");
            }
            all.push_str(" AUTH=PLAIN AUTH=LOGIN");
            if offers_scram {
                all.push_str(" AUTH=SCRAM-SHA-256");
            }
        } else {
            all.push_str(" LOGINDISABLED");
        }
        Ok(all)
    }

    pub(super) fn can_start_tls(&self) -> Outcome<bool> {
        Ok(self.door.tls.is_some() && !self.wire.conn()?.is_tls())
    }

    /// Whether a password may be sent over this connection.
    pub(super) fn passwords_allowed(&self) -> Outcome<bool> {
        Ok(self.wire.conn()?.may_log_in(self.door.options.plaintext_logins))
    }

    /// RFC 5161. Names that are unknown, or enabled already, are passed over.
    pub(super) fn enable(&mut self, names: &[String]) -> Done {
        let had_condstore = self.enabled.condstore;
        let enabled = &mut self.enabled;
        let mut new = String::new();
        for name in names {
            let was = *enabled;
            match name.as_str() {
                "IMAP4REV2" => (enabled.rev2, enabled.utf8) = (true, true),
                "UTF8=ACCEPT" => (enabled.utf8, enabled.utf8_accept) = (true, true),
                "CONDSTORE" => enabled.condstore = true,
                "UIDONLY" => enabled.uid_only = true,
                "QRESYNC" => (enabled.qresync, enabled.condstore) = (true, true),
                _ => continue,
            }
            if was != *enabled {
                new.push(' ');
                new.push_str(if name == "IMAP4REV2" { "IMAP4rev2" } else { name });
            }
        }
        let line = format!("* ENABLED{new}\r\n");
        self.wire.out.extend_from_slice(line.as_bytes());
        if self.enabled.condstore && !had_condstore {
            self.tell_highest_modseq();
        }
        Done::text("ENABLE completed")
    }

    /// Something asked for mod-sequences: they are told from now on. A client with a selected mailbox hears up to where
    /// it knows it (RFC 7162 section 3.1).
    pub(super) fn enable_condstore(&mut self) {
        if !self.enabled.condstore {
            self.enabled.condstore = true;
            self.tell_highest_modseq();
        }
    }

    fn tell_highest_modseq(&mut self) {
        if let Some(selected) = &self.selected {
            let code = Code::HighestModSeq(selected.token().0);
            self.untagged_ok(&code, "CONDSTORE enabled");
        }
    }

    /// RFC 2971.
    pub(super) fn id(&mut self, fields: &[(String, Option<String>)]) -> Done {
        let shown = |wanted: &str| {
            let field = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            let value = field.and_then(|(_, value)| value.as_deref()).unwrap_or_default();
            value.chars().filter(|c| !c.is_control()).take(64).collect::<String>()
        };
        tracing::debug!(name = shown("name"), version = shown("version"), "IMAP client");
        [shown("name"), shown("version")].join(" ").trim().clone_into(&mut self.program);
        // A connection that is gone has nothing to note.
        let _ = self.note_program();
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* ID (\"name\" \"Holdfast\" \"version\" ");
        text::string(out, self.door.options.version.as_bytes(), false);
        out.extend_from_slice(b")\r\n");
        Done::text("ID completed")
    }
}
