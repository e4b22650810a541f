"""``AirgateHook``: a call through the gateway as this task instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook, mask_secret

from airgate_provider import call_log
from airgate_provider.client import Answer, Gateway, GatewayClient, probe
from airgate_provider.errors import (
    AirgateBadRequest,
    AirgateConfigurationError,
    AirgateDenied,
    AirgateError,
    AirgateRefusal,
    AirgateUnauthenticated,
    one_line,
)

EXTRAS = frozenset(
    {
        "ca_file",
        "verify",
        "connect_timeout_s",
        "read_timeout_s",
        "total_timeout_s",
        "answer_bytes_max",
        "danger_skip_tls_verification",
    }
)


class AirgateBadRequestFinal(AirgateBadRequest, AirflowFailException):
    """``AirgateBadRequest`` for which Airflow spends no retry."""


class AirgateUnauthenticatedFinal(AirgateUnauthenticated, AirflowFailException):
    """``AirgateUnauthenticated`` for which Airflow spends no retry."""


class AirgateDeniedFinal(AirgateDenied, AirflowFailException):
    """``AirgateDenied`` for which Airflow spends no retry."""


FINAL: dict[type[AirgateRefusal], type[AirgateRefusal]] = {
    AirgateBadRequest: AirgateBadRequestFinal,
    AirgateUnauthenticated: AirgateUnauthenticatedFinal,
    AirgateDenied: AirgateDeniedFinal,
}


class AirgateHook(BaseHook):
    """Calls an app through the gateway, with a fresh token for each call.

    A refusal that a retry cannot change (400, 401, 403) ends the task at once: its exception is one of ``AirgateError``
    and an ``AirflowFailException``. All others are retried as the task says.

    :param airgate_conn_id: the connection; it is issued by the secrets backend of this package.
    """

    conn_name_attr = "airgate_conn_id"
    default_conn_name = "airgate_default"
    conn_type = "airgate"
    hook_name = "Airgate"

    def __init__(self, airgate_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.airgate_conn_id = airgate_conn_id

    def get_conn(self) -> GatewayClient:
        """A client with a token issued now. Use it at once: the token lives two minutes."""
        try:
            connection = self.get_connection(self.airgate_conn_id)
        except PermissionError:
            # Airflow passes on that the API server refused, not its reason.
            raise AirgateConfigurationError(
                f"Airflow's API server issued no token for connection `{self.airgate_conn_id}`\n"
                "  why:     it says so in its own log, in the line that starts with `airgate: no token`\n"
                "  change:  run the task under a scheduler (`dags test`, triggers and the UI get no token)"
            ) from None
        token = connection.password
        if not token:
            raise AirgateConfigurationError(
                f"connection `{self.airgate_conn_id}` carries no token\n"
                "  why:     it is not the issuer's: a stored connection or an `AIRFLOW_CONN_…` variable has its name\n"
                "  change:  remove that one, and add the name to `connections` of the issuer in the API server"
            )
        mask_secret(token)
        return GatewayClient(gateway_of(connection), token)

    def run(
        self,
        endpoint: str,
        method: str = "GET",
        *,
        query: Mapping[str, Any] | None = None,
        data: Any = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call. Returns the answer of the app, or raises an ``AirgateError`` that says what to do."""
        client = self.get_conn()
        method = method.upper()
        try:
            answer = client.request(method, endpoint, query=query, data=data, json=json, headers=headers)
        except AirgateError as error:
            with call_log.group(self.log, f"airgate {method} {_path(endpoint)}: no answer"):
                self.log.info("%-11s %s", "entry:", "unknown: there was no answer to name it")
            self._log_lines(error)
            raise
        call_log.write(self.log, answer)
        failure = answer.error()
        if failure is not None:
            # Outside the group, which Airflow's UI folds: this is what the reader came for.
            self._log_lines(failure)
            raise final(failure)
        return answer

    def _log_lines(self, error: AirgateError) -> None:
        for line in str(error).splitlines():
            self.log.error("%s", line)

    def test_connection(self) -> tuple[bool, str]:
        """Reaches the gateway and checks its certificate. A token and a grant cannot be tested without a task."""
        try:
            found = probe(gateway_of(self.get_connection(self.airgate_conn_id)))
        except (AirgateError, PermissionError, OSError) as error:
            return False, str(error)
        return True, f"{found}; token and grant are not tested: only a running task gets a token"


def final(error: AirgateError) -> AirgateError:
    """The same error, of a class for which Airflow spends no retry, if a retry cannot help."""
    if isinstance(error, AirgateRefusal) and (kind := FINAL.get(type(error))) is not None:
        copy = kind.__new__(kind)
        copy.__dict__.update(error.__dict__)
        copy.args = error.args
        return copy
    return error


def gateway_of(connection: Any) -> Gateway:
    """The address and the options of a connection."""
    extra: dict[str, Any] = connection.extra_dejson
    unknown = sorted(set(extra) - EXTRAS)
    place = f"connection `{connection.conn_id}`"
    if unknown:
        raise AirgateConfigurationError(f"{place}: extra `{one_line(unknown[0], 60)}` is not known")
    if not connection.host:
        raise AirgateConfigurationError(f"{place}: the host is missing")
    options: dict[str, Any] = {
        name: _number(value, f"{place}: extra `{name}`")
        for name, value in extra.items()
        if name.endswith(("_s", "_max")) and value is not None
    }
    ca_file = extra.get("ca_file")
    verify = extra.get("verify", True)
    if isinstance(verify, str):
        ca_file = ca_file or verify
    elif verify is not True and verify is not None:
        raise AirgateConfigurationError(
            f"{place}: `verify` is off, so anybody could take the token: set `ca_file` to the gateway's CA "
            "(on a test bench without one: `danger_skip_tls_verification`)"
        )
    if ca_file is not None and not isinstance(ca_file, str):
        raise AirgateConfigurationError(f"{place}: extra `ca_file` must be a path")
    host = f"[{connection.host}]" if ":" in connection.host and not connection.host.startswith("[") else connection.host
    port = f":{connection.port}" if connection.port else ""
    return Gateway(
        url=f"{connection.schema or 'https'}://{host}{port}",
        ca_file=ca_file or None,
        danger_skip_tls_verification=extra.get("danger_skip_tls_verification") is True,
        **options,
    )


def _number(value: object, place: str) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else float("nan")
    except ValueError:
        raise AirgateConfigurationError(f"{place} must be a number") from None


def _path(endpoint: str) -> str:
    return one_line("/" + endpoint.partition("?")[0].removeprefix("/"), 500)
