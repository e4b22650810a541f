"""The lab's Airflow: a real one, over TLS, in the lab's namespace, with the issuer of job assertions in its API server.

    python3 lab/airflow.py --name test up
    python3 lab/airflow.py --name test run nightly_orders
    python3 lab/airflow.py --name test log nightly_orders RUN_ID read_payroll
    python3 lab/airflow.py --name test down
    python3 lab/airflow.py check                     the provider's formatting, lints, types and tests

Only the API server's environment has the issuer's key and secrets backend. All of it runs as one user, so a task here
could read that key: right for a lab, wrong for production.
"""

from __future__ import annotations

import argparse
import base64
import configparser
import dataclasses
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import airflow_venv
from airflow_rest import NotReached, Rest, RestError, segment
from ca import Authority
from common import ADDRESS, ROOT, Lab, LabError, Process, Step, main, require_machine, run

HOST = "airflow.lab.test"
PORT = 8080
URL = f"https://{HOST}:{PORT}"
ISSUER = f"{URL}/airgate"
JWKS_URL = f"{ISSUER}/jwks.json"
# For people who look into a lab that is left running: its namespace is the only place from which it can be reached.
USER = "admin"
PASSWORD = "airgate-lab"
AUDIENCE = "https://gw.lab.test:9443"
ORDERS_URL = "https://orders.gw.lab.test:9443"
CONNECTIONS = {
    "airgate_orders": {"url": ORDERS_URL, "type": "airgate"},
    "airgate_orders_http": {"url": ORDERS_URL, "type": "http"},
}
DAGS = ROOT / "lab" / "dags"
API_SERVER = "airflow-api-server"
COMPONENTS = {
    API_SERVER: ["api-server"],
    "airflow-scheduler": ["scheduler", "--skip-serve-logs"],
    "airflow-dag-processor": ["dag-processor"],
    "airflow-triggerer": ["triggerer", "--skip-serve-logs"],
}
HEALTHY = ("metadatabase", "scheduler", "dag_processor", "triggerer")
START_TIMEOUT_S = 240.0
RUN_TIMEOUT_S = 180.0
RUN_ENDED = ("success", "failed")


