"""The gateway's HTTP client: one call, one token, one answer. Knows no Airflow.

The token goes to the gateway of the connection and nowhere else: no redirect is followed, no ``.netrc`` replaces it, an
endpoint cannot name another host, and plain HTTP is refused.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from airgate_provider import __version__
from airgate_provider.errors import (
    AirgateAnswerTooLarge,
    AirgateAppError,
    AirgateConfigurationError,
    AirgateError,
    AirgateNetworkError,
    AirgateRedirected,
    Problem,
    audit_command,
    index,
    one_line,
    refusal_class,
)

CHUNK_BYTES = 64 * 1024
ANSWER_BYTES_MAX = 256 * 1024 * 1024
SHOWN_BYTES_MAX = 4096
PROBLEM_BYTES_MAX = 64 * 1024
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")
METHOD = re.compile(r"[A-Z]{1,20}")
REDIRECTS = frozenset({301, 302, 303, 307, 308})
USER_AGENT = f"airflow-provider-airgate/{__version__}"


@dataclasses.dataclass(frozen=True)
class Gateway:
    """Where the gateway is and how it is reached. Times in seconds."""

    url: str
    ca_file: str | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    total_timeout_s: float = 600.0
    answer_bytes_max: int = ANSWER_BYTES_MAX
    danger_skip_tls_verification: bool = False

    def __post_init__(self) -> None:
        """Refuses an address to which a token must not be sent, and a bound that bounds nothing."""
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise AirgateConfigurationError(f"gateway address `{one_line(self.url)}`: {error}") from None
        if parts.scheme != "https":
            raise AirgateConfigurationError(
                f"gateway address `{one_line(self.url)}`: only https is used, a token is never sent in the clear"
            )
        if not parts.hostname or parts.username is not None or parts.query or parts.fragment or parts.path.strip("/"):
            raise AirgateConfigurationError(
                f"gateway address `{one_line(self.url)}`: give `https://host[:port]` and nothing more"
            )
        for name in ("connect_timeout_s", "read_timeout_s", "total_timeout_s", "answer_bytes_max"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise AirgateConfigurationError(f"`{name}` is {value}: it must be greater than 0")

    def url_of(self, endpoint: str) -> str:
        """The address of an endpoint. An endpoint is a path (and a query) and cannot lead to another host."""
        if "://" in endpoint.partition("?")[0] or endpoint.startswith("//"):
            raise AirgateConfigurationError(
                f"endpoint `{one_line(endpoint, 200)}`: give a path; the host is the connection's"
            )
        if any(not c.isprintable() or c in " \\#" for c in endpoint):
            raise AirgateConfigurationError(
                f"endpoint `{one_line(endpoint, 200)}`: encode spaces, backslashes, `#` and control characters"
            )
        return f"{self.url.rstrip('/')}/{endpoint.removeprefix('/')}"


@dataclasses.dataclass(frozen=True)
class Answer:
    """A whole answer. Reads like ``requests.Response`` where callers use it: ``status_code``, ``text``, ``json()``."""

    method: str
    path: str
    status_code: int
    headers: Mapping[str, str]
    content: bytes = dataclasses.field(repr=False)
    encoding: str
    elapsed_s: float

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def text(self) -> str:
        """The body as text; what is not in the encoding is replaced."""
        try:
            return self.content.decode(self.encoding, errors="replace")
        except LookupError:
            return self.content.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)

    @property
    def request_id(self) -> str | None:
        """The gateway's name of this request."""
        return one_line(self.headers.get("airgate-request-id", ""), 100) or None

    @property
    def entry(self) -> int | None:
        """The index of the audit entry; None if the gateway wrote none."""
        text = self.headers.get("airgate-entry", "")
        if text.isascii() and text.isdigit() and len(text) <= 20:
            return index(int(text))
        problem = self.problem
        return problem.entry if problem is not None else None

    @property
    def problem(self) -> Problem | None:
        """The gateway's refusal, if this is one."""
        if self.ok or len(self.content) > PROBLEM_BYTES_MAX:
            return None
        found = Problem.parse(self.status_code, self.headers.get("content-type", ""), self.content, self.request_id)
        if found is None or found.entry is not None:
            return found
        text = self.headers.get("airgate-entry", "")
        entry = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None
        return dataclasses.replace(found, entry=entry)

    @property
    def decision(self) -> str:
        """What the gateway decided, in one or two words."""
        problem = self.problem
        if problem is None:
            return "permitted"
        kind = {401: "unauthenticated", 403: "denied"}.get(self.status_code, "refused")
        return f"{kind} ({problem.code})"

    def shown(self) -> str:
        """The beginning of the body, fit for a log."""
        text = self.content[:SHOWN_BYTES_MAX].decode("utf-8", errors="replace")
        clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
        left = len(self.content) - SHOWN_BYTES_MAX
        return f"{clean} … ({left} more bytes)" if left > 0 else clean

    def describe(self) -> list[tuple[str, str]]:
        """The lines that are written to the task log for each call."""
        return [
            ("method", self.method),
            ("path", self.path),
            ("status", str(self.status_code)),
            ("decision", self.decision),
            ("entry", "none" if self.entry is None else str(self.entry)),
            ("request id", self.request_id or "none"),
            ("time", f"{self.elapsed_s * 1000:.0f} ms"),
            ("audit", audit_command(self.entry)),
        ]

    def error(self) -> AirgateError | None:
        """The exception for this answer; None for an answer that is to be used."""
        problem = self.problem
        if problem is not None:
            return refusal_class(self.status_code)(self.method, self.path, problem)
        named = f"`{self.method} {self.path}`"
        where = f"\n  record:  {audit_command(self.entry)}\n  request: {self.request_id or 'not named'}"
        if self.status_code in REDIRECTS:
            target = one_line(self.headers.get("location", ""), 200).partition("?")[0]
            return AirgateRedirected(
                f"the app answered {named} with {self.status_code} to `{target}`\n"
                f"  why:     a token is for one gateway: redirects are never followed\n"
                f"  change:  use the final path as the endpoint{where}"
            )
        if not self.ok:
            return AirgateAppError(
                f"the app behind the gateway answered {named} with {self.status_code}\n"
                f"  why:     the gateway let the request through; this is the app's own answer\n"
                f"  change:  look into the app's log for the request below{where}",
                self.status_code,
            )
        return None

    def raise_for_error(self) -> None:
        """Raises the exception for this answer, if there is one."""
        error = self.error()
        if error is not None:
            raise error


