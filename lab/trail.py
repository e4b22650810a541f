"""Joins what Airflow, the gateway and the upstream wrote about the same calls into one trail."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# One call's place in Airflow: DAG, run, task, map index, try.
Place = tuple[str, str, str, int, int]


@dataclasses.dataclass(frozen=True)
class Task:
    """A try of a task: what Airflow's API says, and its log."""

    place: Place
    state: str
    log: str


@dataclasses.dataclass(frozen=True)
class Line:
    """One request in a W3C extended log, by the names of its `#Fields` line."""

    fields: dict[str, str]

    @property
    def request_id(self) -> str:
        return self.fields.get("x-airgate-request-id", "-")


@dataclasses.dataclass
class Row:
    """One call of the trail. `joined`: each party has what it must have, and lacks what it must not."""

    entry: dict[str, Any]
    task: Task | None
    line: Line | None

    @property
    def call(self) -> dict[str, Any]:
        call: dict[str, Any] = self.entry["call"]
        return call

    @property
    def permitted(self) -> bool:
        return bool(self.entry["kind"] == "intent")

    @property
    def in_airflow(self) -> bool:
        """The task's own log tells of this very call, by the id that the gateway minted."""
        return self.task is not None and str(self.call["request_id"]) in self.task.log

    @property
    def in_gateway(self) -> bool:
        """A permitted call has its outcome; a refused one is whole by itself."""
        return not self.permitted or self.entry.get("outcome") is not None

    @property
    def joined(self) -> bool:
        if not (self.in_airflow and self.in_gateway):
            return False
        if self.line is None:
            return not self.permitted
        # A refused call must have left no trace at the upstream; a permitted one the very same status.
        return self.permitted and self.line.fields["sc-status"] == str(self.entry["outcome"]["upstream_status"])


@dataclasses.dataclass(frozen=True)
class Trail:
    """All calls, and what belongs to none."""

    rows: list[Row]
    orphans: list[str]

    @property
    def joined(self) -> int:
        return sum(row.joined for row in self.rows)


def read_w3c(path: Path) -> list[Line]:
    """All requests of a W3C extended log; `#Fields` may change within the file."""
    names: list[str] = []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if text.startswith("#Fields:"):
            names = text.split()[1:]
        elif text and not text.startswith("#"):
            lines.append(Line(dict(zip(names, text.split(" "), strict=True))))
    return lines


def place_of(entry: dict[str, Any]) -> Place | None:
    """The job that an entry names."""
    job = (entry["call"].get("principal") or {}).get("job")
    if job is None:
        return None
    return (job["dag_id"], job["run_id"], job["task_id"], job["map_index"], job["try_number"])


def join(entries: Iterable[dict[str, Any]], tasks: Sequence[Task], lines: Sequence[Line]) -> Trail:
    """One row per entry of a call, and every W3C line or task that no entry accounts for."""
    by_place = {task.place: task for task in tasks}
    by_id: dict[str, list[Line]] = {}
    for line in lines:
        by_id.setdefault(line.request_id, []).append(line)
    rows, orphans, called = [], [], set()
    for entry in entries:
        place = place_of(entry)
        mine = by_id.pop(entry["call"]["request_id"], [])
        task = by_place.get(place) if place is not None else None
        if task is None:
            orphans.append(f"entry {entry['index']}: no try of an Airflow task belongs to it")
        else:
            called.add(task.place)
        if len(mine) > 1:
            orphans.append(f"entry {entry['index']}: the upstream logged it {len(mine)} times")
        rows.append(Row(entry, task, mine[0] if mine else None))
    orphans += [f"upstream line of request {rid}: the gateway has no entry" for rid in by_id]
    orphans += [
        f"task {'/'.join(map(str, t.place))}: no call of it is recorded" for t in tasks if t.place not in called
    ]
    return Trail(rows, orphans)


# -- showing --------------------------------------------------------------------------------------------------------

COLUMNS = (
    "time",
    "dag / run",
    "task / try",
    "principal",
    "decision",
    "windows identity",
    "request",
    "iis",
    "entry",
    "A G W",
)


def cells(row: Row) -> list[str]:
    """One row as text."""
    call, dash = row.call, "-"
    principal = call.get("principal") or {}
    job = principal.get("job") or {}
    decision = f"permit: {call['grant']}" if row.permitted else f"deny: {call['code']}"
    marks = " ".join("+" if found else dash for found in (row.in_airflow, row.in_gateway, row.line is not None))
    return [
        row.entry["time"][11:23],
        f"{job.get('dag_id', dash)} / {job.get('run_id', dash)}",
        f"{job.get('task_id', dash)} / {job.get('try_number', dash)}",
        principal.get("subject", dash),
        decision,
        call.get("windows_identity") or dash,
        f"{call['method']} {call['path']}",
        row.line.fields["sc-status"] if row.line else dash,
        str(row.entry["index"]),
        marks,
    ]


def table(trail: Trail) -> str:
    """The trail as an aligned table, and under it the reason of each decision."""
    body = [list(COLUMNS), *(cells(row) for row in trail.rows)]
    widths = [max(len(line[n]) for line in body) for n in range(len(COLUMNS))]
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def show(line: list[str], code: str = "") -> str:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text

    out = [show(body[0], "1")]
    for row, line in zip(trail.rows, body[1:], strict=True):
        out.append(show(line, "" if row.permitted else "33"))
    out.append("")
    out.append(
        "A: in Airflow's task log, G: whole in the gateway's log, W: in the upstream's W3C log (never for a refused call)"
    )
    out += [f"entry {row.entry['index']}: {row.call['reason']}" for row in trail.rows]
    out += [f"orphan: {text}" for text in trail.orphans]
    return "\n".join(out)
