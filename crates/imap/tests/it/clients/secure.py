"""STARTTLS, then SCRAM-SHA-256 with an app password, as RFC 5802 and RFC 7677 have a client do it."""

import base64
import hashlib
import hmac
import imaplib
import os
import ssl
import sys

port, user, password, app_password = int(sys.argv[1]), *sys.argv[2:5]


def connect():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    c = imaplib.IMAP4("127.0.0.1", port)
    assert "LOGINDISABLED" in c.capabilities, c.capabilities
    assert "STARTTLS" in c.capabilities, c.capabilities
    try:
        c.login(user, password)
        raise SystemExit("a password was taken in plain text")
    except imaplib.IMAP4.error as error:
        assert "PRIVACYREQUIRED" in str(error), error
    c.starttls(context)
    assert "AUTH=PLAIN" in c.capabilities, c.capabilities
    assert "AUTH=SCRAM-SHA-256-PLUS" in c.capabilities, c.capabilities
    assert "STARTTLS" not in c.capabilities, c.capabilities
    return c


c = connect()
c.login(user, password)
assert c.select("INBOX")[0] == "OK"
c.logout()


def scram(secret):
    nonce = base64.b64encode(os.urandom(18)).decode()
    bare = f"n={user},r={nonce}"
    state = {}

    def answer(challenge):
        challenge = challenge.decode()
        if not challenge:
            return ("n,," + bare).encode()
        if challenge.startswith("v="):
            want = base64.b64encode(state["server"]).decode()
            assert challenge == "v=" + want, "the server must prove itself, too"
            return b""
        fields = dict(field.split("=", 1) for field in challenge.split(","))
        assert fields["r"].startswith(nonce)
        salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = "c=biws,r=" + fields["r"]
        message = f"{bare},{challenge},{final}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        state["server"] = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{final},p={base64.b64encode(proof).decode()}".encode()

    return answer


c = connect()
try:
    c.authenticate("SCRAM-SHA-256", scram("wrong"))
    raise SystemExit("a wrong proof was taken")
except imaplib.IMAP4.error as error:
    assert "AUTHENTICATIONFAILED" in str(error), error
c.authenticate("SCRAM-SHA-256", scram(app_password))
assert c.select("INBOX")[0] == "OK"
c.logout()
print("done")
