"""Inside a real Airflow: its API server's application, its operators, its database (SQLite in a temporary home).

`test_*_canary` guards what the issuer leans on in Airflow's inside; run it with each Airflow release.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.conftest import write_key
from tests.gateway import Server, serving

if importlib.util.find_spec("airflow") is None:
    pytest.skip("Airflow is not installed: its tests are skipped", allow_module_level=True)

pytestmark = [
    pytest.mark.airflow,
    # Airflow and what it imports warn about themselves.
    pytest.mark.filterwarnings("default"),
]
TOKEN = "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl"
ISSUER = "https://airflow.example/airgate"
AUDIENCE = "https://gw.example"
DAGS = Path(__file__).parent / "dags"


@pytest.fixture(scope="module")
def server_for_all(tls: tuple[Path, Path]) -> Iterator[Server]:
    with serving(*tls) as running:
        yield running


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, tls: tuple[Path, Path], server_for_all: Server) -> Path:
    """Airflow's environment, set before its first import, and a migrated database. Returns the issuer's key."""
    assert "airflow" not in sys.modules, "Airflow was imported before its environment was set"
    home = tmp_path_factory.mktemp("airflow")
    key = write_key(home / "issuer.pem")
    port = server_for_all.server_address[1]
    backend = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "key_file": str(key),
        "connections": {
            "orders": {"url": "https://orders.gw.example:9443", "type": "airgate", "ca_file": "/ca.pem"},
            "orders_http": {"url": "https://orders.gw.example:9443", "type": "http"},
        },
    }
    bench = {
        "conn_type": "airgate",
        "schema": "https",
        "host": "127.0.0.1",
        "port": port,
        "password": TOKEN,
        "extra": {"ca_file": str(tls[0])},
    }
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "for these tests only: " + "x" * 64,
        "AIRFLOW_CONN_BENCH": json.dumps(bench),
        "AIRFLOW_CONN_BENCH_HTTP": json.dumps(
            {**bench, "conn_type": "http", "extra": {"Authorization": f"Bearer {TOKEN}", "verify": str(tls[0])}}
        ),
        "AIRFLOW_CONN_STORED": json.dumps({**bench, "password": ""}),
        "AIRFLOW__SECRETS__BACKEND": "airgate_provider.issuer.backend.AirgateSecretsBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(backend),
    }
    os.environ.update(settings)  # for the whole process: Airflow reads it once, at import
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=300)
    return key


@pytest.fixture
def run_task(airflow: Path) -> Callable[..., Any]:
    """Runs a DAG of tests/dags by `dag.test()`; returns its only task instance."""

    def run(dag_id: str) -> Any:
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(dag_folder=DAGS)
        assert not bag.import_errors, bag.import_errors
        (instance,) = bag.dags[dag_id].test().get_task_instances()
        return instance

    return run


@pytest.fixture(scope="module")
def api(airflow: Path) -> Iterator[Any]:
    """The API server's whole application, plugins and all."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(apps="all"), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def task(run_task: Callable[..., Any]) -> Any:
    """A task instance in the database, put into the state `running`."""
    done = run_task("empty")
    set_state(done.id, "running")
    return done


def set_state(ti_id: uuid.UUID | str, state: str) -> None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(TaskInstance).where(TaskInstance.id == ti_id).values(state=state, pid=4711))


def task_token(ti_id: uuid.UUID | str, **extra: Any) -> str:
    """A task token as Airflow's scheduler makes it."""
    from airflow.api_fastapi.execution_api.app import _jwt_generator

    make: Any = _jwt_generator
    return str(make().generate({"sub": str(ti_id), **extra}))


def ask(api: Any, conn_id: str, token: str | None) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return api.get(f"/execution/connections/{conn_id}", headers=headers)


def verified(api: Any, assertion: str) -> dict[str, Any]:
    """The claims, checked as a stranger checks them: with the served keys alone."""
    keys = {key["kid"]: key for key in api.get("/airgate/jwks.json").json()["keys"]}
    header = jwt.get_unverified_header(assertion)
    assert header["typ"] == "airgate-job+jwt"
    public = jwt.PyJWK(keys[header["kid"]]).key
    return jwt.decode(assertion, public, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER)


def test_a_running_task_gets_an_assertion_canary(api: Any, task: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="airgate.issuer")
    answer = ask(api, "orders", task_token(task.id))
    assert answer.status_code == 200, answer.text
    connection = answer.json()
    assertion = connection.pop("password")
    assert {name: connection[name] for name in ("conn_type", "schema", "host", "port", "login")} == {
        "conn_type": "airgate",
        "schema": "https",
        "host": "orders.gw.example",
        "port": 9443,
        "login": None,
    }
    assert json.loads(connection["extra"]) == {"ca_file": "/ca.pem"}
    claims = verified(api, assertion)
    assert (claims["sub"], claims["ti_id"]) == (f"airflow:dag:{task.dag_id}:task:only", str(task.id))
    facts = (claims["dag_id"], claims["run_id"], claims["task_id"], claims["map_index"], claims["try_number"])
    assert facts == (task.dag_id, task.run_id, "only", -1, task.try_number)
    assert (claims["pid"], claims["run_type"], claims["conn_id"]) == (4711, "manual", "orders")
    assert claims["exp"] - claims["iat"] == 120
    assert claims["jti"] in caplog.text
    assert assertion not in caplog.text
    assert assertion.rpartition(".")[2] not in caplog.text


