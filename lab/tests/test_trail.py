"""The trail joins what belongs together, and only that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trail import Line, Task, join, read_w3c, table

PLACE = ("nightly_orders", "run-1", "read_orders", -1, 1)


def entry(index: int = 0, kind: str = "intent", request_id: str = "id-1", **changes: Any) -> dict[str, Any]:
    dag, run, task, map_index, number = PLACE
    job = {"dag_id": dag, "run_id": run, "task_id": task, "map_index": map_index, "try_number": number}
    call = {
        "request_id": request_id,
        "method": "GET",
        "path": "/api/orders",
        "principal": {"issuer": "airflow", "subject": "airflow:dag:nightly_orders:task:read_orders", "job": job},
        "grant": "nightly-orders",
        "code": "permitted" if kind == "intent" else "not_in_role",
        "reason": "because",
        "windows_identity": "svc-orders@LAB.TEST",
    }
    outcome = {"upstream_status": 200, "status": 200} if kind == "intent" else None
    return {
        "index": index,
        "kind": kind,
        "time": "2026-01-01T00:00:00.000000Z",
        "call": call,
        "outcome": outcome,
        **changes,
    }


def task(log: str = "request id-1", place: Any = PLACE) -> Task:
    return Task(place, "success", log)


def line(request_id: str = "id-1", status: str = "200") -> Line:
    return Line({"x-airgate-request-id": request_id, "sc-status": status, "cs-username": "svc-orders@LAB.TEST"})


def test_a_call_found_in_all_three_is_joined() -> None:
    trail = join([entry()], [task()], [line()])
    assert (trail.joined, trail.orphans) == (1, [])
    assert "+ + +" in table(trail)


@pytest.mark.parametrize(
    ("entries", "tasks", "lines"),
    [
        pytest.param([entry()], [task(log="nothing")], [line()], id="task log does not tell of it"),
        pytest.param([entry()], [task()], [], id="permitted, but the upstream has no line"),
        pytest.param([entry()], [task()], [line(status="500")], id="the upstream logged another status"),
        pytest.param([entry(outcome=None)], [task()], [line()], id="no outcome"),
        pytest.param(
            [entry(kind="refusal")], [task()], [line(status="403")], id="refused, but the upstream has a line"
        ),
    ],
)
def test_what_is_missing_is_not_joined(entries: Any, tasks: Any, lines: Any) -> None:
    assert join(entries, tasks, lines).joined == 0


def test_a_refused_call_without_a_line_is_joined() -> None:
    assert join([entry(kind="refusal")], [task()], []).joined == 1


@pytest.mark.parametrize(
    ("entries", "tasks", "lines", "said"),
    [
        pytest.param([], [], [line("id-9")], "id-9", id="a line without an entry"),
        pytest.param([entry()], [], [line()], "no try of an Airflow task", id="an entry without a task"),
        pytest.param([], [task()], [], "no call of it is recorded", id="a task without an entry"),
        pytest.param([entry()], [task()], [line(), line()], "2 times", id="a line twice"),
        pytest.param([], [], [line("-")], "-", id="a line without a request id"),
    ],
)
def test_what_belongs_to_none_is_an_orphan(entries: Any, tasks: Any, lines: Any, said: str) -> None:
    orphans = join(entries, tasks, lines).orphans
    assert len(orphans) == 1
    assert said in orphans[0]


def test_fields_of_a_w3c_log_may_change_within_it(tmp_path: Path) -> None:
    log = tmp_path / "u_ex.log"
    log.write_text(
        "#Software: x\n#Fields: date sc-status\n2026-01-01 200\n#Fields: sc-status x-airgate-request-id\n401 id-2\n"
    )
    first, second = read_w3c(log)
    assert (first.fields["sc-status"], first.request_id) == ("200", "-")
    assert (second.fields["sc-status"], second.request_id) == ("401", "id-2")
