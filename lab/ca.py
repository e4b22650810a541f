"""A certificate authority of the lab's own: EC P-256 keys, one CA, leaves with a list of names."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from common import run, write_atomically

DAYS = 30


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A certificate (with the CA's behind it) and its key, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """The CA in a folder: `ca.pem` and `ca.key`, made when absent; leaves beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"

    def ensure(self) -> None:
        """Makes the CA unless it is there."""
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        if self.certificate.exists() and self._key.exists():
            return
        _make_key(self._key)
        extensions = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        subject = ["-subj", "/O=Airgate lab/CN=Airgate lab CA"]
        files = ["-key", str(self._key), "-out", str(self.certificate)]
        run(["openssl", "req", "-x509", "-new", "-sha256", "-days", str(DAYS), *subject, *extensions, *files])

    def issue(self, name: str, names: Sequence[str]) -> Leaf:
        """A server certificate `<name>.pem` with key `<name>.key` (0600) for host names and addresses."""
        self.ensure()
        leaf = Leaf(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extensions = self.folder / f".{name}.csr", self.folder / f".{name}.ext"
        _make_key(leaf.key)
        run(["openssl", "req", "-new", "-key", str(leaf.key), "-subj", f"/CN={names[0]}", "-out", str(request)])
        extensions.write_text(
            "basicConstraints = critical, CA:FALSE\n"
            "keyUsage = critical, digitalSignature\n"
            "extendedKeyUsage = serverAuth, clientAuth\n"
            f"subjectAltName = {', '.join(_alternative(n) for n in names)}\n"
        )
        authority = ["-CA", str(self.certificate), "-CAkey", str(self._key)]
        signed = ["-in", str(request), "-extfile", str(extensions), "-out", str(leaf.certificate)]
        run(["openssl", "x509", "-req", "-sha256", "-days", str(DAYS), *authority, *signed])
        write_atomically(leaf.certificate, leaf.certificate.read_text() + self.certificate.read_text())
        request.unlink()
        extensions.unlink()
        return leaf


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _make_key(path: Path) -> None:
    """Creates the file with its mode first: the key is never readable to others, not even for a moment."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path)])
    path.chmod(0o600)
