from __future__ import annotations

from typing import Any

import pytest

from airgate_provider.assertion import IssuerError
from airgate_provider.issuer.config import KEY_FILE_VARIABLE, IssuerConfig, Target
from airgate_provider.issuer.version import require_airflow_with_middlewares

GOOD: dict[str, Any] = {
    "issuer": "https://airflow.example/airgate",
    "audience": "https://gw.example",
    "key_file": "/etc/airgate/issuer.pem",
    "connections": {
        "orders": {"url": "https://orders.gw.example:9443"},
        "plain": {"url": "https://gw.example/", "type": "http", "ca_file": "/ca.pem"},
    },
}


def test_reads_the_connections() -> None:
    config = IssuerConfig.parse(GOOD)
    assert config.terms.lifetime_s == 120
    assert config.targets == {
        "orders": Target("orders", "orders.gw.example", 9443, "airgate"),
        "plain": Target("plain", "gw.example", 443, "http", "/ca.pem"),
    }


def test_key_file_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_FILE_VARIABLE, "/run/key.pem")
    assert IssuerConfig.parse({**GOOD, "key_file": None}).key_file == "/run/key.pem"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"issuer": None}, "`issuer`"),
        ({"issuer": "http://airflow.example"}, "`issuer`"),
        ({"audience": ""}, "`audience`"),
        ({"key_file": None}, "`key_file`"),
        ({"lifetime_s": 601}, "`lifetime_s`"),
        ({"lifetime_s": 9}, "`lifetime_s`"),
        ({"lifetime_s": True}, "`lifetime_s`"),
        ({"lifetime_s": "120"}, "`lifetime_s`"),
        ({"connections": {}}, "`connections`"),
        ({"connections": {"a": "https://gw"}}, "`connections.a`"),
        ({"connections": {"a": {"url": "http://gw"}}}, "`connections.a.url`"),
        ({"connections": {"a": {"url": "https://gw/path"}}}, "`connections.a.url`"),
        ({"connections": {"a": {"url": "https://u@gw"}}}, "`connections.a.url`"),
        ({"connections": {"a": {"url": "https://gw:x"}}}, "`connections.a.url`"),
        ({"connections": {"a": {"url": 7}}}, "`connections.a.url`"),
        ({"connections": {"a": {"url": "https://gw", "type": "ftp"}}}, "`connections.a.type`"),
        ({"connections": {"a": {"url": "https://gw", "ca_file": 1}}}, "`connections.a.ca_file`"),
        ({"connections": {"a": {"url": "https://gw", "verify": False}}}, "`connections.a.verify` is not known"),
        ({"audiance": "x"}, "`audiance` is not known"),
    ],
)
def test_refuses_a_faulty_configuration(change: dict[str, Any], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_FILE_VARIABLE, raising=False)
    with pytest.raises(IssuerError) as raised:
        IssuerConfig.parse({**GOOD, **change})
    assert found in str(raised.value)


def test_names_every_fault_at_once() -> None:
    with pytest.raises(IssuerError) as raised:
        IssuerConfig.parse({})
    assert str(raised.value).count("\n  - ") >= 3


@pytest.mark.parametrize("version", ["2.11.2", "3.0.0", "3.2.9"])
def test_says_that_an_older_airflow_is_not_enough(version: str) -> None:
    with pytest.raises(IssuerError, match=r"needs Airflow 3\.3 or later"):
        require_airflow_with_middlewares(version)


@pytest.mark.parametrize("version", ["3.3.0", "3.3.2", "3.3.0rc1", "4.0.0.dev0"])
def test_accepts_an_airflow_with_middlewares(version: str) -> None:
    require_airflow_with_middlewares(version)
