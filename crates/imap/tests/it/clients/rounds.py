"""The rounds that Python's imaplib makes: login, append, fetch, store, search, copy, move, expunge, idle by noop."""

import email
import imaplib
import sys
import time

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
MESSAGE = (b"From: Ann <ann@example.org>\r\nTo: user@example.org\r\nSubject: round\r\n"
           b"Message-ID: <round@example.org>\r\n\r\nhello \xc3\xbc\r\n")


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


c = imaplib.IMAP4("127.0.0.1", port)
assert "IMAP4REV1" in c.capabilities, c.capabilities
c.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
c.enable("UTF8=ACCEPT")
c.logout()

c = imaplib.IMAP4("127.0.0.1", port)
ok(c.login(user, password))
names = ok(c.list())
assert any(b"INBOX" in name for name in names), names
ok(c.create("Round"))
ok(c.subscribe("Round"))
assert ok(c.lsub('""', "Round"))[0], "subscribed"
for n in range(3):
    ok(c.append("Round", "(\\Seen)" if n else None, imaplib.Time2Internaldate(time.time()), MESSAGE))
assert ok(c.select("Round"))[0] == b"3"
assert ok(c.search(None, "UNSEEN"))[0] == b"1"
data = ok(c.fetch("1", "(RFC822)"))
assert data[0][1] == MESSAGE, data
assert email.message_from_bytes(data[0][1])["Subject"] == "round"
ok(c.store("1", "+FLAGS", "\\Flagged"))
assert b"\\Flagged" in ok(c.fetch("1", "(FLAGS)"))[0]
data = ok(c.uid("FETCH", "1:*", "(UID ENVELOPE BODYSTRUCTURE)"))
assert len(data) == 3, data
ok(c.copy("1:2", "Archive"))
ok(c.uid("MOVE", "3", "Trash"))
ok(c.store("1", "+FLAGS.SILENT", "\\Deleted"))
assert ok(c.expunge())[-1] == b"1", "one message expunged"
assert ok(c.status("Round", "(MESSAGES UNSEEN)"))[0] == b'"Round" (MESSAGES 1 UNSEEN 0)'
ok(c.rename("Round", "Square"))
ok(c.unsubscribe("Square"))
ok(c.noop())
ok(c.close())
ok(c.delete("Square"))
assert c.select("Square")[0] == "NO"
ok(c.namespace())
ok(c.getquotaroot("INBOX"))
c.logout()
print("done")
