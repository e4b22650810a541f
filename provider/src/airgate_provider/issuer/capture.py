"""Who asks: the request for a connection that the API server is answering right now.

The middleware keeps the ASGI scope, not the token. Airflow's own route dependency verifies the task token (signature,
expiry, audience, scope ``execution``) before the connection is looked up, and leaves the *verified* token in the scope;
``verified_task_instance`` reads it there. So nothing here parses a credential, and a request that Airflow did not
authenticate has no identity at all.
"""

from __future__ import annotations

import contextvars
import logging
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/execution/connections/"
# airflow.api_fastapi.execution_api.security._REQUEST_SCOPE_TOKEN_KEY: a test of each Airflow release guards it.
VERIFIED_TOKEN = "ti_token"  # noqa: S105 (the name of a key, not a secret)

_asking: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("airgate_asking", default=None)
log = logging.getLogger("airgate.issuer")


class CaptureRequest:
    """ASGI middleware: remembers the scope of a request for a connection while it is answered."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http" or PATH not in scope["path"]:
            await self.app(scope, receive, send)
            return
        token = _asking.set(scope)
        try:
            await self.app(scope, receive, send)
        finally:
            _asking.reset(token)


class NobodyAsks(Exception):
    """No verified task instance is behind this look-up."""


def verified_task_instance() -> uuid.UUID:
    """The task instance whose verified token came with the request being answered."""
    scope = _asking.get()
    if scope is None:
        raise NobodyAsks(
            "no task asks: only a task that runs under a scheduler gets a token, not the UI, the command line, "
            "`airflow dags test` or a trigger (if a task did ask, the issuer's plugin is not loaded in this "
            "API server: `api-server --apps execution` loads no plugins)"
        )
    token = scope.get(VERIFIED_TOKEN)
    if token is None:
        raise NobodyAsks("the request carries no task token that Airflow has verified")
    claims = getattr(token, "claims", None)
    if getattr(claims, "scope", None) != "execution":
        raise NobodyAsks("the request carries a token that is not a running task's")
    identity = getattr(token, "id", None)
    if not isinstance(identity, uuid.UUID):
        raise NobodyAsks("the verified task token names no task instance: this Airflow release is not supported")
    return identity
