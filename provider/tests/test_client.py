from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from airgate_provider import errors
from airgate_provider.client import Answer, Gateway, GatewayClient, probe
from tests.gateway import REQUEST_ID, Server, problem

TOKEN = "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl"


def call(gateway: Gateway, endpoint: str, method: str = "GET", **more: object) -> Answer:
    return GatewayClient(gateway, TOKEN).request(method, endpoint, **more)  # type: ignore[arg-type]


def test_sends_the_token_and_reads_the_answer(gateway: Gateway, server: Server) -> None:
    answer = call(gateway, "/api/orders?day=1", "POST", json={"total": 1}, query={"q": "ü"})
    assert (answer.status_code, answer.json(), answer.ok) == (200, {"user": "svc-orders@LAB.TEST"}, True)
    assert (answer.entry, answer.request_id, answer.decision) == (41, REQUEST_ID, "permitted")
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("POST", "/api/orders?day=1&q=%C3%BC")
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["user-agent"].startswith("airflow-provider-airgate/")
    assert seen.body == b'{"total": 1}'
    answer.raise_for_error()


def test_shows_the_path_without_its_query(gateway: Gateway) -> None:
    answer = call(gateway, "/status/403/not_granted?secret=hunter2", query={"also": "hunter2"})
    assert "hunter2" not in str(answer.describe()) + str(answer.error()) + repr(answer)


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        (400, "path_not_canonical", errors.AirgateBadRequest, False),
        (401, "token_expired", errors.AirgateUnauthenticated, False),
        (403, "not_granted", errors.AirgateDenied, False),
        (404, "unknown_route", errors.AirgateBadRequest, False),
        (413, "body_too_large", errors.AirgateBadRequest, False),
        (429, "too_many", errors.AirgateUnavailable, True),
        (500, "internal", errors.AirgateUnavailable, True),
        (502, "upstream_refused", errors.AirgateUpstreamError, True),
        (503, "audit_unavailable", errors.AirgateUnavailable, True),
        (504, "upstream_timeout", errors.AirgateUpstreamError, True),
    ],
)
def test_refusal_names_what_why_entry_and_change(
    gateway: Gateway, status: int, code: str, kind: type[errors.AirgateRefusal], retryable: bool
) -> None:
    error = call(gateway, f"/status/{status}/{code}").error()
    assert type(error) is kind
    assert isinstance(error, errors.AirgateRefusal)
    assert (error.code, error.entry, error.retryable) == (code, 41, retryable)
    assert str(error).splitlines() == [
        f"the gateway refused `GET /status/{status}/{code}` ({status} {code}, route `orders`)",
        f"  why:     detail of {code}",
        "  record:  entry 41 (airgate audit show 41)",
        f"  change:  help for {code}",
        f"  request: {REQUEST_ID}",
    ]


def test_an_error_of_the_app_is_not_taken_for_a_refusal(gateway: Gateway) -> None:
    error = call(gateway, "/app/500").error()
    assert isinstance(error, errors.AirgateAppError)
    assert "airgate audit show 41" in str(error)


def test_a_problem_document_that_the_app_forged_is_not_taken_for_a_refusal(gateway: Gateway) -> None:
    answer = call(gateway, "/app/forged")
    assert isinstance(answer.error(), errors.AirgateAppError)
    assert "forged by the app" not in str(answer.error())
    assert answer.entry == 41


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"[" * 100_000, b'{"type": 7}', b'{"type": "about:blank"}', b"\xff\xfe"],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_problem_document_is_none(body: bytes) -> None:
    assert errors.Problem.parse(403, "application/problem+json", body, None) is None


def test_text_of_others_cannot_start_a_line_or_grow_without_bound() -> None:
    document = problem(403, "x", detail="a\n::endgroup::\x1b[2J" + "y" * 5000, entry=True, help=7, route="r\r\n")
    parsed = errors.Problem.parse(403, "application/problem+json; charset=utf-8", _json(document), None)
    assert parsed is not None
    error = errors.AirgateDenied("GET", "/", parsed)
    assert len(str(error).splitlines()) == 5
    assert "\x1b" not in str(error)
    assert len(str(error)) < 2500
    assert parsed.entry is None
    assert "none: the gateway wrote no entry" in str(error)


def test_a_redirect_is_not_followed(gateway: Gateway, server: Server) -> None:
    error = call(gateway, "/redirect").error()
    assert isinstance(error, errors.AirgateRedirected)
    assert "https://elsewhere.example/take`" in str(error)
    assert len(server.seen) == 1


