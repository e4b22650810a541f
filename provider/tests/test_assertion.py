from __future__ import annotations

import os
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from airgate_provider.assertion import IssuerError, Job, SigningKey, Terms

JOB = Job(
    ti_id="01a20aa5-1b6d-7a5e-85d8-2ebdd5c88ade",
    dag_id="nightly_orders",
    run_id="run-1",
    task_id="post_totals",
    map_index=-1,
    try_number=2,
    hostname="worker-1",
    pid=815,
    run_type="manual",
)
TERMS = Terms("https://airflow.example/airgate", "https://gw.example")


def test_kid_is_the_thumbprint_of_rfc_8037_appendix_a3() -> None:
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(private))
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert key.public_jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def test_assertion_verifies_with_the_served_key_and_has_all_claims(key_file: Path) -> None:
    key = SigningKey.from_file(str(key_file))
    token = key.sign(TERMS.claims(JOB, "airgate_orders", 1_000))
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "airgate-job+jwt", "kid": key.kid}
    public = jwt.PyJWK(key.public_jwk).key
    claims = jwt.decode(
        token,
        public,
        algorithms=["EdDSA"],
        audience=TERMS.audience,
        issuer=TERMS.issuer,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    jti = claims.pop("jti")
    assert len(jti) == 32
    assert claims == {
        "iss": "https://airflow.example/airgate",
        "aud": "https://gw.example",
        "sub": "airflow:dag:nightly_orders:task:post_totals",
        "iat": 1_000,
        "nbf": 1_000,
        "exp": 1_120,
        "ti_id": "01a20aa5-1b6d-7a5e-85d8-2ebdd5c88ade",
        "dag_id": "nightly_orders",
        "run_id": "run-1",
        "task_id": "post_totals",
        "map_index": -1,
        "try_number": 2,
        "hostname": "worker-1",
        "pid": 815,
        "run_type": "manual",
        "conn_id": "airgate_orders",
    }  # no `triggering_user`, no `dag_version`: what is not known is left out


def test_each_assertion_has_a_name_of_its_own() -> None:
    names = {TERMS.claims(JOB, "c", 1)["jti"] for _ in range(100)}
    assert len(names) == 100


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_refuses_a_key_that_others_can_reach(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(IssuerError, match=f"mode {mode:04o}"):
        SigningKey.from_file(str(key_file))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_refuses_a_key_of_another_user(key_file: Path) -> None:
    os.chown(key_file, 12345, 12345)
    with pytest.raises(IssuerError, match="uid 12345"):
        SigningKey.from_file(str(key_file))


def test_refuses_what_is_not_an_ed25519_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.touch(0o600)
    path.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*encoding))
    with pytest.raises(IssuerError, match="not an Ed25519 key"):
        SigningKey.from_file(str(path))
    for content in (b"", b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", b"x" * 20_000):
        path.write_bytes(content)
        with pytest.raises(IssuerError) as raised:
            SigningKey.from_file(str(path))
        assert "hunter2" not in str(raised.value)
        assert raised.value.__context__ is None or raised.value.__suppress_context__


@pytest.mark.parametrize("name", ["absent", "folder", "pipe"])
def test_refuses_a_key_that_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(IssuerError, match="issuer key"):
        SigningKey.from_file(str(tmp_path / name))


def test_does_not_show_the_private_key(key_file: Path) -> None:
    key = SigningKey.from_file(str(key_file))
    assert repr(key) == f"SigningKey(kid={key.kid!r})"
    assert set(key.public_jwk) == {"crv", "kty", "x", "kid", "alg", "use"}