@dataclasses.dataclass(frozen=True)
class Airflow:
    """Where this lab's Airflow keeps its files, and how it is started and asked."""

    lab: Lab
    dags: Path = DAGS
    connections: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=lambda: CONNECTIONS)

    @property
    def folder(self) -> Path:
        return self.lab.state / "airflow"

    @property
    def site(self) -> Path:
        """The provider of this checkout, installed."""
        return self.folder / "site"

    @property
    def issuer_key(self) -> Path:
        return self.folder / "issuer.pem"

    @property
    def passwords(self) -> Path:
        return self.folder / "passwords.json"

    @property
    def authority(self) -> Authority:
        return Authority(self.lab.state / "tls")

    # -- files -----------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Writes a new home: configuration, keys, user and an empty database."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "logs").mkdir(mode=0o700, parents=True)
        self.folder.chmod(0o700)
        _write_private(self.passwords, json.dumps({USER: PASSWORD}))
        _write_private(self.issuer_key, "")
        run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", str(self.issuer_key)])
        self.issuer_key.chmod(0o600)
        shutil.copyfile(airflow_venv.migrated_database(), self.folder / "airflow.db")
        certificate = self.authority.issue("airflow", [HOST]).certificate
        configuration = configparser.ConfigParser(interpolation=None)
        configuration.read_dict(self._settings(certificate))
        with open(self.folder / "airflow.cfg", "w", opener=_private_opener) as file:
            configuration.write(file)

    def _settings(self, certificate: Path) -> dict[str, dict[str, str]]:
        """The configuration of all components. Secrets are here, and so in no process's environment."""
        return {
            "core": {
                "dags_folder": str(self.dags),
                "load_examples": "False",
                "executor": "LocalExecutor",
                "parallelism": "4",
                "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "execution_api_server_url": f"{URL}/execution/",
                "simple_auth_manager_users": f"{USER}:admin",
                "simple_auth_manager_passwords_file": str(self.passwords),
            },
            "database": {"sql_alchemy_conn": f"sqlite:///{self.folder}/airflow.db"},
            "api": {
                "host": ADDRESS,
                "port": str(PORT),
                "base_url": URL,
                "workers": "1",
                "secret_key": secrets.token_urlsafe(32),
                # Tasks read it too: the file holds the CA's certificate, which is how they know the API server.
                "ssl_cert": str(certificate),
            },
            "api_auth": {"jwt_secret": secrets.token_urlsafe(48), "jwt_issuer": URL},
            "logging": {"base_log_folder": str(self.folder / "logs"), "worker_log_server_host": ADDRESS},
            "scheduler": {"scheduler_heartbeat_sec": "1"},
            "dag_processor": {"min_file_process_interval": "5", "refresh_interval": "5", "parsing_processes": "1"},
            "usage_data_collection": {"enabled": "False"},
        }

    def environment(self) -> dict[str, str]:
        """The environment of every component."""
        ca = str(self.authority.certificate)
        return {
            **airflow_venv.clean_environment(),
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW_CONFIG": str(self.folder / "airflow.cfg"),
            "PYTHONPATH": str(self.site),
            "PYTHONUNBUFFERED": "1",
            # No byte code beside the sources of the checkout.
            "PYTHONDONTWRITEBYTECODE": "1",
            "SSL_CERT_FILE": ca,
            "REQUESTS_CA_BUNDLE": ca,
            "NO_COLOR": "1",
        }

    def issuer_environment(self) -> dict[str, str]:
        """What the API server has and no other component."""
        configured = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "key_file": str(self.issuer_key),
            "connections": self.connections,
        }
        return {
            "AIRFLOW__API__SSL_KEY": str(self.authority.folder / "airflow.key"),
            "AIRFLOW__SECRETS__BACKEND": "airgate_provider.issuer.backend.AirgateSecretsBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(configured),
        }

    # -- processes -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts all components."""
        for name, verb in COMPONENTS.items():
            extra = self.issuer_environment() if name == API_SERVER else {}
            argv = [str(airflow_venv.python()), "-m", "airflow", *verb]
            self.lab.start(name, argv, env={**self.environment(), **extra}, cwd=self.folder)

    def start_and_wait(self) -> None:
        """Starts all components and waits until they work."""
        self.start()
        self.wait()

    def wait(self) -> None:
        """Waits until all components say that they are healthy and the keys are served."""
        processes = self.lab.processes()
        for name in COMPONENTS:
            self.lab.wait_until(processes[name], lambda: self._healthy(processes), "Airflow", timeout_s=START_TIMEOUT_S)
        keys = self.rest(sign_in=False).text("GET", "/airgate/jwks.json")
        if '"keys"' not in keys:  # Airflow answers unknown paths with its UI
            raise LabError(f"the issuer's plugin is not loaded{self.lab.last_lines(processes[API_SERVER])}")

    def _healthy(self, processes: Mapping[str, Process]) -> bool:
        for name in COMPONENTS:
            if not processes[name].alive():
                raise LabError(f"`{name}` ended{self.lab.last_lines(processes[name])}")
        try:
            health = self.rest(sign_in=False).json("GET", "/api/v2/monitor/health")
        except (NotReached, RestError):
            time.sleep(0.25)
            return False
        return all((health.get(part) or {}).get("status") == "healthy" for part in HEALTHY)

    def running(self) -> bool:
        """Whether all components run."""
        processes = self.lab.processes()
        return all(name in processes and processes[name].alive() for name in COMPONENTS)

    def stop(self) -> None:
        """Stops all components."""
        for name in reversed(COMPONENTS):
            self.lab.stop(name)

    # -- asking ----------------------------------------------------------------------------------------------------

    def rest(self, *, sign_in: bool = True) -> Rest:
        """The REST API, as its user or as nobody."""
        if not self.running():
            raise LabError(f"Airflow of lab `{self.lab.name}` does not run: `up` starts it")
        api = Rest(self.lab.netns, HOST, PORT, self.authority.certificate)
        if sign_in:
            api.sign_in(USER, PASSWORD)
        return api