def test_an_http_connection_carries_the_assertion_as_a_header(api: Any, task: Any) -> None:
    connection = ask(api, "orders_http", task_token(task.id)).json()
    extra = json.loads(connection["extra"])
    assert extra == {"Authorization": f"Bearer {connection['password']}", "allow_redirects": False}
    assert verified(api, connection["password"])["conn_id"] == "orders_http"


def test_each_request_gets_a_new_assertion(api: Any, task: Any) -> None:
    token = task_token(task.id)
    names = {verified(api, ask(api, "orders", token).json()["password"])["jti"] for _ in range(3)}
    assert len(names) == 3


@pytest.mark.parametrize("state", ["success", "failed", "queued", "up_for_retry", "deferred", "restarting"])
def test_refuses_a_task_that_does_not_run(api: Any, task: Any, state: str) -> None:
    set_state(task.id, state)
    answer = ask(api, "orders", task_token(task.id))
    assert answer.status_code == 403, answer.text
    assert f"`{state}`, not `running`" in answer.text


def test_refuses_a_task_that_is_not_known(api: Any) -> None:
    answer = ask(api, "orders", task_token(uuid.uuid4()))
    assert (answer.status_code, "not known" in answer.text) == (403, True)


def test_refuses_a_token_that_only_starts_tasks(api: Any, task: Any) -> None:
    assert ask(api, "orders", task_token(task.id, scope="workload")).status_code == 403


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c"])
def test_refuses_a_request_without_a_valid_task_token(api: Any, token: str | None) -> None:
    assert ask(api, "orders", token).status_code in (401, 403)


def test_refuses_a_token_that_another_key_signed(api: Any, task: Any) -> None:
    claims = jwt.decode(task_token(task.id), options={"verify_signature": False})
    forged = jwt.encode(claims, "another key, long enough for HS512: " + "y" * 64, algorithm="HS512")
    assert ask(api, "orders", forged).status_code == 403


