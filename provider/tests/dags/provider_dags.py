"""DAGs for the provider's tests: one task each. `bench` is a connection to the tests' stand-in for the gateway."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airgate_provider.call_log import log_call
from airgate_provider.client import Answer
from airgate_provider.operator import AirgateOperator


def is_ok(answer: Answer) -> bool:
    return answer.status_code == 200


def never(answer: Answer) -> bool:
    return False


def who(answer: Answer, task: Any) -> list[str]:
    return [task.task_id, answer.json()["user"]]


with DAG("empty", schedule=None):
    EmptyOperator(task_id="only")

with DAG("posts", schedule=None):
    AirgateOperator(
        task_id="call",
        airgate_conn_id="bench",
        endpoint="/api/{{ dag.dag_id }}?secret=hunter2",
        method="POST",
        json={"total": "{{ 1 + 1 }}"},
        response_check=is_ok,
        response_filter=who,
        log_response=True,
    )

with DAG("refused", schedule=None):
    AirgateOperator(
        task_id="call", airgate_conn_id="bench", endpoint="/status/403/not_granted", retries=3, retry_delay=timedelta(0)
    )

with DAG("check_fails", schedule=None):
    AirgateOperator(task_id="call", airgate_conn_id="bench", endpoint="/", response_check=never)

with DAG("no_token", schedule=None):
    AirgateOperator(task_id="call", airgate_conn_id="orders", endpoint="/")

with DAG("stock", schedule=None):
    HttpOperator(
        task_id="call", http_conn_id="bench_http", method="GET", endpoint="/api/orders", response_check=log_call
    )
