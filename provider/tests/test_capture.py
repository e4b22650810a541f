from __future__ import annotations

import asyncio
import types
import uuid
from collections.abc import MutableMapping
from typing import Any

import pytest

from airgate_provider.issuer.capture import CaptureRequest, NobodyAsks, verified_task_instance

TASK = uuid.uuid4()


def verified(scope: str = "execution", identity: object = TASK) -> Any:
    return types.SimpleNamespace(id=identity, claims=types.SimpleNamespace(scope=scope))


def asked(path: str, token: Any, kind: str = "http") -> uuid.UUID:
    """What the backend finds out while a request is answered, on a worker thread as Airflow does it."""
    found: list[uuid.UUID | NobodyAsks] = []

    def look() -> None:
        try:
            found.append(verified_task_instance())
        except NobodyAsks as error:
            found.append(error)

    async def route(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if token is not None:
            scope["ti_token"] = token  # as Airflow's dependency leaves it
        await asyncio.to_thread(look)

    async def nothing(*_: Any) -> Any:
        return {}

    asyncio.run(CaptureRequest(route)({"type": kind, "path": path}, nothing, nothing))
    (result,) = found
    if isinstance(result, NobodyAsks):
        raise result
    return result


@pytest.mark.parametrize("path", ["/execution/connections/x", "/prefix/execution/connections/a%2Fb"])
def test_finds_the_verified_task(path: str) -> None:
    assert asked(path, verified()) == TASK


@pytest.mark.parametrize(
    ("path", "token", "kind"),
    [
        ("/execution/connections/x", None, "http"),
        ("/execution/connections/x", verified(scope="workload"), "http"),
        ("/execution/connections/x", verified(identity=str(TASK)), "http"),
        ("/execution/connections/x", "eyJ0eXAi.raw.token", "http"),
        ("/execution/connections/x", verified(), "websocket"),
        ("/execution/variables/x", verified(), "http"),
        ("/api/v2/connections/x", verified(), "http"),
    ],
)
def test_finds_nobody_else(path: str, token: Any, kind: str) -> None:
    with pytest.raises(NobodyAsks):
        asked(path, token, kind)


def test_finds_nobody_outside_a_request() -> None:
    with pytest.raises(NobodyAsks, match="no task asks"):
        verified_task_instance()


def test_requests_at_the_same_time_do_not_mix() -> None:
    seen: dict[uuid.UUID, uuid.UUID] = {}

    async def route(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        scope["ti_token"] = verified(identity=scope["who"])
        await asyncio.sleep(0)
        seen[scope["who"]] = await asyncio.to_thread(verified_task_instance)

    async def nothing(*_: Any) -> Any:
        return {}

    async def all_at_once() -> None:
        app = CaptureRequest(route)
        path = "/execution/connections/x"
        await asyncio.gather(
            *(app({"type": "http", "path": path, "who": uuid.uuid4()}, nothing, nothing) for _ in range(50))
        )

    asyncio.run(all_at_once())
    assert len(seen) == 50
    assert all(who == found for who, found in seen.items())