class _Bearer(AuthBase):
    """Sets the token last. Being an ``auth`` object, it also keeps ``.netrc`` from setting another credential."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class GatewayClient:
    """Calls with one token. Make a new client, with a new token, for each call: assertions live two minutes."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        # RFC 6750 §2.1: the characters of a bearer token. A line end here would start a header of its own.
        if not TOKEN.fullmatch(token):
            raise AirgateConfigurationError("the token is not a bearer token")
        self.gateway = gateway
        self._token = token

    def __repr__(self) -> str:
        return f"GatewayClient({self.gateway.url!r}, token=<secret>)"

    def request(
        self,
        method: str,
        endpoint: str,
        *,
        query: Mapping[str, Any] | None = None,
        data: Any = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends one request and reads the whole answer, whatever its status; raises if there is no whole answer."""
        method = method.upper()
        if not METHOD.fullmatch(method):
            raise AirgateConfigurationError(f"method `{one_line(method, 40)}` is not a method of HTTP")
        refused = sorted(name for name in headers or {} if name.lower() in ("authorization", "proxy-authorization"))
        if refused:
            raise AirgateConfigurationError(f"header `{refused[0]}`: the connection sets the credential, leave it out")
        url = self.gateway.url_of(endpoint)
        started = time.monotonic()
        with requests.Session() as session:
            session.headers["User-Agent"] = USER_AGENT
            try:
                prepared = session.prepare_request(
                    requests.Request(
                        method, url, params=query, data=data, json=json, headers=headers, auth=_Bearer(self._token)
                    )
                )
            except (requests.exceptions.RequestException, ValueError, TypeError) as error:
                raise AirgateConfigurationError(f"the request cannot be built: {one_line(str(error), 300)}") from None
            return self._exchange(session, prepared, started)

    def _exchange(self, session: requests.Session, prepared: requests.PreparedRequest, started: float) -> Answer:
        gateway = self.gateway
        method, path = prepared.method or "", one_line(prepared.path_url.partition("?")[0], 500)
        settings = session.merge_environment_settings(prepared.url, {}, True, self._verify(), None)
        timeout = (gateway.connect_timeout_s, gateway.read_timeout_s)
        try:
            response = session.send(prepared, timeout=timeout, allow_redirects=False, **settings)
            with response:
                content = self._read(response, method, path, started + gateway.total_timeout_s)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # `from None`: requests' own messages repeat the address with its query.
            raise network_error(error, method, path, gateway) from None
        return Answer(
            method=method,
            path=path,
            status_code=response.status_code,
            headers=response.headers,
            content=content,
            encoding=response.encoding or "utf-8",
            elapsed_s=time.monotonic() - started,
        )

    def _verify(self) -> bool | str:
        if self.gateway.danger_skip_tls_verification:
            return False
        return self.gateway.ca_file or True

    def _read(self, response: requests.Response, method: str, path: str, deadline: float) -> bytes:
        """Reads the body within the bounds of size (after decompression) and time."""
        parts: list[bytes] = []
        size = 0
        # `read1` returns what has come: `iter_content` would wait for a whole chunk, and a peer that sends a byte now
        # and then would never meet the deadline.
        while part := response.raw.read1(CHUNK_BYTES, decode_content=True):
            size += len(part)
            if size > self.gateway.answer_bytes_max:
                raise AirgateAnswerTooLarge(
                    f"the answer to `{method} {path}` is larger than {self.gateway.answer_bytes_max} bytes\n"
                    "  change:  ask for less, or raise `answer_bytes_max` of the connection"
                )
            if time.monotonic() > deadline:
                raise AirgateNetworkError(
                    f"the answer to `{method} {path}` took longer than {self.gateway.total_timeout_s:g} s\n"
                    "  change:  ask for less, or raise `total_timeout_s` of the connection"
                )
            parts.append(part)
        return b"".join(parts)


def probe(gateway: Gateway) -> str:
    """Reaches the gateway without a token, up to the end of the TLS handshake. Returns what was found out."""
    parts = urlsplit(gateway.url)
    host, port = parts.hostname or "", parts.port or 443
    context = ssl.create_default_context(cafile=gateway.ca_file)
    if gateway.danger_skip_tls_verification:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=gateway.connect_timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            return f"reached `{host}:{port}` with {secure.version()}, its certificate is accepted"
    except OSError as error:
        raise network_error(error, "CONNECT", "/", gateway) from None


def network_error(error: BaseException, method: str, path: str, gateway: Gateway) -> AirgateNetworkError:
    """Names the cause of a call without an answer, and the next step."""
    parts = urlsplit(gateway.url)
    place = f"`{parts.hostname}:{parts.port or 443}`"
    why, change = _cause(error, place, gateway)
    return AirgateNetworkError(f"no answer to `{method} {path}` from {place}\n  why:     {why}\n  change:  {change}")


def _cause(error: BaseException, place: str, gateway: Gateway) -> tuple[str, str]:
    sent = "the gateway may have received the request: its audit log says so, by time and task"
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"TLS: its certificate was not accepted: {one_line(cause.verify_message, 300)}",
                "set `ca_file` of the connection to the CA of the gateway, or give the name in the certificate as host",
            )
        if isinstance(cause, socket.gaierror):
            return "its name cannot be resolved", "check the host of the connection, and DNS where the task runs"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection was refused", "check the port of the connection and that the gateway runs"
    if any(
        isinstance(cause, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError) for cause in causes
    ):
        return f"silent for {gateway.read_timeout_s:g} s", f"{sent}; or raise `read_timeout_s` of the connection"
    for cause in causes:
        if isinstance(cause, TimeoutError | requests.exceptions.ConnectTimeout):
            return (
                f"no connection within {gateway.connect_timeout_s:g} s",
                "check the route and the firewalls between the worker and the gateway",
            )
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {one_line(str(cause.reason or cause), 300)}", f"check that {place} speaks TLS 1.2 or 1.3"
    if isinstance(error, requests.exceptions.ConnectionError | urllib3.exceptions.ProtocolError):
        return "the connection ended before the answer was whole", sent
    return one_line(type(error).__name__, 100), sent


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps, each once: urllib3 keeps causes in ``reason`` and in the arguments."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < 32:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        wrapped = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        waiting.extend(inner for inner in wrapped if isinstance(inner, BaseException))
