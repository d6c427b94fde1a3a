"""Reads an archive knowing docs/archive-format.md only: everything is checked, and what the chunks of the newest
snapshot hold is compared with what the log leads to.

    reader.py ARCHIVE-FOLDER IDENTITY-FILE
"""

import json
import struct
import sys
from pathlib import Path

import blake3
import crc32c
import pyrage
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

archive, identity_file = Path(sys.argv[1]), Path(sys.argv[2])
secret = next(line for line in identity_file.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-"))
identity = pyrage.x25519.Identity.from_str(secret)


def unpacked(data):
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def unsealed(data):
    return unpacked(pyrage.decrypt(data, [identity]))


def named(path):
    """An object's bytes, checked against its name."""
    data = path.read_bytes()
    stated = path.stem.rsplit("-", 1)[-1]
    assert blake3.blake3(data).hexdigest()[:32] == stated, path
    return data


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """The fields of a protobuf record, in order: (number, integer or bytes)."""
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        else:
            assert key & 7 == 0, "only integers and bytes stand in an archive's records"
        found.append((key >> 3, value))
    return found


def one(record, number, default=None):
    return next((value for found, value in record if found == number), default)


def numbers(record, number):
    """A repeated integer, packed or not."""
    for found, value in record:
        if found == number:
            at = 0
            while not isinstance(value, int) and at < len(value):
                each, at = varint(value, at)
                yield each
            if isinstance(value, int):
                yield value


SEAL_KEY = blake3.blake3(b"", derive_key_context="holdfast store 2026 seal of realm, key and value").digest()


def seal(realm, key, value):
    data = struct.pack("<QQ", realm, len(key)) + key + value
    return int.from_bytes(blake3.blake3(data, key=SEAL_KEY).digest(16), "little")


def digest(total):
    return (total % (1 << 128)).to_bytes(16, "little")


def commits_of(path, chain):
    """The commits of a run that follows `chain`, and the chain after it."""
    first, last, stated, _ = path.stem.split("-")
    stored = named(path)
    assert stored[:8] == b"HFRUN\0\0\x01"
    said = f"holdfast archive run {line['line']} {int(first)} {int(last)} {stated}\n".encode()
    line_key.verify(stored[8:72], said + blake3.blake3(stored[72:]).digest())
    segment = unsealed(stored[72:])
    assert segment[:8] == b"HFLOG\0\0\x01" and segment[16:48] == chain
    assert struct.unpack("<Q", segment[8:16])[0] == int(first)
    assert struct.unpack("<I", segment[48:52])[0] == crc32c.crc32c(segment[:48])
    at, commits = 52, []
    while True:
        length, crc = struct.unpack("<II", segment[at : at + 8])
        if length == 0xFFFFFFFF:
            break
        assert crc32c.crc32c(segment[at + 8 : at + 40 + length]) == crc
        payload = segment[at + 40 : at + 40 + length]
        chain = blake3.blake3(chain + payload).digest()
        assert chain == segment[at + 8 : at + 40]
        commits.append(fields(payload))
        at += 40 + length
    footer = segment[at + 8 :]
    assert crc32c.crc32c(footer) == crc and footer[:32] == chain and chain.hex() == stated
    assert struct.unpack("<Q", footer[32:40])[0] == int(last) == one(commits[-1], 1)
    return commits, chain


assert json.loads((archive / "archive.json").read_text())["format"] == 2
(line_file,) = (archive / "lines").iterdir()
line = json.loads(line_file.read_text())
assert line["parent"] is None
line_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(line["public_key"]))

manifest_file = max((archive / "snapshots" / line["line"]).glob("*.manifest"))
stored = named(manifest_file)
assert stored[:8] == b"HFMANI\0\x01" and manifest_file.with_suffix(".good").exists()
line_key.verify(stored[8:72], stored[72:])
manifest = fields(unpacked(stored[72:]))
snapshot_seq = one(manifest, 2)
objects = [fields(value) for number, value in manifest if number == 8]

chain, realms, commits = bytes(32), {}, 0
for run in sorted((archive / "log" / line["line"]).iterdir()):
    found, chain = commits_of(run, chain)
    for commit in found:
        if one(commit, 1) > snapshot_seq:
            break
        commits += 1
        for part in (fields(value) for number, value in commit if number == 5):
            realm = one(part, 1)
            total, records = realms.get(realm, (0, {}))
            for op in (fields(value) for number, value in part if number == 4):
                key = one(op, 1, b"")
                if key in records:
                    total -= seal(realm, key, records.pop(key))
                if one(op, 2) is not None:
                    records[key] = one(op, 2)
                    total += seal(realm, key, records[key])
            assert digest(total) == one(part, 3), f"realm {realm} after commit {one(commit, 1)}"
            realms[realm] = (total, records)

needed, referred = set(), set()
for part in (fields(value) for number, value in manifest if number == 7):
    realm, records = one(part, 1), {}
    for place in numbers(part, 6):
        chunk = fields(unsealed(named(archive / one(objects[place], 1).decode())))
        assert one(chunk, 1) == realm
        for record in (fields(value) for number, value in chunk if number == 2):
            records[one(record, 1, b"")] = one(record, 2, b"")
    assert digest(sum(seal(realm, key, value) for key, value in records.items())) == one(part, 3)
    assert records == realms[realm][1], f"realm {realm}: the snapshot is not what the log leads to"
    referred |= {key[1:33] for key in records if key[:1] == b"\xff"}
    needed |= {one(objects[place], 1).decode() for place in numbers(part, 7)}

bodies = set()
for name in needed:
    pack = named(archive / name)
    (index_file,) = (archive / "bodies").glob(Path(name).stem + "-*.index")
    for entry in (fields(value) for number, value in fields(unsealed(named(index_file))) if number == 1):
        start = one(entry, 2, 0)
        body = unsealed(pack[start : start + one(entry, 3)])
        assert blake3.blake3(body).digest() == one(entry, 1) and len(body) == one(entry, 4, 0)
        bodies.add(one(entry, 1))
assert referred <= bodies

print(f"{commits} commits, {len(realms)} realms, {sum(len(r) for _, r in realms.values())} records, {len(referred)} bodies")
