"""The lab's DAG: two calls that its grant allows and one that it does not.

`read_orders` is Airflow's own HttpOperator, unchanged; the other two are the provider's operator.
"""

# In the folder above, `airflow` is the lab's own module: a type checker that starts there cannot follow the imports.
# mypy: ignore-errors

from __future__ import annotations

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG

from airgate_provider.operator import AirgateOperator

with DAG(
    dag_id="nightly_orders",
    description="Orders of the day, posted as totals; payroll is not for this job.",
    schedule=None,
    catchup=False,
    default_args={"retries": 0},
    tags=["airgate"],
) as dag:
    read_orders = HttpOperator(
        task_id="read_orders",
        http_conn_id="airgate_orders_http",
        method="GET",
        endpoint="/api/orders",
        log_response=True,
    )
    post_totals = AirgateOperator(
        task_id="post_totals",
        airgate_conn_id="airgate_orders",
        method="POST",
        endpoint="/api/orders",
        json=[{"id": 1001, "total": 250.0}, {"id": 1002, "total": 99.5}, {"id": 1003, "total": 12.25}],
        log_response=True,
    )
    # Refused: the grant of this job covers orders only. It stands alone, so that the refusal holds up nothing else.
    read_payroll = AirgateOperator(
        task_id="read_payroll",
        airgate_conn_id="airgate_orders",
        endpoint="/api/payroll",
    )

    read_orders >> post_totals
