"""Python's own mail clients do a round: send, read, change, move, fetch."""

import imaplib
import poplib
import smtplib
import ssl
import sys
from email.message import EmailMessage

(smtp, submission, submissions, imap, imaps, pop3, pop3s) = (int(port) for port in sys.argv[1:8])
anna, bert, password = sys.argv[8:11]
host = "127.0.0.1"
tls = ssl._create_unverified_context()


def message(subject, sender, recipient):
    mail = EmailMessage()
    mail["Subject"] = subject
    mail["From"] = sender
    mail["To"] = recipient
    mail.set_content("Grüße\n.\n..dots\n")
    mail.add_attachment(bytes(range(256)) * 300, maintype="application", subtype="octet-stream", filename="bytes.bin")
    return mail


# In from another server, with STARTTLS.
with smtplib.SMTP(host, smtp) as client:
    client.starttls(context=tls)
    client.send_message(message("from outside", "someone@example.net", anna))
    try:
        client.sendmail("someone@example.net", ["nobody@example.org"], "x")
        raise AssertionError("an unknown recipient was taken")
    except smtplib.SMTPRecipientsRefused as refused:
        assert refused.recipients["nobody@example.org"][0] == 550

# Submission both ways, UTF-8 addresses in the body, and a wrong password.
with smtplib.SMTP(host, submission) as client:
    client.starttls(context=tls)
    try:
        client.login(anna, "wrong")
        raise AssertionError("a wrong password was taken")
    except smtplib.SMTPAuthenticationError as refused:
        assert refused.smtp_code == 535
    client.login(anna, password)
    client.send_message(message("by 587", anna, bert))
with smtplib.SMTP_SSL(host, submissions, context=tls) as client:
    client.login(anna, password)
    client.send_message(message("by 465", anna, bert))
    try:
        client.sendmail("forged@example.org", [bert], "Subject: x\r\n\r\nx")
        raise AssertionError("a forged sender was taken")
    except smtplib.SMTPSenderRefused:
        pass

# Reading.
with imaplib.IMAP4_SSL(host, imaps, ssl_context=tls) as client:
    client.login(bert, password)
    assert client.select("INBOX")[1] == [b"2"]
    assert client.search(None, "SUBJECT", '"by 587"')[1] == [b"1"]
    raw = client.fetch("1", "(BODY.PEEK[])")[1][0][1]
    assert b"\r\n..dots\r\n" in raw or b"=2E" in raw or b"R3L" in raw
    client.store("1", "+FLAGS", "(\\Seen \\Flagged)")
    assert b"\\Flagged" in client.fetch("1", "(FLAGS)")[1][0]
    client.create("Projects/One")
    assert client.copy("1", "Projects/One")[0] == "OK"
    assert client.uid("MOVE", "1", "Archive")[0] == "OK"
    assert client.select("INBOX")[1] == [b"1"]
    assert client.select("Projects/One", readonly=True)[1] == [b"1"]
    assert client.append("Drafts", "(\\Draft)", None, b"Subject: draft\r\n\r\nx\r\n")[0] == "OK"
    names = b" ".join(client.list()[1])
    for name in (b"INBOX", b"Drafts", b"Sent", b"Trash", b"Junk", b"Archive", b"Projects/One"):
        assert name in names, names
with imaplib.IMAP4(host, imap) as client:
    client.starttls(ssl_context=tls)
    client.login(bert, password)
    client.select("Drafts")
    client.store("1", "+FLAGS", "\\Deleted")
    client.expunge()
    assert client.select("Drafts")[1] == [b"0"]

# Fetching.
client = poplib.POP3_SSL(host, pop3s, context=tls)
client.user(anna)
client.pass_(password)
assert client.stat()[0] == 1
unique = client.uidl()[1]
_, lines, _ = client.retr(1)
assert any(line.startswith(b"Subject: from outside") for line in lines)
assert len(client.top(1, 0)[1]) < len(lines)
client.dele(1)
client.close()  # without QUIT: nothing is deleted
client = poplib.POP3(host, pop3)
client.stls(context=tls)
client.user(anna)
client.pass_(password)
assert client.uidl()[1] == unique
client.dele(1)
client.quit()
client = poplib.POP3_SSL(host, pop3s, context=tls)
client.user(anna)
client.pass_(password)
assert client.stat()[0] == 0
client.quit()
print("round done")