def venv() -> Path:
    """The virtual environment that has Airflow, its HTTP provider, ours, and the tools for Python."""
    return airflow_venv.folder()


def install() -> None:
    """Makes all that outlives a lab: the virtual environment, and a migrated database to copy."""
    airflow_venv.ensure()
    airflow_venv.install_editable()
    airflow_venv.migrated_database()


def up(
    lab: Lab,
    *,
    dags: Path = DAGS,
    connections: Mapping[str, Mapping[str, str]] | None = None,
) -> Airflow:
    """From nothing to a healthy Airflow. Leaves one that runs as it is. The lab's state folder must be prepared."""
    airflow = Airflow(lab, dags, CONNECTIONS if connections is None else connections)
    if airflow.running():
        return airflow
    airflow.stop()
    airflow_venv.ensure()
    steps: list[tuple[str, Callable[[], object]]] = [
        ("Airflow's home, keys and configuration", airflow.prepare),
        ("the provider of this checkout", lambda: airflow_venv.install_provider(airflow.site)),
        (f"Airflow at {URL} in {lab.netns}", airflow.start_and_wait),
    ]
    try:
        for title, action in steps:
            with Step(title):
                action()
    except BaseException:
        airflow.stop()  # the logs stay, for whoever looks for the cause
        raise
    return airflow


def down(lab: Lab) -> None:
    """Stops Airflow. Its files stay until the lab is removed."""
    Airflow(lab).stop()


def run_dag(lab: Lab, dag_id: str, *, timeout_s: float = RUN_TIMEOUT_S) -> tuple[str, str]:
    """Runs a DAG by the scheduler and waits for its end, however it ends. Returns the run's id and its state."""
    rest = Airflow(lab).rest()
    deadline = time.monotonic() + timeout_s
    _unpause(rest, dag_id, deadline)
    run_id = f"run-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    runs = f"/api/v2/dags/{segment(dag_id)}/dagRuns"
    rest.json("POST", runs, {"dag_run_id": run_id, "logical_date": None})
    while True:
        state = str(rest.json("GET", f"{runs}/{segment(run_id)}")["state"])
        if state in RUN_ENDED:
            return run_id, state
        if time.monotonic() > deadline:
            states = ", ".join(f"{t['task_id']}: {t['state']}" for t in task_instances(lab, dag_id, run_id))
            raise LabError(f"DAG run `{dag_id}/{run_id}` is `{state}` after {timeout_s:.0f} s ({states})")
        time.sleep(0.25)


def _unpause(rest: Rest, dag_id: str, deadline: float) -> None:
    """Waits until the DAG has been parsed, and lets it run."""
    path = f"/api/v2/dags/{segment(dag_id)}"
    while True:
        try:
            rest.json("PATCH", path, {"is_paused": False})
            return
        except RestError as error:
            if error.status != 404:
                raise
        broken = rest.json("GET", "/api/v2/importErrors").get("import_errors") or []
        if broken:
            raise LabError(f"Airflow cannot import a DAG:\n{broken[0].get('stack_trace')}")
        if time.monotonic() > deadline:
            raise LabError(f"Airflow knows no DAG `{dag_id}`")
        time.sleep(0.25)