def test_refuses_when_the_key_can_be_read_by_others(
    api: Any, task: Any, airflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airgate_provider.issuer.backend import configured_backend

    backend = configured_backend()
    assert backend is not None
    monkeypatch.setattr(backend, "_key", None)
    airflow.chmod(0o644)
    try:
        answer = ask(api, "orders", task_token(task.id))
        keys = api.get("/airgate/jwks.json")
    finally:
        airflow.chmod(0o600)
    assert (answer.status_code, "mode 0644" in answer.text) == (403, True)
    assert (keys.status_code, "keys" in keys.json()) == (503, False)
    assert str(airflow) not in keys.text


def test_an_unexpected_fault_is_a_refusal_and_never_asks_the_next_backend(
    api: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> Any:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setenv("AIRFLOW_CONN_ORDERS", "http://user:hunter2@elsewhere.example")
    monkeypatch.setattr("airgate_provider.issuer.backend.load_running_job", broken)
    answer = ask(api, "orders", task_token(task.id))
    assert (answer.status_code, "internal error (ZeroDivisionError)" in answer.text) == (403, True)
    assert "hunter2" not in answer.text


def test_leaves_other_connections_to_other_backends(api: Any, task: Any) -> None:
    token = task_token(task.id)
    assert ask(api, "no_such", token).status_code == 404
    assert ask(api, "bench", token).json()["password"] == TOKEN


def test_nobody_but_a_task_gets_an_assertion(api: Any) -> None:
    from airflow.models.connection import Connection

    with pytest.raises(PermissionError, match="no task asks"):
        Connection.get_connection_from_secrets("orders")
    assert api.get("/api/v2/connections/orders").status_code in (401, 403, 404)


def test_pages_of_the_issuer(api: Any) -> None:
    discovery = api.get("/airgate/.well-known/openid-configuration")
    assert discovery.json()["jwks_uri"] == f"{ISSUER}/jwks.json"
    (key,) = api.get("/airgate/jwks.json").json()["keys"]
    assert set(key) == {"crv", "kty", "x", "kid", "alg", "use"}
    assert api.post("/airgate/jwks.json").status_code == 405
    assert api.get("/airgate/else").status_code == 404


def test_the_provider_is_known_to_airflow(airflow: Path) -> None:
    from airflow import plugins_manager
    from airflow.providers_manager import ProvidersManager

    make: Any = ProvidersManager
    manager = make()
    assert "airflow-provider-airgate" in manager.providers
    assert manager.hooks["airgate"] is not None
    apps, middlewares = plugins_manager.get_fastapi_plugins()
    assert [app["url_prefix"] for app in apps if app["name"] == "Airgate issuer"] == ["/airgate"]
    assert [m["name"] for m in middlewares] == ["Airgate issuer"]


def test_operator_posts_and_returns_what_the_filter_makes(
    run_task: Callable[..., Any], server_for_all: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server_for_all.seen.clear()
    instance = run_task("posts")
    assert instance.state == "success"
    assert instance.xcom_pull(task_ids="call") == ["call", "svc-orders@LAB.TEST"]
    (seen,) = server_for_all.seen
    assert (seen.target, seen.body) == ("/api/posts?secret=hunter2", b'{"total": "2"}')
    said = "".join(capfd.readouterr())
    for part in ("::group::airgate POST /api/posts: 200 permitted", "entry:      41", "airgate audit show 41"):
        assert part in said
    assert TOKEN not in said
    assert "hunter2" not in said


def test_the_unmodified_http_operator_carries_the_token_and_logs_the_call(
    run_task: Callable[..., Any],
    server_for_all: Server,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="airflow.task.airgate")
    server_for_all.seen.clear()
    assert run_task("stock").state == "success"
    (seen,) = server_for_all.seen
    assert (seen.target, seen.headers["authorization"]) == ("/api/orders", f"Bearer {TOKEN}")
    said = "".join(capfd.readouterr()) + caplog.text
    assert "::group::airgate GET /api/orders: 200 permitted" in said
    assert "airgate audit show 41" in said
    assert TOKEN not in said


def test_operator_says_what_was_refused_and_spends_no_retry(
    run_task: Callable[..., Any], server_for_all: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server_for_all.seen.clear()
    instance = run_task("refused")
    assert (instance.state, len(server_for_all.seen)) == ("failed", 1)
    said = "".join(capfd.readouterr())
    for part in ("the gateway refused `GET /status/403/not_granted`", "detail of not_granted", "help for not_granted"):
        assert part in said
    assert TOKEN not in said


def test_operator_fails_when_the_check_does_not_accept(run_task: Callable[..., Any]) -> None:
    assert run_task("check_fails").state == "failed"


def test_operator_without_a_task_token_says_where_the_reason_is(
    run_task: Callable[..., Any], server_for_all: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server_for_all.seen.clear()
    instance = run_task("no_token")
    assert (instance.state, server_for_all.seen) == ("failed", [])
    said = "".join(capfd.readouterr())
    assert "no token for connection `orders`" in said or "issued no token for connection `orders`" in said


@pytest.mark.parametrize(
    ("status", "final"), [(400, True), (401, True), (403, True), (429, False), (502, False), (503, False)]
)
def test_hook_ends_the_task_only_where_a_retry_cannot_help(airflow: Path, status: int, final: bool) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from airgate_provider.errors import AirgateRefusal
    from airgate_provider.hook import AirgateHook

    with pytest.raises(AirgateRefusal) as raised:
        AirgateHook("bench").run(f"/status/{status}/code")
    assert isinstance(raised.value, AirflowFailException) is final
    assert (raised.value.entry, raised.value.problem.status) == (41, status)
    assert "airgate audit show 41" in str(raised.value)


def test_hook_refuses_a_connection_without_a_token(airflow: Path, server_for_all: Server) -> None:
    from airgate_provider.errors import AirgateConfigurationError
    from airgate_provider.hook import AirgateHook

    with pytest.raises(AirgateConfigurationError, match="carries no token"):
        AirgateHook("stored").run("/")


def test_hook_tests_what_can_be_tested(airflow: Path) -> None:
    from airgate_provider.hook import AirgateHook

    works, said = AirgateHook("stored").test_connection()
    assert works
    assert "token and grant are not tested" in said
    works, said = AirgateHook("orders").test_connection()
    assert not works
    assert "no task asks" in said


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"schema": "http"}, "only https"),
        ({"host": ""}, "host is missing"),
        ({"extra": '{"verify": false}'}, "`verify` is off"),
        ({"extra": '{"verfy": true}'}, "`verfy` is not known"),
        ({"extra": '{"read_timeout_s": "soon"}'}, "must be a number"),
        ({"extra": '{"read_timeout_s": true}'}, "greater than 0"),
        ({"extra": '{"ca_file": 7}'}, "`ca_file` must be a path"),
    ],
)
def test_hook_refuses_a_faulty_connection(airflow: Path, changes: dict[str, Any], found: str) -> None:
    from airflow.sdk import Connection

    from airgate_provider.errors import AirgateConfigurationError
    from airgate_provider.hook import gateway_of

    fields = {"conn_id": "c", "conn_type": "airgate", "schema": "https", "host": "gw.example", **changes}
    with pytest.raises(AirgateConfigurationError, match=found):
        gateway_of(Connection(**fields))


def test_hook_reads_the_options_of_a_connection(airflow: Path) -> None:
    from airflow.sdk import Connection

    from airgate_provider.client import Gateway
    from airgate_provider.hook import gateway_of

    extra = '{"verify": "/ca.pem", "connect_timeout_s": 1, "read_timeout_s": "2.5", "total_timeout_s": null}'
    connection = Connection(conn_id="c", conn_type="airgate", host="gw.example", port=9443, extra=extra)
    expected = Gateway("https://gw.example:9443", ca_file="/ca.pem", connect_timeout_s=1.0, read_timeout_s=2.5)
    assert gateway_of(connection) == expected