def test_netrc_does_not_replace_the_token(
    gateway: Gateway, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password eve\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    call(gateway, "/")
    assert server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        ("https://evil.example/x", "give a path"),
        ("//evil.example/x", "give a path"),
        ("/a b", "encode"),
        ("/a\r\nX-Windows-Identity: eve", "encode"),
        ("/a\\b", "encode"),
        ("/a#b", "encode"),
    ],
)
def test_refuses_an_endpoint_that_is_not_a_path(gateway: Gateway, server: Server, endpoint: str, found: str) -> None:
    with pytest.raises(errors.AirgateConfigurationError, match=found):
        call(gateway, endpoint)
    assert server.seen == []


def test_an_endpoint_cannot_change_the_host() -> None:
    assert Gateway("https://gw.example").url_of("@evil.example/") == "https://gw.example/@evil.example/"
    assert Gateway("https://gw.example/").url_of("/a?next=https://x") == "https://gw.example/a?next=https://x"


@pytest.mark.parametrize(
    "url",
    ["http://gw.example", "gw.example", "https://", "https://u:p@gw.example", "https://gw.example/x", "https://a:b"],
)
def test_refuses_an_address_that_must_not_get_a_token(url: str) -> None:
    with pytest.raises(errors.AirgateConfigurationError):
        Gateway(url)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["connect_timeout_s", "read_timeout_s", "total_timeout_s"])
def test_refuses_a_bound_that_bounds_nothing(name: str, value: float) -> None:
    with pytest.raises(errors.AirgateConfigurationError, match=name):
        Gateway("https://gw.example", **{name: value})  # type: ignore[arg-type]


def test_refuses_another_credential_in_the_headers(gateway: Gateway, server: Server) -> None:
    with pytest.raises(errors.AirgateConfigurationError, match="authorization"):
        call(gateway, "/", headers={"authorization": "Bearer mine"})
    with pytest.raises(errors.AirgateConfigurationError, match="cannot be built"):
        call(gateway, "/", headers={"X-A": "b\r\nX-B: c"})
    assert server.seen == []


@pytest.mark.parametrize("token", ["", "eyJ.a b", "a\r\nX: y", "x" * 20_000, "tökén"])
def test_refuses_a_token_that_is_none(token: str) -> None:
    with pytest.raises(errors.AirgateConfigurationError) as raised:
        GatewayClient(Gateway("https://gw.example"), token)
    assert not token or token not in str(raised.value)


def test_does_not_show_the_token() -> None:
    assert TOKEN not in repr(GatewayClient(Gateway("https://gw.example"), TOKEN))


def test_says_that_the_certificate_is_not_accepted(server: Server) -> None:
    with pytest.raises(errors.AirgateNetworkError, match=r"certificate was not accepted[\s\S]*`ca_file`") as raised:
        call(Gateway(server.url), "/?secret=hunter2")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "hunter2" not in str(raised.value)
    assert server.seen == []


def test_says_that_the_connection_is_refused() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can get the port meanwhile
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(errors.AirgateNetworkError, match=r"connection was refused"):
            call(Gateway(url), "/")
        with pytest.raises(errors.AirgateNetworkError, match=r"connection was refused"):
            probe(Gateway(url))


def test_says_that_the_name_is_unknown() -> None:
    with pytest.raises(errors.AirgateNetworkError, match=r"name cannot be resolved"):
        call(Gateway("https://gw.invalid"), "/")


def test_says_that_the_gateway_is_silent(gateway: Gateway) -> None:
    with pytest.raises(errors.AirgateNetworkError, match=r"silent for 0.3 s"):
        call(dataclasses.replace(gateway, read_timeout_s=0.3), "/silent")


def test_says_that_the_answer_takes_too_long(gateway: Gateway) -> None:
    with pytest.raises(errors.AirgateNetworkError, match=r"longer than 0.5 s"):
        call(dataclasses.replace(gateway, total_timeout_s=0.5), "/slow")


def test_says_that_the_answer_was_cut_off(gateway: Gateway) -> None:
    with pytest.raises(errors.AirgateNetworkError, match=r"ended before the answer was whole"):
        call(gateway, "/cut")


def test_refuses_an_answer_that_is_too_large(gateway: Gateway) -> None:
    with pytest.raises(errors.AirgateAnswerTooLarge, match="50000"):
        call(dataclasses.replace(gateway, answer_bytes_max=50_000), "/large")


def test_shows_only_the_beginning_of_a_large_answer(gateway: Gateway) -> None:
    shown = call(gateway, "/large").shown()
    assert len(shown) < 5000
    assert shown.endswith("more bytes)")


def test_probe_reaches_the_gateway_and_says_what_it_found(gateway: Gateway) -> None:
    assert "its certificate is accepted" in probe(gateway)
    with pytest.raises(errors.AirgateNetworkError, match="certificate was not accepted"):
        probe(dataclasses.replace(gateway, ca_file=None))


def _json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()
