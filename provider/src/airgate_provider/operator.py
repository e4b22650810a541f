"""``AirgateOperator``: one call through the gateway as this task instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, determine_kwargs

from airgate_provider.hook import AirgateHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class AirgateOperator(BaseOperator):
    """Calls an app on IIS through the gateway. The result is the text of the answer, or what the filter makes of it.

    :param endpoint: path (and query) at the connection's host (templated)
    :param method: method of HTTP
    :param query: parameters of the query (templated)
    :param data: body, or form fields (templated)
    :param json: body as JSON (templated)
    :param headers: further headers; never ``Authorization``, which the connection sets (templated)
    :param response_check: called with the answer and any of the context's names; ``False`` fails the task
    :param response_filter: called in the same way; its result is the task's result
    :param log_response: write the beginning of the answer's body to the task log
    :param airgate_conn_id: the connection (templated)
    """

    template_fields: Sequence[str] = ("endpoint", "query", "data", "json", "headers", "airgate_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"headers": "json", "json": "json", "query": "json"}
    ui_color = "#d9e8f5"

    def __init__(
        self,
        *,
        endpoint: str,
        method: str = "GET",
        query: Mapping[str, Any] | None = None,
        data: Any = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        response_check: Callable[..., bool] | None = None,
        response_filter: Callable[..., Any] | None = None,
        log_response: bool = False,
        airgate_conn_id: str = AirgateHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.method = method
        self.query = query
        self.data = data
        self.json = json
        self.headers = headers
        self.response_check = response_check
        self.response_filter = response_filter
        self.log_response = log_response
        self.airgate_conn_id = airgate_conn_id

    def execute(self, context: Context) -> Any:
        """Makes the call."""
        answer = AirgateHook(self.airgate_conn_id).run(
            self.endpoint, self.method, query=self.query, data=self.data, json=self.json, headers=self.headers
        )
        if self.log_response:
            self.log.info("%s", answer.shown())
        if self.response_check is not None:
            extra = determine_kwargs(self.response_check, [answer], context)
            if not self.response_check(answer, **extra):
                raise AirflowException(
                    f"`response_check` did not accept the answer to `{answer.method} {answer.path}` "
                    f"({answer.status_code}, entry {answer.entry})"
                )
        if self.response_filter is not None:
            extra = determine_kwargs(self.response_filter, [answer], context)
            return self.response_filter(answer, **extra)
        return answer.text
