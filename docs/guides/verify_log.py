"""Verifies an Airgate log with its files and its public key, and with no code of Airgate's.

python3 verify_log.py FOLDER VERIFIER_KEY_FILE     exit code 0: the entries are those that the checkpoint was signed for

Needs the package `cryptography` for Ed25519. The formats: https://c2sp.org/tlog-tiles, https://c2sp.org/signed-note,
https://c2sp.org/tlog-checkpoint, RFC 6962 section 2.1.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def leaf(entry: bytes) -> bytes:
    """RFC 6962, section 2.1: the hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def root(hashes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1: the root over hashes of one level."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(hashes[:split]) + root(hashes[split:])).digest()


def signed_head(note: str, verifier_key: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint, once its signature is checked."""
    name, key_id, encoded = verifier_key.strip().split("+", 2)
    kind_and_key = base64.b64decode(encoded, validate=True)
    named = hashlib.sha256(name.encode() + b"\n" + kind_and_key).hexdigest()[:8]
    if kind_and_key[:1] != b"\x01" or key_id != named:
        raise ValueError("the verifier key is malformed")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        mark, signer, value = line.split(" ")
        signature = base64.b64decode(value, validate=True)
        if mark == "\u2014" and signer == name and signature[:4].hex() == key_id:
            Ed25519PublicKey.from_public_bytes(kind_and_key[1:]).verify(signature[4:], text.encode())
            origin, size, encoded_root = text.split("\n")[:3]
            if origin != name:
                raise ValueError(f"the checkpoint is of the log {origin!r}")
            return int(size), base64.b64decode(encoded_root, validate=True)
    raise ValueError("the checkpoint is not signed by this key")


def read(folder: Path, kind: str, index: int, width: int) -> bytes:
    """A tile or bundle: the partial file of this width, or the full one that has taken its place."""
    groups = f"{index:03d}"
    groups = groups.zfill(-(-len(groups) // 3) * 3)
    parts = [groups[at : at + 3] for at in range(0, len(groups), 3)]
    full = folder.joinpath("tile", kind, *(f"x{part}" for part in parts[:-1]), parts[-1])
    partial = full.with_name(f"{full.name}.p") / str(width)
    return (partial if width < 256 and partial.exists() else full).read_bytes()


def bundle(content: bytes, width: int) -> list[bytes]:
    """The entries of a bundle."""
    entries: list[bytes] = []
    while len(entries) < width:
        length = int.from_bytes(content[:2], "big")
        if len(content) < 2 + length:
            raise ValueError("a bundle is too short")
        entries.append(content[2 : 2 + length])
        content = content[2 + length :]
    return entries


def verify(folder: Path, verifier_key: str) -> int:
    """The number of entries; raises where anything is wrong."""
    size, signed_root = signed_head((folder / "checkpoint").read_text(encoding="utf-8"), verifier_key)
    level: list[bytes] = []
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        entries = bundle(read(folder, "entries", index, width), width)
        for entry in entries:
            json.loads(entry)
        level += [leaf(entry) for entry in entries]
    everything, number = root(level), 0
    while level:
        for index in range(-(-len(level) // 256)):
            hashes = level[256 * index : 256 * index + 256]
            if read(folder, str(number), index, len(hashes))[: 32 * len(hashes)] != b"".join(hashes):
                raise ValueError(f"tile {index} of level {number} does not follow from the entries")
        level = [root(level[at : at + 256]) for at in range(0, len(level) - 255, 256)]
        number += 1
    if everything != signed_root:
        raise ValueError("the entries lead to another root than the signed one")
    return size


if __name__ == "__main__":
    try:
        count = verify(Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8"))
    except (ValueError, OSError, InvalidSignature) as error:
        sys.exit(f"NOT verified: {type(error).__name__}: {error}")
    print(f"verified: {count} entries")
