"""What can go wrong with a call, as exceptions whose messages say what to do next.

::

    AirgateError
    ├── AirgateConfigurationError    the connection or the arguments of the call are wrong: nothing was sent
    ├── AirgateNetworkError          no whole answer: name, TLS, refused, time-out, cut off
    ├── AirgateAnswerTooLarge        the answer is larger than the call allows
    ├── AirgateRedirected            the app answered with a redirect; a token is never taken elsewhere
    ├── AirgateAppError              the app behind the gateway answered 4xx or 5xx by itself
    └── AirgateRefusal               the gateway refused (``problem`` holds its RFC 9457 document)
        ├── AirgateBadRequest            400, 404, 405, 413, ...: the request cannot be served as it is
        ├── AirgateUnauthenticated       401: the token was not accepted
        ├── AirgateDenied                403: no grant allows it
        ├── AirgateUnavailable           429, 500, 503: the gateway cannot serve it now
        └── AirgateUpstreamError         502, 504: the app behind the gateway did not answer
"""

from __future__ import annotations

import dataclasses
import json
from typing import ClassVar

PROBLEM_TYPE = "urn:airgate:problem:"
TEXT_MAX = 1000


class AirgateError(Exception):
    """Base of all errors of a call through the gateway."""

    #: Whether the same call may succeed later without anybody changing anything.
    retryable: ClassVar[bool] = False


class AirgateConfigurationError(AirgateError):
    """The connection or the arguments of the call are wrong. Nothing was sent."""


class AirgateNetworkError(AirgateError):
    """No whole answer came from the gateway."""

    retryable = True


class AirgateAnswerTooLarge(AirgateError):
    """The answer is larger than the call allows."""


class AirgateRedirected(AirgateError):
    """The app answered with a redirect, which is never followed."""


class AirgateAppError(AirgateError):
    """The app behind the gateway answered 4xx or 5xx by itself."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Problem:
    """The gateway's problem document (RFC 9457) with its extension members."""

    code: str
    title: str
    status: int
    detail: str
    help: str
    request_id: str | None = None
    entry: int | None = None
    route: str | None = None
    grant: str | None = None

    @classmethod
    def parse(cls, status: int, content_type: str, body: bytes, request_id: str | None) -> Problem | None:
        """The gateway's own document, or None for anything else (an app may answer with problem documents too)."""
        if content_type.partition(";")[0].strip().lower() != "application/problem+json":
            return None
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        kind = value.get("type")
        if not isinstance(kind, str) or not kind.startswith(PROBLEM_TYPE):
            return None
        named = _text(value.get("request_id")) or None
        # The gateway names every answer in a header that an app cannot set: a document that names another is not its.
        if request_id is not None and named is not None and named != request_id:
            return None
        return cls(
            code=_text(value.get("code")) or one_line(kind.removeprefix(PROBLEM_TYPE)),
            title=_text(value.get("title")),
            status=status,
            detail=_text(value.get("detail")),
            help=_text(value.get("help")),
            request_id=request_id or named,
            entry=index(value.get("entry")),
            route=_text(value.get("route")) or None,
            grant=_text(value.get("grant")) or None,
        )


class AirgateRefusal(AirgateError):
    """The gateway refused the call."""

    def __init__(self, method: str, path: str, problem: Problem) -> None:
        super().__init__(_refusal_message(method, path, problem))
        self.problem = problem

    @property
    def code(self) -> str:
        """The stable code of the refusal."""
        return self.problem.code

    @property
    def entry(self) -> int | None:
        """The index of the audit entry; None if there is none."""
        return self.problem.entry


class AirgateBadRequest(AirgateRefusal):
    """The request cannot be served as it is."""


class AirgateUnauthenticated(AirgateRefusal):
    """The token was not accepted."""


class AirgateDenied(AirgateRefusal):
    """No grant allows the request."""


class AirgateUnavailable(AirgateRefusal):
    """The gateway cannot serve the request now."""

    retryable = True


class AirgateUpstreamError(AirgateRefusal):
    """The app behind the gateway did not answer, or not wholly."""

    retryable = True


def refusal_class(status: int) -> type[AirgateRefusal]:
    """The class for a refusal's status."""
    if status == 401:
        return AirgateUnauthenticated
    if status == 403:
        return AirgateDenied
    if status in (502, 504):
        return AirgateUpstreamError
    if status == 429 or status >= 500:
        return AirgateUnavailable
    return AirgateBadRequest


def one_line(value: str, limit: int = TEXT_MAX) -> str:
    """Text of another party, made fit for a log: one line, no control characters, bounded."""
    clean = "".join(c if c.isprintable() else " " for c in value[: limit + 1]).strip()
    return clean if len(clean) <= limit else clean[:limit] + "…"


def index(value: object) -> int | None:
    """An entry's index: a number, never negative (``bool`` is an ``int`` in Python, but no index)."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def audit_command(entry: int | None) -> str:
    """The command that shows the entry of a call."""
    return f"airgate audit show {entry}" if entry is not None else "none: the gateway wrote no entry for this call"


def _text(value: object) -> str:
    return one_line(value) if isinstance(value, str) else ""


def _refusal_message(method: str, path: str, problem: Problem) -> str:
    place = "".join(f", {what} `{name}`" for what, name in (("route", problem.route), ("grant", problem.grant)) if name)
    record = audit_command(None) if problem.entry is None else f"entry {problem.entry} ({audit_command(problem.entry)})"
    lines = [
        f"the gateway refused `{method} {path}` ({problem.status} {problem.code}{place})",
        f"  why:     {problem.detail or problem.title or 'the gateway gave no reason'}",
        f"  record:  {record}",
        f"  change:  {problem.help or 'ask the gateway’s operator, naming the entry and the request'}",
        f"  request: {problem.request_id or 'not named'}",
    ]
    return "\n".join(lines)
