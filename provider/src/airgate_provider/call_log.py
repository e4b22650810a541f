"""What the task log says of a call: one group of lines, by which the gateway's entry is found."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import requests

from airgate_provider.client import Answer
from airgate_provider.errors import one_line

# Below `airflow.task`, whose lines are in the task log whatever else is configured.
log = logging.getLogger("airflow.task.airgate")


@contextlib.contextmanager
def group(log: Any, title: str) -> Iterator[None]:
    """Lines that Airflow's UI folds under a title."""
    log.info("::group::%s", title)
    try:
        yield
    finally:
        log.info("::endgroup::")


def write(log: Any, answer: Answer) -> None:
    """Writes the group of a call."""
    with group(log, f"airgate {answer.method} {answer.path}: {answer.status_code} {answer.decision}"):
        for name, value in answer.describe():
            log.info("%-11s %s", f"{name}:", value)


def log_call(response: requests.Response) -> bool:
    """Writes the group of a call that Airflow's own `HttpOperator` made: give it as its `response_check`.

    ::

        HttpOperator(..., response_check=log_call)
    """
    request = response.request
    answer = Answer(
        method=request.method or "",
        path=one_line((request.path_url or "/").partition("?")[0], 500),
        status_code=response.status_code,
        headers=response.headers,
        content=response.content,
        encoding=response.encoding or "utf-8",
        elapsed_s=response.elapsed.total_seconds(),
    )
    write(log, answer)
    return True
