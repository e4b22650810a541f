"""Job assertions: the issuer's key, the claims, the signature. Knows no Airflow.

An assertion says "this task instance runs now", for one audience, for two minutes. It is a JWT (RFC 7519) signed with
EdDSA (RFC 8037), with a type of its own so that it cannot be taken for any other token (RFC 8725 §3.11).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import stat
import uuid
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

TYPE = "airgate-job+jwt"
ALGORITHM = "EdDSA"
LIFETIME_S = 120
LIFETIME_MAX_S = 600
KEY_FILE_BYTES_MAX = 16 * 1024


class IssuerError(Exception):
    """The issuer cannot issue: its configuration or its key is wrong. Never holds a secret."""


@dataclasses.dataclass(frozen=True)
class Job:
    """The task instance an assertion is about. None is for what Airflow does not know; it is left out."""

    ti_id: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    hostname: str | None = None
    pid: int | None = None
    run_type: str | None = None
    triggering_user: str | None = None
    dag_version: str | None = None

    @property
    def subject(self) -> str:
        """The stable name of the task, the same in every run."""
        return f"airflow:dag:{self.dag_id}:task:{self.task_id}"


class SigningKey:
    """The issuer's Ed25519 key. Its name (``kid``) is its thumbprint, so that two keys never share one."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        # RFC 7638 §3.2 with RFC 8037 §2: the required members, in lexicographic order, without white space.
        required = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
        canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
        self.kid = _base64url(hashlib.sha256(canonical.encode()).digest())
        self.public_jwk = {**required, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r})"

    @classmethod
    def from_file(cls, path: str) -> SigningKey:
        """Reads a PEM file that only this user can read. The checks are on the open file, so it cannot be swapped."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise IssuerError(f"issuer key `{path}`: {error.strerror}") from None
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise IssuerError(f"issuer key `{path}`: not a file")
            if facts.st_mode & 0o077:
                mode = stat.S_IMODE(facts.st_mode)
                raise IssuerError(f"issuer key `{path}`: mode {mode:04o} lets others read it: run `chmod 600 {path}`")
            if facts.st_uid not in (0, os.geteuid()):
                raise IssuerError(f"issuer key `{path}`: it belongs to uid {facts.st_uid}, who could replace it")
            pem = os.read(descriptor, KEY_FILE_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
        if len(pem) > KEY_FILE_BYTES_MAX:
            raise IssuerError(f"issuer key `{path}`: larger than {KEY_FILE_BYTES_MAX} bytes")
        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):  # the message of the library may repeat what it read
            raise IssuerError(f"issuer key `{path}`: not an unencrypted private key in PEM (PKCS #8)") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise IssuerError(
                f"issuer key `{path}`: not an Ed25519 key: make one with `openssl genpkey -algorithm ED25519`"
            )
        return cls(private)

    def sign(self, claims: dict[str, Any]) -> str:
        """The claims as a signed JWT."""
        return jwt.encode(claims, self._private, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": self.kid})


@dataclasses.dataclass(frozen=True)
class Terms:
    """What all assertions of an issuer have in common."""

    issuer: str
    audience: str
    lifetime_s: int = LIFETIME_S

    def claims(self, job: Job, conn_id: str, now: int) -> dict[str, Any]:
        """The claims for a job at a time (seconds since 1970)."""
        about = {name: value for name, value in dataclasses.asdict(job).items() if value is not None}
        return {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": job.subject,
            "jti": uuid.uuid4().hex,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime_s,
            **about,
            "conn_id": conn_id,
        }


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
