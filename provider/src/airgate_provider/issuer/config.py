"""The issuer's configuration, checked as a whole before anything is issued."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airgate_provider.assertion import LIFETIME_MAX_S, LIFETIME_S, IssuerError, Terms
from airgate_provider.errors import one_line

KEY_FILE_VARIABLE = "AIRGATE_ISSUER_KEY_FILE"
TYPES = ("airgate", "http")
KNOWN = frozenset({"issuer", "audience", "key_file", "lifetime_s", "connections"})
CONNECTION_KNOWN = frozenset({"url", "type", "ca_file"})


@dataclasses.dataclass(frozen=True)
class Target:
    """A connection the issuer makes: where the gateway is, and for which kind of hook."""

    conn_id: str
    host: str
    port: int
    type: str
    ca_file: str | None = None


@dataclasses.dataclass(frozen=True)
class IssuerConfig:
    """The checked ``backend_kwargs``."""

    terms: Terms
    key_file: str
    targets: Mapping[str, Target]

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> IssuerConfig:
        """Checks all of it and names every fault at once."""
        faults: list[str] = [f"`{one_line(str(name), 60)}` is not known" for name in sorted(set(given) - KNOWN)]
        issuer = _https(given.get("issuer"), "issuer", faults)
        audience = given.get("audience")
        if not isinstance(audience, str) or not audience:
            faults.append("`audience` is missing: the gateway's own name, as in its configuration")
            audience = ""
        key_file = given.get("key_file") or os.environ.get(KEY_FILE_VARIABLE)
        if not isinstance(key_file, str) or not key_file:
            faults.append(f"`key_file` is missing: the path of an Ed25519 key in PEM (or set {KEY_FILE_VARIABLE})")
            key_file = ""
        lifetime = given.get("lifetime_s", LIFETIME_S)
        if not isinstance(lifetime, int) or isinstance(lifetime, bool) or not 10 <= lifetime <= LIFETIME_MAX_S:
            faults.append(f"`lifetime_s` must be a whole number from 10 to {LIFETIME_MAX_S}")
            lifetime = LIFETIME_S
        table = given.get("connections")
        if not isinstance(table, Mapping) or not table:
            faults.append('`connections` is missing: {"<conn_id>": {"url": "https://...", "type": "airgate"}}')
            table = {}
        targets = {str(name): _target(str(name), value, faults) for name, value in table.items()}
        if faults:
            lines = "".join(f"\n  - {fault}" for fault in faults)
            raise IssuerError(f"[secrets] backend_kwargs of the airgate issuer:{lines}")
        return cls(Terms(issuer, audience, lifetime), key_file, targets)


def _https(value: object, name: str, faults: list[str]) -> str:
    if not isinstance(value, str) or urlsplit(value).scheme != "https" or not urlsplit(value).hostname:
        faults.append(f"`{name}` must be an https address")
        return ""
    return value


def _target(conn_id: str, value: object, faults: list[str]) -> Target:
    place = f"connections.{one_line(conn_id, 100)}"
    nothing = Target(conn_id, "", 0, "")
    if not isinstance(value, Mapping):
        faults.append(f'`{place}` must be a table: {{"url": "https://...", "type": "airgate"}}')
        return nothing
    faults.extend(f"`{place}.{one_line(str(name), 60)}` is not known" for name in sorted(set(value) - CONNECTION_KNOWN))
    kind = value.get("type", "airgate")
    if kind not in TYPES:
        faults.append(f"`{place}.type` must be one of {', '.join(TYPES)}")
        return nothing
    ca_file = value.get("ca_file")
    if ca_file is not None and (not isinstance(ca_file, str) or not ca_file):
        faults.append(f"`{place}.ca_file` must be a path")
        return nothing
    try:
        url = value.get("url")
        parts = urlsplit(url if isinstance(url, str) else "")
        port = parts.port or 443
    except ValueError:
        faults.append(f"`{place}.url` must be `https://host[:port]`")
        return nothing
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None
    if parts.scheme != "https" or not parts.hostname or extra:
        faults.append(f"`{place}.url` must be `https://host[:port]` and nothing more")
        return nothing
    return Target(conn_id, parts.hostname, port, str(kind), ca_file)
