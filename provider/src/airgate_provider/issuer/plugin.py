"""The Airflow plugin: the middleware, and the pages under ``/airgate`` with the issuer's public keys.

Every Airflow process loads plugins, so nothing heavy is imported here; only in an API server with the issuer's secrets
backend are there keys to serve.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airgate_provider.assertion import ALGORITHM, IssuerError
from airgate_provider.issuer.capture import CaptureRequest, Receive, Scope, Send
from airgate_provider.issuer.version import require_airflow_with_middlewares

require_airflow_with_middlewares()

log = logging.getLogger("airgate.issuer")
PREFIX = "/airgate"
KEYS = "/jwks.json"
DISCOVERY = "/.well-known/openid-configuration"


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application: the public keys (RFC 7517) and where they are. Nothing here is secret."""
    from starlette.responses import JSONResponse

    if scope["type"] != "http":
        return
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if path not in (KEYS, DISCOVERY):
        status, body = 404, {"error": "not_found"}
    elif scope["method"] not in ("GET", "HEAD"):
        status, body = 405, {"error": "method_not_allowed"}
    else:
        status, body = page(path)
    cache = "public, max-age=60" if status == 200 else "no-store"
    await JSONResponse(body, status_code=status, headers={"Cache-Control": cache})(scope, receive, send)


def page(path: str) -> tuple[int, dict[str, Any]]:
    """Status and body of one of the pages."""
    from airgate_provider.issuer.backend import configured_backend

    backend = configured_backend()
    if backend is None:
        return _unavailable("the issuer's secrets backend is not configured in this API server")
    if path == DISCOVERY:  # OpenID Connect Discovery 1.0 §4
        issuer = backend.config.terms.issuer
        keys = f"{issuer.rstrip('/')}{KEYS}"
        return 200, {"issuer": issuer, "jwks_uri": keys, "id_token_signing_alg_values_supported": [ALGORITHM]}
    try:
        return 200, {"keys": [backend.key.public_jwk]}
    except IssuerError as error:
        return _unavailable(str(error))


def _unavailable(why: str) -> tuple[int, dict[str, Any]]:
    # The cause goes to the log alone: it may name a path.
    log.error("airgate: no keys are served: %s", why)
    return 503, {"error": "issuer_unavailable", "message": "see the API server's log"}


class AirgateIssuerPlugin(AirflowPlugin):
    """Adds the issuer to the API server."""

    name = "airgate-issuer"
    fastapi_apps = [{"app": pages, "url_prefix": PREFIX, "name": "Airgate issuer"}]
    fastapi_root_middlewares = [
        {"middleware": CaptureRequest, "args": [], "kwargs": {}, "name": "Airgate issuer"},
    ]
