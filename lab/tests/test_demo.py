"""The demo fails when anything of what it shows is not so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from demo import DAG, EXPECTED, IDENTITY, faults
from trail import Line, Row, Task, Trail

REFUSAL = "refused GET /api/payroll (403 not_in_role): entry 0; add it to orders-writer"


def row(index: int, task_id: str, kind: str) -> Row:
    """What is right about one task's call."""
    request_id = f"id-{index}"
    call = {"request_id": request_id, "windows_identity": IDENTITY if kind == "intent" else None}
    outcome = {"upstream_status": 200} if kind == "intent" else None
    log = f"{request_id} {REFUSAL}" if kind == "refusal" else request_id
    line = Line({"sc-status": "200", "cs-username": IDENTITY, "x-airgate-request-id": request_id})
    return Row(
        {"index": index, "kind": kind, "call": call, "outcome": outcome},
        Task((DAG, "run", task_id, -1, 1), EXPECTED[task_id], log),
        line if kind == "intent" else None,
    )


def good() -> Trail:
    """All three calls as they must be."""
    return Trail(
        [row(0, "read_payroll", "refusal"), row(1, "read_orders", "intent"), row(2, "post_totals", "intent")], []
    )


def verdict(found: Trail, states: dict[str, str] | None = None, logs: dict[str, str] | None = None) -> list[str]:
    """The demo's faults, with its own states and logs unless others are given."""
    own = {row.task.place[2]: row.task.log for row in found.rows if row.task}
    return faults(found, states or dict(EXPECTED), logs or {"read_payroll": "", **own})


def test_nothing_is_wrong_with_a_good_run() -> None:
    assert verdict(good()) == []


def line_of_another(found: Trail) -> None:
    line = Line({"sc-status": "200", "cs-username": "svc-payroll@LAB.TEST", "x-airgate-request-id": "id-1"})
    found.rows[1] = dataclasses.replace(found.rows[1], line=line)


def line_of_the_refused(found: Trail) -> None:
    found.rows[0] = dataclasses.replace(found.rows[0], line=Line({"sc-status": "200", "cs-username": IDENTITY}))


def record_of_another(found: Trail) -> None:
    found.rows[1].call["windows_identity"] = "svc-payroll@LAB.TEST"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda t: t.rows.pop(), "2 calls are recorded", id="a call is missing"),
        pytest.param(lambda t: t.orphans.append("upstream line of request x"), "request x", id="an orphan"),
        pytest.param(line_of_another, "the upstream did not see", id="another identity at the upstream"),
        pytest.param(record_of_another, "the record does not name", id="another identity in the record"),
        pytest.param(line_of_the_refused, "entry 0 is not joined", id="the refused call reached the upstream"),
        pytest.param(lambda t: t.rows[2].entry.update(outcome=None), "entry 2 is not joined", id="no outcome"),
    ],
)
def test_what_is_wrong_is_told(spoil: Callable[[Trail], Any], said: str) -> None:
    found = good()
    spoil(found)
    assert any(said in fault for fault in verdict(found)), verdict(found)


def test_a_payroll_that_could_be_read_is_a_fault() -> None:
    assert "read_payroll is success" in verdict(good(), {**EXPECTED, "read_payroll": "success"})[0]


@pytest.mark.parametrize("missing", ["/api/payroll", "not_in_role", "entry 0", "orders-writer"])
def test_a_message_that_leaves_something_out_is_a_fault(missing: str) -> None:
    assert any(missing in fault for fault in verdict(good(), logs={"read_payroll": REFUSAL.replace(missing, "")}))
