"""The Airflow plugin: the middleware, and the pages under ``/airgate`` with the issuer's public keys.

Every Airflow process loads plugins; only in an API server with the issuer's secrets backend are there keys to serve.
"""

from __future__ import annotations

import logging

from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from airgate_provider.assertion import ALGORITHM, IssuerError
from airgate_provider.issuer.backend import configured_backend
from airgate_provider.issuer.capture import CaptureRequest
from airgate_provider.issuer.version import require_airflow_with_middlewares

require_airflow_with_middlewares()

log = logging.getLogger("airgate.issuer")
CACHE = {"Cache-Control": "public, max-age=60"}

app = FastAPI(title="Airgate issuer", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/jwks.json")
def jwks() -> JSONResponse:
    """The public keys (RFC 7517). A verifier fetches them; nothing here is secret."""
    backend = configured_backend()
    if backend is None:
        return _unavailable("the issuer's secrets backend is not configured in this API server")
    try:
        return JSONResponse({"keys": [backend.key.public_jwk]}, headers=CACHE)
    except IssuerError as error:
        return _unavailable(str(error))


@app.get("/.well-known/openid-configuration")
def discovery() -> JSONResponse:
    """Where the keys are, for verifiers that start from the issuer's name (OpenID Connect Discovery 1.0 §4)."""
    backend = configured_backend()
    if backend is None:
        return _unavailable("the issuer's secrets backend is not configured in this API server")
    issuer = backend.config.terms.issuer
    return JSONResponse(
        {
            "issuer": issuer,
            "jwks_uri": f"{issuer.rstrip('/')}/jwks.json",
            "id_token_signing_alg_values_supported": [ALGORITHM],
        },
        headers=CACHE,
    )


def _unavailable(why: str) -> JSONResponse:
    # The cause goes to the log alone: it may name a path.
    log.error("airgate: no keys are served: %s", why)
    return JSONResponse({"error": "issuer_unavailable", "message": "see the API server's log"}, status_code=503)


class AirgateIssuerPlugin(AirflowPlugin):
    """Adds the issuer to the API server."""

    name = "airgate-issuer"
    fastapi_apps = [{"app": app, "url_prefix": "/airgate", "name": "Airgate issuer"}]
    fastapi_root_middlewares = [{"middleware": CaptureRequest, "args": [], "kwargs": {}, "name": "Airgate issuer"}]
