"""The secrets backend that answers a running task with a connection made for it alone.

Configure it in the API server's environment and nowhere else: whoever holds the key can issue for any task.

::

    AIRFLOW__SECRETS__BACKEND=airgate_provider.issuer.backend.AirgateSecretsBackend
    AIRFLOW__SECRETS__BACKEND_KWARGS={"issuer": "https://airflow.example/airgate", "audience": "https://gw.example",
      "key_file": "/etc/airgate/issuer.pem",
      "connections": {"airgate_orders": {"url": "https://orders.gw.example", "type": "airgate"}}}
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.secrets import BaseSecretsBackend

from airgate_provider.assertion import IssuerError, Job, SigningKey
from airgate_provider.errors import one_line
from airgate_provider.issuer import capture
from airgate_provider.issuer.config import IssuerConfig, Target
from airgate_provider.issuer.version import require_airflow_with_middlewares

if TYPE_CHECKING:
    from airflow.models.connection import Connection
    from sqlalchemy.orm import Session

log = logging.getLogger("airgate.issuer")


class NotRunning(Exception):
    """The task instance behind the token does not run (any more), or is not known."""


class AirgateSecretsBackend(BaseSecretsBackend):
    """Answers for the connections of its table and for no other; there it never falls through to another backend."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        require_airflow_with_middlewares()
        self.config = IssuerConfig.parse(kwargs)
        self._key: SigningKey | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"AirgateSecretsBackend(issuer={self.config.terms.issuer!r})"

    @property
    def key(self) -> SigningKey:
        """The signing key, read at first use."""
        with self._lock:
            if self._key is None:
                self._key = SigningKey.from_file(self.config.key_file)
            return self._key

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Connection | None:
        """A connection with a fresh assertion for the task instance that asks; refuses when none does."""
        target = self.config.targets.get(conn_id)
        if target is None:
            return None  # not ours: the next backend may know it
        try:
            job = load_running_job(capture.verified_task_instance())
            return self.issue(target, job, int(time.time()))
        except (capture.NobodyAsks, NotRunning, IssuerError) as error:
            refuse(conn_id, str(error))
        except Exception as error:  # noqa: BLE001
            # INVARIANT: for our connections nothing but an answer or a refusal leaves this method. Airflow would take
            # any other exception as "ask the next backend".
            refuse(conn_id, f"internal error ({type(error).__name__})")

    def issue(self, target: Target, job: Job, now: int) -> Connection:
        """Signs the assertion and puts it into a connection of the target's type."""
        claims = self.config.terms.claims(job, target.conn_id, now)
        assertion = self.key.sign(claims)
        connection = make_connection(target, assertion)
        log.info(
            "airgate: issued jti=%s conn_id=%s dag_id=%s run_id=%s task_id=%s map_index=%s try_number=%s",
            *(claims["jti"], target.conn_id, job.dag_id, job.run_id, job.task_id, job.map_index, job.try_number),
        )
        return connection


def load_running_job(ti_id: uuid.UUID, session: Session | None = None) -> Job:
    """The facts of a task instance, from the row that Airflow itself schedules by. It must be running now."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState

    if session is None:
        with create_session() as own:
            return load_running_job(ti_id, own)
    row = session.get(TaskInstance, ti_id)
    # Each try has an id of its own: the token of an earlier try finds no row.
    if row is None:
        raise NotRunning("the task instance of this token is not known (an earlier try, or deleted)")
    if row.state != TaskInstanceState.RUNNING:
        raise NotRunning(f"the task instance is `{row.state}`, not `running`")
    run = row.dag_run
    return Job(
        ti_id=str(row.id),
        dag_id=row.dag_id,
        run_id=row.run_id,
        task_id=row.task_id,
        map_index=int(row.map_index),
        try_number=int(row.try_number),
        hostname=row.hostname or None,
        pid=None if row.pid is None else int(row.pid),
        run_type=None if run.run_type is None else str(getattr(run.run_type, "value", run.run_type)),
        triggering_user=run.triggering_user_name,
        dag_version=None if row.dag_version_id is None else str(row.dag_version_id),
    )


def make_connection(target: Target, assertion: str) -> Connection:
    """The connection of a target with the assertion in the place where its hook looks for it."""
    from airflow.models.connection import Connection
    from airflow.sdk.log import mask_secret

    mask_secret(assertion)
    extra: dict[str, Any] = {}
    if target.type == "http":
        # The HTTP hook makes headers of what it does not know in `extra`. A redirect must not carry the token away.
        extra = {"Authorization": f"Bearer {assertion}", "allow_redirects": False}
        if target.ca_file is not None:
            extra["verify"] = target.ca_file
    elif target.ca_file is not None:
        extra["ca_file"] = target.ca_file
    return Connection(
        conn_id=target.conn_id,
        conn_type=target.type,
        schema="https",
        host=target.host,
        port=target.port,
        # For `http` too: Airflow masks a connection's password in the task log, wherever the value appears. Without a
        # login the HTTP hook sends no Basic credential.
        password=assertion,
        extra=json.dumps(extra) if extra else None,
    )


def refuse(conn_id: str, why: str) -> NoReturn:
    """Ends the look-up: no other backend is asked, and the task sees 403 at once (a 500 would be tried again)."""
    from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
    from fastapi import HTTPException

    class Refused(AirflowSecretsBackendAccessDenied, HTTPException):
        """Airflow's authoritative "no", and an answer with a status for the API."""

        def __init__(self, detail: str) -> None:
            HTTPException.__init__(self, status_code=403, detail={"reason": "access_denied", "message": detail})

        def __str__(self) -> str:
            return message

    message = f"airgate: no token for connection `{one_line(conn_id, 200)}`: {why}"
    log.warning("%s", message)
    raise Refused(message) from None


def configured_backend() -> AirgateSecretsBackend | None:
    """The backend of this process, if it has one."""
    from airflow.configuration import ensure_secrets_loaded

    for backend in ensure_secrets_loaded():
        if isinstance(backend, AirgateSecretsBackend):
            return backend
    return None
