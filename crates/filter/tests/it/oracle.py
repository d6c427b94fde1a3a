"""dkimpy as the other side: signs what it is given in all forms, and checks what it is given.

Lines in: `record NAME TEXT`, `rsa BASE64-OF-PKCS1`, `ed25519 BASE64-OF-SEED`, `message HEX`, `check HEX`, `arc HEX`.
Lines out: `signed WHAT HEX` for each form of each message, `sealed WHAT HEX`, `checked RESULT…`, `arc CV`.
"""
import base64, logging, sys, textwrap
import dkim

logging.disable(logging.CRITICAL)
records, keys, messages = {}, {}, []
resolver = lambda name, **_: records.get(name.rstrip(b".") if isinstance(name, bytes) else name.rstrip(".").encode())

for line in sys.stdin.buffer.read().splitlines():
    kind, rest = line.split(b" ", 1)
    if kind == b"record":
        name, text = rest.split(b" ", 1)
        records[name] = text
    elif kind == b"rsa":
        body = "\n".join(textwrap.wrap(rest.decode(), 64))
        keys["rsa"] = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n".encode()
    elif kind == b"ed25519":
        keys["ed25519"] = rest
    elif kind == b"message":
        messages.append(bytes.fromhex(rest.decode()))
    elif kind == b"check":
        message = bytes.fromhex(rest.decode())
        count = message.split(b"\r\n\r\n", 1)[0].lower().count(b"dkim-signature:")
        results = []
        for at in range(count):
            try:
                results.append("pass" if dkim.DKIM(message).verify(at, dnsfunc=resolver) else "fail")
            except dkim.DKIMException as error:
                results.append("error:" + str(error).replace(" ", "-"))
        print("checked", *results)
    elif kind == b"arc":
        cv, _, reason = dkim.ARC(bytes.fromhex(rest.decode())).verify(dnsfunc=resolver)
        print("arc", cv.decode(), str(reason).replace(" ", "-"))

for number, message in enumerate(messages):
    for name, key in keys.items():
        for head in (b"relaxed", b"simple"):
            for body in (b"relaxed", b"simple"):
                for length in (False, True):
                    field = dkim.DKIM(message, signature_algorithm=f"{name}-sha256".encode()).sign(
                        name.encode(), b"other.test", key, canonicalize=(head, body), length=length)
                    print("signed", f"{number}/{name}/{head.decode()}/{body.decode()}/{length}", (field + message).hex())
    twice = message
    for name, key in keys.items():
        twice = dkim.DKIM(twice, signature_algorithm=f"{name}-sha256".encode()).sign(name.encode(), b"other.test", key) + twice
    print("signed", f"{number}/twice", twice.hex())
    found = b"Authentication-Results: other.test; spf=pass smtp.mailfrom=a@good.test\r\n" + message
    print("sealed", number, (b"".join(dkim.arc_sign(found, b"rsa", b"other.test", keys["rsa"], b"other.test")) + found).hex())
