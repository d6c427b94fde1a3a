"""A mail program that is told an address and a password and nothing else: it asks as Thunderbird, Outlook and Apple's devices do,
reads the answers strictly, and signs in to every server that they name. All names lead to this machine."""

import imaplib
import json
import plistlib
import poplib
import smtplib
import socket
import ssl
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as ET

ADDRESS, PASSWORD, HTTPS_PORT, ROOTS, PROFILE, EXPECTED = sys.argv[1:7]
EXPECTED = json.loads(EXPECTED)
DOMAIN = ADDRESS.split("@")[1]
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: real("127.0.0.1", *more, **named)
context = ssl.create_default_context(cafile=ROOTS)


def fetch(host, path, body=None):
    request = urllib.request.Request(f"https://{host}:{HTTPS_PORT}{path}", data=body)
    if body is not None:
        request.add_header("Content-Type", "text/xml")
    with urllib.request.urlopen(request, context=context, timeout=60) as answer:
        return answer.headers.get_content_type(), answer.read()


def sign_in(kind, host, port, how, user, password):
    """With a certificate that is good for the host."""
    if kind == "imap":
        server = imaplib.IMAP4_SSL(host, port, ssl_context=context) if how == "SSL" else imaplib.IMAP4(host, port)
        if how == "STARTTLS":
            server.starttls(context)
        assert server.login(user, password)[0] == "OK"
        assert server.select("INBOX")[0] == "OK"
        server.logout()
    elif kind == "pop3":
        server = poplib.POP3_SSL(host, port, context=context) if how == "SSL" else poplib.POP3(host, port)
        if how == "STARTTLS":
            server.stls(context)
        server.user(user)
        server.pass_(password)
        server.quit()
    else:
        server = smtplib.SMTP_SSL(host, port, context=context) if how == "SSL" else smtplib.SMTP(host, port)
        if how == "STARTTLS":
            server.starttls(context=context)
        server.login(user, password)
        server.quit()


def thunderbird():
    """As its own account setup asks, in its order; what it needs of the format (the wiki's ConfigFileFormat)."""
    found = []
    for host, path in [
        (f"autoconfig.{DOMAIN}", f"/mail/config-v1.1.xml?emailaddress={ADDRESS.replace('@', '%40')}"),
        (f"mail.{DOMAIN}", f"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress={ADDRESS}"),
    ]:
        kind, body = fetch(host, path)
        assert kind in ("text/xml", "application/xml"), kind
        root = ET.fromstring(body)
        assert (root.tag, root.get("version")) == ("clientConfig", "1.1")
        provider = root.find("emailProvider")
        assert provider.get("id") == DOMAIN and [one.text for one in provider.findall("domain")] == [DOMAIN]
        assert provider.findtext("displayName") and provider.findtext("displayShortName")
        servers = []
        for element in [*provider.findall("incomingServer"), *provider.findall("outgoingServer")]:
            kind = element.get("type")
            assert (kind == "smtp") == (element.tag == "outgoingServer"), kind
            assert [child.tag for child in element] == ["hostname", "port", "socketType", "authentication", "username"]
            assert element.findtext("authentication") == "password-cleartext"
            user = element.findtext("username").replace("%EMAILADDRESS%", ADDRESS)
            assert user == ADDRESS
            servers.append((kind, element.findtext("hostname"), int(element.findtext("port")), element.findtext("socketType"), user))
        assert any(kind != "smtp" for kind, *_ in servers) and any(kind == "smtp" for kind, *_ in servers), servers
        found.append(servers)
    assert found[0] == found[1]
    return found[0]


def outlook():
    space = "http://schemas.microsoft.com/exchange/autodiscover/"
    request = (
        f'<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="{space}outlook/requestschema/2006"><Request>'
        f"<EMailAddress>{ADDRESS}</EMailAddress><AcceptableResponseSchema>{space}outlook/responseschema/2006a"
        "</AcceptableResponseSchema></Request></Autodiscover>"
    )
    kind, body = fetch(f"autodiscover.{DOMAIN}", "/autodiscover/autodiscover.xml", request.encode())
    assert kind == "text/xml", kind
    names = {"e": space + "responseschema/2006", "o": space + "outlook/responseschema/2006a"}
    account = ET.fromstring(body).find("o:Response/o:Account", names)
    assert account.findtext("o:AccountType", namespaces=names) == "email"
    assert account.findtext("o:Action", namespaces=names) == "settings"
    servers = []
    for protocol in account.findall("o:Protocol", names):
        text = lambda name: protocol.findtext(f"o:{name}", namespaces=names)
        assert (text("SPA"), text("AuthRequired"), text("LoginName")) == ("off", "on", ADDRESS)
        how = {("on", "SSL"): "SSL", ("off", "TLS"): "STARTTLS"}[text("SSL"), text("Encryption")]
        servers.append((text("Type").lower(), text("Server"), int(text("Port")), how, text("LoginName")))
    _, answer = fetch(f"autodiscover.{DOMAIN}", f"/autodiscover/autodiscover.json?Email={ADDRESS}&Protocol=AutodiscoverV1")
    assert json.loads(answer)["Url"].startswith("https://")
    return servers


def apple():
    checked = subprocess.run(
        ["openssl", "cms", "-verify", "-inform", "DER", "-binary", "-in", PROFILE, "-CAfile", ROOTS, "-purpose", "any"], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()
    profile = plistlib.loads(checked.stdout)
    assert (profile["PayloadType"], profile["PayloadVersion"]) == ("Configuration", 1)
    [mail] = profile["PayloadContent"]
    assert (mail["PayloadType"], mail["EmailAddress"]) == ("com.apple.mail.managed", ADDRESS)
    assert mail["OutgoingPasswordSameAsIncomingPassword"] is True
    for direction, kind in [("Incoming", "imap"), ("Outgoing", "smtp")]:
        get = lambda key: mail[f"{direction}MailServer{key}"]
        assert (get("UseSSL"), get("Authentication"), get("Username")) == (True, "EmailAuthPassword", ADDRESS)
        sign_in(kind, get("HostName"), get("PortNumber"), "SSL", get("Username"), mail["IncomingPassword"])
    return mail["IncomingMailServerHostName"]


tried = set()
by_thunderbird, by_outlook = thunderbird(), outlook()
for server in [*by_thunderbird, *by_outlook]:
    if server not in tried:
        tried.add(server)
        sign_in(*server, PASSWORD)
first = by_thunderbird[0][1]
assert {server for server in by_thunderbird if server[1] == first} == set(by_outlook), (by_thunderbird, by_outlook)
assert sorted({kind for kind, *_ in by_thunderbird}) == EXPECTED["kinds"], by_thunderbird
assert sorted({how for _, _, _, how, _ in by_thunderbird}) == EXPECTED["how"], by_thunderbird
assert sorted({host for _, host, *_ in by_thunderbird}) == EXPECTED["hosts"], by_thunderbird
print(len(tried), apple() if PROFILE != "-" else "-")