def task_instances(lab: Lab, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """The task instances of a run, as Airflow's REST API describes them (latest try of each)."""
    path = f"/api/v2/dags/{segment(dag_id)}/dagRuns/{segment(run_id)}/taskInstances?limit=1000"
    found = Airflow(lab).rest().json("GET", path)["task_instances"]
    return [dict(instance) for instance in found]


def task_log(lab: Lab, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
    """A task's log as its reader sees it: a line per event, exceptions with their message."""
    task = f"/api/v2/dags/{segment(dag_id)}/dagRuns/{segment(run_id)}/taskInstances/{segment(task_id)}"
    query = urlencode({"map_index": map_index, "full_content": "true"})
    raw = Airflow(lab).rest().text("GET", f"{task}/logs/{try_number}?{query}", accept="application/x-ndjson")
    return "".join(f"{line}\n" for line in _log_lines(raw))


def readable_failure(log: str) -> list[str]:
    """The lines of a task log that say why the task failed, as their reader sees them: without time and level."""
    return [
        line.partition(" ERROR ")[2] for line in log.splitlines() if " ERROR " in line and "Task failed" not in line
    ]


def _log_lines(raw: str) -> Iterator[str]:
    for record in raw.splitlines():
        try:
            value = json.loads(record)
        except ValueError:
            yield record
            continue
        if not isinstance(value, dict):
            yield record
            continue
        when, level = value.get("timestamp") or "", str(value.get("level") or "").upper()
        yield " ".join(part for part in (when, level, str(value.get("event", ""))) if part)
        for error in value.get("error_detail") or []:
            yield f"{error.get('exc_type')}: {error.get('exc_value')}"


def check() -> None:
    """The provider's formatting, lints, types and tests."""
    install()
    interpreter = str(airflow_venv.python())
    environment = {**airflow_venv.clean_environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    provider = airflow_venv.PROVIDER
    tools = [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["mypy"],
        ["pytest", "-q", "-p", "no:cacheprovider"],
    ]
    for argv in tools:
        with Step(f"provider: {' '.join(argv)}"):
            done = run([interpreter, "-m", *argv], env=environment, cwd=provider, timeout_s=600)
        if argv[0] == "pytest":
            print(f"    {done.stdout.strip().splitlines()[-1]}")


def _write_private(path: Path, text: str) -> None:
    with open(path, "w", opener=_private_opener) as file:
        file.write(text)


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def command_line() -> int:
    """The verbs."""
    parser = argparse.ArgumentParser(description="The lab's Airflow.")
    parser.add_argument("--name", default="lab", help="the lab's name: labs of different names do not meet")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start all; does nothing if it is up")
    one = verbs.add_parser("run", help="run a DAG and wait for its end; exit code 0 if it succeeded")
    one.add_argument("dag_id")
    log = verbs.add_parser("log", help="print a task's log")
    for name in ("dag_id", "run_id", "task_id"):
        log.add_argument(name)
    log.add_argument("--try", dest="try_number", type=int, default=1)
    log.add_argument("--map-index", type=int, default=-1)
    verbs.add_parser("down", help="stop all; removes the lab if nothing else of it runs")
    verbs.add_parser("check", help="the provider's formatting, lints, types and tests")
    verbs.add_parser("python", help="print the interpreter that has Airflow, made if need be")
    options = parser.parse_args()
    lab = Lab(options.name)
    match options.verb:
        case "check":
            check()
        case "python":
            print(airflow_venv.ensure())
        case "up":
            require_machine()
            lab.prepare()
            up(lab)
            print(f"{URL} (in namespace {lab.netns}; user `{USER}`, password `{PASSWORD}`)")
        case "run":
            run_id, state = run_dag(lab, options.dag_id)
            print(f"{options.dag_id} {run_id} {state}")
            for task in task_instances(lab, options.dag_id, run_id):
                print(f"  {task['task_id']:<24} {task['state']}")
            return 0 if state == "success" else 1
        case "log":
            where = (options.dag_id, options.run_id, options.task_id)
            print(task_log(lab, *where, try_number=options.try_number, map_index=options.map_index), end="")
        case _:
            with Step(f"Airflow of lab {lab.name} stopped"):
                down(lab)
                if not lab.processes():
                    lab.remove()
    return 0


if __name__ == "__main__":
    main(command_line)
