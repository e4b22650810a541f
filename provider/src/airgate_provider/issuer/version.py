"""Which Airflow the issuer works on."""

from __future__ import annotations

from packaging.version import Version

from airgate_provider.assertion import IssuerError

OLDEST = Version("3.3")


def require_airflow_with_middlewares(version: str | None = None) -> None:
    """The issuer needs `fastapi_root_middlewares` and the verified token in the request: Airflow 3.3 or later."""
    if version is None:
        import airflow

        version = str(airflow.__version__)
    if Version(Version(version).base_version) < OLDEST:
        raise IssuerError(
            f"the airgate issuer needs Airflow {OLDEST} or later, this is {version}: there the API server cannot know "
            "which task asks. Take the hook and the operator with another source of tokens, or upgrade Airflow"
        )
